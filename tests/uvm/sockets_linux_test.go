package uvm

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// client is the program that connects in containers.
var client = sync.OnceValues(func() (string, error) {
	path := filepath.Join(work, "client")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "wrun/tests/uvm/client")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// server answers each connection with all that came, once its end has come.
type server struct {
	net.Listener
	path  string
	users chan string // who connected, as the kernel says
	open  atomic.Int32
	most  atomic.Int32 // that were open at once
	ended chan struct{}
	pause atomic.Int64 // nanoseconds before it answers
}

// serve listens at a socket of that name in the bundle's directory.
func (r *rig) serve(name string, mode os.FileMode) *server {
	r.Helper()
	s := &server{path: filepath.Join(r.dir, name), users: make(chan string, 1000), ended: make(chan struct{}, 1000)}
	var err error
	s.Listener, err = net.Listen("unix", s.path)
	r.must(err)
	r.must(os.Chmod(s.path, mode))
	r.Cleanup(func() { s.Close() })
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go s.echo(c.(*net.UnixConn))
		}
	}()
	return s
}

func (s *server) echo(c *net.UnixConn) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) {
			if is, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
				s.users <- fmt.Sprintf("%d:%d", is.Uid, is.Gid)
			}
		})
	}
	n := s.open.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	said, _ := io.ReadAll(c) // what came until it broke is said as well
	time.Sleep(time.Duration(s.pause.Load()))
	_, _ = c.Write(said)
	s.open.Add(-1)
	s.ended <- struct{}{}
}

// mountSocket has the bundle mount s at /mnt/NAME, and the client at /bin.
func (r *rig) mountSocket(s *server, options ...string) {
	r.Helper()
	program, err := client()
	r.must(err)
	if _, err := os.Stat(filepath.Join(r.rootfs, "bin/client")); err != nil {
		r.must(os.Link(program, filepath.Join(r.rootfs, "bin/client")))
	}
	r.mount(specs.Mount{Destination: "/mnt/" + filepath.Base(s.path), Type: "bind", Source: s.path, Options: append(options, "bind")})
}

// TestSocket: a socket of the host that the bundle mounts works in a VM as in a
// silo, and no other one does.
func TestSocket(t *testing.T) {
	for _, kind := range []string{"silo", "VM"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, "sleep", "1000")
			if kind == "silo" {
				r.inSilo()
			}
			open, closed := r.serve("open", 0o666), r.serve("closed", 0o600)
			r.must(os.Chown(closed.path, 1234, 55))
			r.mountSocket(open, "ro")
			r.mountSocket(closed)
			r.start()
			r.equal("stat", r.inside("cd /mnt; stat -c '%n %F %a %u:%g' open closed"), "open socket 666 0:0\nclosed socket 600 1234:55")
			r.equal("there and back", r.inside("echo hello | client talk /mnt/open"), "hello")
			r.equal("who that was", <-open.users, "0:0")
			r.equal("a user", r.ok("exec", "--user", "1234:5678", r.id, "client", "talk", "/mnt/closed"), "")
			r.equal("who that was", <-closed.users, "1234:5678")
			if res := r.wrun("exec", "--user", "1235:55", r.id, "client", "talk", "/mnt/closed"); res.code != 1 || !strings.Contains(res.err, "permission denied") {
				t.Errorf("another user: %s", res)
			}
			// Its name has gone, and then its server.
			r.must(os.Remove(open.path))
			r.equal("without a name", r.inside("echo still | client talk /mnt/open"), "still")
			open.Close()
			if res := r.wrun("exec", r.id, "client", "talk", "/mnt/open"); res.out != "" || kind == "silo" && res.code == 0 || res.took > 5*time.Second {
				t.Errorf("without a server: %s", res)
			}
			r.equal("afterwards", r.inside("echo on | client talk /mnt/closed"), "on")
			r.ok("kill", r.id, "KILL")
			r.until("stopped", r.stopped)
		})
	}
}

// TestSocketNotMounted: what lies in a shared directory is not reached.
func TestSocketNotMounted(t *testing.T) {
	r := newRig(t, "client", "talk", "/tmp/there")
	s := r.serve("rootfs/tmp/there", 0o666)
	mounted := r.serve("mounted", 0o666)
	r.mountSocket(mounted)
	if res := r.run(); res.code != 1 || !strings.Contains(res.err, "connection refused") {
		t.Errorf("%s", res)
	}
	if len(s.users) != 0 {
		t.Error("it was reached")
	}
}

// TestSocketMuch: 10 MB there and back; who does not read holds up nobody else.
func TestSocketMuch(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	s := r.serve("s", 0o666)
	deaf := &server{path: filepath.Join(r.dir, "deaf")}
	var err error
	deaf.Listener, err = net.Listen("unix", deaf.path)
	r.must(err)
	defer deaf.Close()
	r.mountSocket(s)
	r.mountSocket(deaf)
	r.start()
	r.ok(append([]string{"exec", "--detach", r.id}, sh("yes | client talk /mnt/deaf")...)...)
	held, err := deaf.Accept()
	r.must(err)
	defer held.Close()
	name, sum := r.sample(10 << 20)
	r.stdin, err = os.Open(name)
	r.must(err)
	defer r.stdin.Close()
	res := r.wrun("exec", r.id, "client", "talk", "/mnt/s")
	t.Logf("10 MB there and back: %v", res.took.Round(time.Millisecond))
	if res.code != 0 || sumOf(res.out) != sum {
		t.Errorf("%d bytes came back: exit code %d, stderr %s", len(res.out), res.code, res.err)
	}
	r.stdin = nil
	r.equal("exec beside it", r.inside("echo on"), "on")
	// Its container can be killed all the same.
	begun := time.Now()
	r.ok("delete", "--force", r.id)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("delete --force took %v", took)
	}
}

// TestSocketMany: more connections at once than a container can have.
func TestSocketMany(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	s := r.serve("s", 0o666)
	r.mountSocket(s)
	monitor := proc{pid: r.start()}
	r.equal("one", r.inside("client many /mnt/s 1"), "1")
	before := monitor.descriptors(t)
	s.pause.Store(int64(time.Second)) // so that all come before the first goes
	begun := time.Now()
	r.equal("all are answered", r.inside("client many /mnt/s 300"), "300")
	t.Logf("300 connections: %v, at most %d at once", time.Since(begun).Round(time.Millisecond), s.most.Load())
	if s.most.Load() != 128 {
		t.Errorf("%d connections at once, want 128", s.most.Load())
	}
	r.until("the monitor has no more descriptors than before", func() bool { return monitor.descriptors(t) <= before })
}

// TestSocketEnds: connections end with their container, and what it said last
// arrives.
func TestSocketEnds(t *testing.T) {
	r := newRig(t, sh("echo last words | client talk /mnt/s & sleep 1000")...)
	s := r.serve("s", 0o666)
	heard := make(chan string, 1000)
	s.Close()
	l, err := net.Listen("unix", s.path)
	r.must(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // it never answers, and never closes
				heard <- "connected"
				said, _ := io.ReadAll(c)
				heard <- string(said)
			}()
		}
	}()
	next := func() string {
		select {
		case word := <-heard:
			return word
		case <-time.After(10 * time.Second):
			return "nothing"
		}
	}
	r.mountSocket(s)
	r.start()
	r.equal("first", next()+" "+next(), "connected last words")
	r.ok("kill", r.id, "KILL")
	r.until("stopped", r.stopped)
	r.ok("delete", r.id)

	// It ends right after it has written.
	const words = 100
	r.spec.Process.Args = []string{"client", "say", "/mnt/s", fmt.Sprint(words)}
	if res := r.run(); res.code != 0 {
		t.Errorf("%s", res)
	}
	said := map[string]int{}
	for said["nothing"] == 0 && len(said) <= words {
		said[next()]++
	}
	if said["nothing"] != 0 || said["connected"] != words {
		t.Errorf("of %d words at the end, these were heard: %v", words, said)
	}

	// The VM is killed.
	r.spec.Process.Args = sh("(echo begun; exec sleep 1000) | client talk /mnt/s")
	r.start()
	r.equal("connected", next(), "connected")
	r.must(syscall.Kill(r.the("qemu").pid, syscall.SIGKILL))
	if next() == "nothing" {
		t.Error("a connection outlives its VM")
	}
	r.until("stopped", r.stopped)
}

// TestSocketOfOtherKinds: what cannot work is refused, and told.
func TestSocketOfOtherKinds(t *testing.T) {
	r := newRig(t, "true")
	path := filepath.Join(r.dir, "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	r.must(err)
	defer l.Close()
	r.mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: path, Options: []string{"bind"}})
	if res := r.run(); res.code != 1 || !strings.Contains(res.err, "is a datagram socket") || !strings.Contains(res.err, "leave windows.hyperv out") {
		t.Errorf("a datagram socket: %s", res)
	}
	r.must(os.Remove(path))
	if res := r.run(); res.code != 1 || !strings.Contains(res.err, "no such file") {
		t.Errorf("a socket that is gone: %s", res)
	}
	r.must(syscall.Mkfifo(path, 0o600))
	r.spec.Mounts[len(r.spec.Mounts)-1].Destination = "/mnt/fifo"
	if res := r.run(); res.code != 0 || !strings.Contains(res.err, "is a fifo, which in a utility VM does not reach the host") {
		t.Errorf("a fifo: %s", res)
	}
}

// TestSocketsInPod: each container of a pod has its own.
func TestSocketsInPod(t *testing.T) {
	p := newPod(t)
	own, others := p.serve("s", 0o666), p.serve("t", 0o666)
	none := len(p.spec.Mounts)
	pid := p.state(p.id).Pid
	before := proc{pid: pid}.descriptors(t)
	p.mountSocket(own)
	first := p.member(sh("(echo one; exec sleep 1000) | client talk /mnt/s")...)
	p.ok("create", first)
	p.ok("start", first)
	p.equal("who connects", <-own.users, "0:0")
	p.spec.Mounts[none].Source = others.path
	second := p.member(sh("echo two | client talk /mnt/s")...)
	if res := p.wrun("run", second); res.code != 0 || res.out != "two\n" {
		t.Errorf("another member: %s", res)
	}
	if len(own.users) != 0 || len(others.users) != 1 {
		t.Errorf("%d and %d connected", len(own.users), len(others.users))
	}
	p.spec.Mounts = p.spec.Mounts[:none]
	if res := p.wrun("run", p.member("client", "talk", "/mnt/s")); res.code != 1 || !strings.Contains(res.err, "connect") {
		t.Errorf("a member without: %s", res)
	}
	p.ok("delete", "--force", first)
	select {
	case <-own.ended:
	case <-time.After(10 * time.Second):
		t.Error("a connection outlives its container")
	}
	p.until("nothing of them stays with the sandbox's monitor", func() bool { return proc{pid: pid}.descriptors(t) <= before })
}
