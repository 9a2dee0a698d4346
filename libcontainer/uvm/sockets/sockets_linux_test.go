package sockets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

func TestBothDirections(t *testing.T) {
	r := newRig(t)
	var st syscall.Stat_t
	if err := syscall.Stat(r.path, &st); err != nil || st.Uid != 12 || st.Gid != 34 || st.Mode != syscall.S_IFSOCK|0o760 {
		t.Errorf("the guest's socket has mode %o and belongs to %d:%d, %v", st.Mode, st.Uid, st.Gid, err)
	}
	client, server := r.both()
	for range 3 {
		r.says(client, server, "question")
		r.says(server, client, "a longer answer")
	}
	// A descriptor is left behind, and the bytes that it came with are not.
	if _, _, err := client.WriteMsgUnix([]byte("with a descriptor"), unix.UnixRights(0), nil); err != nil {
		t.Fatal(err)
	}
	text, rights := make([]byte, 100), make([]byte, 100)
	if n, m, _, _, err := server.ReadMsgUnix(text, rights); err != nil || string(text[:n]) != "with a descriptor" || m != 0 {
		t.Errorf("%q and %d bytes of rights, %v", text[:n], m, err)
	}
	client.Close()
	r.ends("at the server, when the client closes", server)
	server.Close()
	r.freed()
}

// TestHalfClose: each direction ends for itself.
func TestHalfClose(t *testing.T) {
	r := newRig(t)
	client, server := r.both()
	r.says(client, server, "all I say")
	_ = client.CloseWrite()
	r.ends("the client's words", server)
	r.says(server, client, "I see")
	_ = server.CloseWrite()
	r.ends("the server's words", client)
	r.freed()

	client, server = r.both()
	_ = server.CloseWrite()
	r.ends("a server that only listens", client)
	r.says(client, server, "still heard")
	client.Close()
	r.ends("the client's words", server)
	r.freed()
}

// TestGone: who writes to an end that is gone learns it, and nothing stays.
func TestGone(t *testing.T) {
	r := newRig(t)
	for _, who := range []string{"server", "client"} {
		leaves, stays := r.both()
		if who == "server" {
			leaves, stays = stays, leaves
		}
		leaves.Close()
		r.until("the end of writes to a "+who+" that is gone", func() bool {
			_, err := stays.Write([]byte("x"))
			return errors.Is(err, unix.EPIPE)
		})
		stays.Close()
		r.freed()
	}
	// An end that is told of nothing else, because it waits to be told.
	client, server := r.both()
	client.Close()
	r.freed()
	r.ends("the client's words", server)
	client, server = r.both()
	server.Close()
	r.freed()
	r.ends("the server's words", client)
	// One that is gone and did not read, while the other one neither writes nor closes.
	client, server = r.both()
	go func() { _, _ = server.Write(make([]byte, 8*wire.Window)) }()
	time.Sleep(20 * time.Millisecond) // the windows fill
	client.Close()
	if _, err := server.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a client that closes and has not read: %v", err)
	}
	r.freed()
}

// TestMuch: bytes arrive whole and in order, and who does not read holds up itself.
func TestMuch(t *testing.T) {
	const size = 10 << 20
	r := newRig(t)
	stuck, _ := r.both()
	go func() { _, _ = stuck.Write(make([]byte, size)) }()
	client, server := r.both()
	for _, way := range [][2]*net.UnixConn{{client, server}, {server, client}} {
		sums := make(chan []byte, 1)
		go func() {
			sent := sha256.New()
			_, _ = io.CopyN(io.MultiWriter(way[0], sent), rand.NewChaCha8([32]byte{1}), size)
			sums <- sent.Sum(nil)
			_ = way[0].CloseWrite()
		}()
		got := sha256.New()
		begun := time.Now()
		if n, err := io.Copy(got, way[1]); n != size || err != nil || !bytes.Equal(got.Sum(nil), <-sums) {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
		t.Logf("%d MB: %v", size>>20, time.Since(begun).Round(time.Millisecond))
	}
}

// TestCredentials: the server is told who connects in the guest, and not that it
// is the monitor.
func TestCredentials(t *testing.T) {
	r := newRig(t)
	before := threads(t)
	who := user{1234, 5678, []uint32{77, 99}}
	fd := -1
	if err := os.Chmod(filepath.Dir(r.path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := who.do(func() (err error) {
		fd, err = dial(&unix.SockaddrUnix{Name: r.path}, patience)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fd), "client")
	defer client.Close()
	server := r.accept()
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var is user
	var failed error
	_ = raw.Control(func(fd uintptr) {
		is, failed = peer(int(fd))
		failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	})
	if failed != nil || is.uid != who.uid || is.gid != who.gid || !slices.Equal(is.groups, who.groups) {
		t.Errorf("the peer is %v, %v, want %v", is, failed, who)
	}
	if _, err := client.WriteString("it is me"); err != nil {
		t.Fatal(err)
	}
	text, rights := make([]byte, 100), make([]byte, 100)
	n, m, _, _, err := server.ReadMsgUnix(text, rights)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	said, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || said.Uid != who.uid || said.Gid != who.gid || string(text[:n]) != "it is me" {
		t.Errorf("%q comes from %v, %v", text[:n], said, err)
	}
	// All threads are the test's user again.
	if after := threads(t); after != before {
		t.Errorf("threads are users\n%s and were\n%s", after, before)
	}
	for _, u := range []user{{uid: noID}, {gid: noID}} {
		if err := u.do(func() error { return nil }); err == nil {
			t.Errorf("%v can connect", u)
		}
	}
}

// threads are the distinct users of this process's threads.
func threads(t *testing.T) string {
	t.Helper()
	list, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	var all []string
	for _, name := range list {
		data, _ := os.ReadFile(name) // of one that has ended
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "Uid:") || strings.HasPrefix(line, "Gid:") || strings.HasPrefix(line, "Groups:") || strings.HasPrefix(line, "CapEff:") {
				all = append(all, line)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "")
}

// TestNobodyServes: a connection that the host cannot make ends at once.
func TestNobodyServes(t *testing.T) {
	r := newRig(t)
	client, server := r.both()
	if err := os.Remove(r.source); err != nil { // its name is not what counts
		t.Fatal(err)
	}
	another, answers := r.both()
	r.says(another, answers, "without a name")
	r.server.Close()
	r.ends("a connection that nobody accepts", r.dial())
	r.says(client, server, "what was connected before")
	for _, d := range []wire.Dial{
		{ID: "c", Name: "m4", Stream: 1<<31 | 1000},
		{ID: "c", Name: "m3", Stream: 1000},
		{ID: "c", Name: "m3", Stream: 1<<31 | 1},
		{ID: "c", Name: "m3", Stream: 1<<31 | 1001, UID: noID},
		{ID: "c", Name: "m3", Stream: 1<<31 | 1002, Groups: make([]uint32, 1<<17)},
	} {
		if err := r.guest.Call(t.Context(), wire.OpDial, d, nil); err == nil {
			t.Errorf("%s, %x of %d was connected", d.Name, d.Stream, d.UID)
		}
	}
	r.until("only those that were made stay", func() bool { return len(r.pinned.slots) == 2 })
}

// TestMany: connections beyond the bound wait for their turn, and each gets one.
func TestMany(t *testing.T) {
	r := newRig(t)
	const all = 2*MostConnections + 50
	var clients, servers []*net.UnixConn
	for range MostConnections {
		client, server := r.both()
		clients, servers = append(clients, client), append(servers, server)
	}
	// The guest's kernel takes these; nobody accepts them yet.
	const wait = MostConnections / 2
	for range wait {
		clients = append(clients, r.dial())
	}
	_ = r.server.(*net.UnixListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := r.server.Accept(); err == nil {
		t.Fatalf("more than %d are connected at once", MostConnections)
	}
	for i := range wait {
		clients[i].Close()
		r.ends("the client's words", servers[i])
		servers[i].Close()
		servers = append(servers, r.accept())
	}
	for i := wait; i < len(clients); i++ {
		r.says(clients[i], servers[i], "me too")
		clients[i].Close()
		servers[i].Close()
	}
	r.freed()
	for range all - len(clients) {
		client, server := r.both()
		client.Close()
		server.Close()
	}
	r.freed()
}

// TestOtherKinds: what is no stream is refused, before anybody connects to it.
func TestOtherKinds(t *testing.T) {
	for kind, network := range map[string]string{"datagram": "unixgram", "seqpacket": "unixpacket"} {
		path := filepath.Join(t.TempDir(), "s")
		var l io.Closer
		var err error
		if network == "unixgram" {
			l, err = net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
		} else {
			l, err = net.Listen(network, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = Pin().Add("m0", path)
		if err == nil || !strings.Contains(err.Error(), "is a "+kind+" socket") || libcontainer.Hint(err) == "" {
			t.Errorf("%s: %v", kind, err)
		}
		l.Close()
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pin().Add("m0", file); err == nil {
		t.Error("a file is a socket")
	}
	if _, err := Pin().Add("m0", file+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing is a socket: %v", err)
	}
	r := newRig(t)
	_ = r.server.(*net.UnixListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := r.server.Accept(); err == nil {
		t.Error("the server of a stream socket heard of the look at it")
	}
}

// TestFinish: what was said in a container's last moment arrives, and then nobody
// connects any more.
func TestFinish(t *testing.T) {
	r := newRig(t)
	for range 20 {
		c := r.dial()
		if _, err := io.WriteString(c, "last words"); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	heard := make(chan int)
	go func() {
		n := 0
		for range 20 {
			c := r.accept()
			if text, err := io.ReadAll(c); err == nil && string(text) == "last words" {
				n++
			}
			c.Close()
		}
		heard <- n
	}()
	r.listeners.Finish(patience)
	r.pinned.Drain(patience)
	select {
	case n := <-heard:
		if n != 20 {
			t.Errorf("%d of 20 arrived", n)
		}
	case <-time.After(patience):
		t.Error("not all have arrived")
	}
	if _, err := net.Dial("unix", r.path); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFinishToSlowServer: what is on its way to a server that takes its time
// arrives as well.
func TestFinishToSlowServer(t *testing.T) {
	const size = 400 << 10 // more than a socket of the host's takes unread
	r := newRig(t)
	client, server := r.both()
	if _, err := client.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	client.Close()
	heard := make(chan int64, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		n, _ := io.Copy(io.Discard, server)
		heard <- n
	}()
	r.listeners.Finish(patience)
	r.listeners.Close()
	r.pinned.Drain(patience)
	r.pinned.Close()
	if n := <-heard; n != size {
		t.Errorf("%d bytes of %d", n, size)
	}
}

// TestFinishIsBounded by who does not read.
func TestFinishIsBounded(t *testing.T) {
	r := newRig(t)
	client, server := r.both()
	go func() {
		_, _ = client.Write(make([]byte, 8*wire.Window))
		client.Close()
	}()
	begun := time.Now()
	r.listeners.Finish(100 * time.Millisecond)
	r.pinned.Drain(100 * time.Millisecond)
	if took := time.Since(begun); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("after %v", took)
	}
	// Then they are cut.
	r.pinned.Close()
	if _, err := io.Copy(io.Discard, server); err != nil {
		t.Errorf("the server's connection ends with %v", err)
	}
	r.listeners.Close()
	r.empty()
	if _, err := os.Stat(r.listeners.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the listeners' directory: %v", err)
	}
}

// TestOtherEndDies: with the connection of host and guest all others end.
func TestOtherEndDies(t *testing.T) {
	r := newRig(t)
	client, server := r.both()
	r.says(client, server, "before")
	r.breakWire()
	r.ends("the client", client)
	r.ends("the server", server)
	r.freed()
}
