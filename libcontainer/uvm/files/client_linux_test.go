package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// client speaks to a server of this process without a kernel, which would not
// say what these tests say.
type client struct {
	t      testing.TB
	conn   *os.File
	tree   string
	served chan error
	unique uint64
}

func newClient(t testing.TB) *client {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("serving files to all users needs root")
	}
	c := &client{t: t, tree: filepath.Join(t.TempDir(), "tree"), served: make(chan error, 1)}
	must(t, os.Mkdir(c.tree, 0o755))
	root, err := unix.Open(c.tree, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	ours, theirs := socketpair(t)
	c.conn = ours
	must(t, unix.SetsockoptTimeval(int(ours.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	go func() {
		err := Serve(int(theirs.Fd()), root)
		theirs.Close()
		unix.Close(root)
		c.served <- err
	}()
	return c
}

// bytesOf is the message form of a struct.
func bytesOf[T any](v T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...)
}

func frame(op uint32, node uint64, body ...[]byte) []byte {
	h := inHeader{length: uint32(inHeaderSize), opcode: op, unique: 2, node: node}
	for _, b := range body {
		h.length += uint32(len(b))
	}
	f := bytesOf(h)
	for _, b := range body {
		f = append(f, b...)
	}
	return f
}

func (c *client) send(f []byte) {
	c.t.Helper()
	_, err := c.conn.Write(f)
	must(c.t, err)
}

func (c *client) call(op uint32, node uint64, body ...[]byte) (unix.Errno, []byte) {
	c.t.Helper()
	c.unique += 2
	f := frame(op, node, body...)
	binary.NativeEndian.PutUint64(f[8:], c.unique)
	c.send(f)
	buf := make([]byte, maxFrame)
	n := 0
	for n < outHeaderSize || n < int(*view[uint32](buf)) {
		got, err := c.conn.Read(buf[n:])
		must(c.t, err)
		n += got
	}
	h := view[outHeader](buf)
	want(c.t, "reply to", h.unique, c.unique)
	return unix.Errno(-h.errno), buf[outHeaderSize:n]
}

func (c *client) ok(op uint32, node uint64, body ...[]byte) []byte {
	c.t.Helper()
	errno, b := c.call(op, node, body...)
	if errno != 0 {
		c.t.Fatalf("operation %d: %v", op, errno)
	}
	return b
}

func (c *client) refused(what string, expected unix.Errno, op uint32, node uint64, body ...[]byte) {
	c.t.Helper()
	errno, _ := c.call(op, node, body...)
	want(c.t, what, errno, expected)
}

func (c *client) init() {
	c.t.Helper()
	reply := view[initOut](c.ok(opInit, 0, bytesOf(initIn{major: 7, minor: 45, maxReadahead: 1 << 20, flags: ^uint32(0)}), make([]byte, 48)))
	want(c.t, "minor", reply.minor, protocolMinor)
	want(c.t, "write-back cache, locks, lists", reply.flags&(1<<16|1<<1|1<<10|1<<20), 0)
}

// end closes the connection, and returns what Serve did then.
func (c *client) end() error {
	c.t.Helper()
	c.conn.Close()
	select {
	case err := <-c.served:
		return err
	case <-time.After(5 * time.Second):
		c.t.Fatal("Serve did not return")
		return nil
	}
}

func text(s string) []byte { return append([]byte(s), 0) }

func TestEscape(t *testing.T) {
	before := len(openDescriptors("self"))
	c := newClient(t)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(c.tree), "outside"), []byte("secret"), 0o644))
	must(t, os.WriteFile(filepath.Join(c.tree, "file"), []byte("text"), 0o644))
	must(t, os.Symlink("../outside", filepath.Join(c.tree, "link")))
	must(t, unix.Mknod(filepath.Join(c.tree, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mkfifo(filepath.Join(c.tree, "fifo"), 0o666))
	c.refused("before INIT", unix.ENOTCONN, opLookup, rootNode, text("file"))
	c.init()
	for _, name := range []string{"", ".", "..", "/", "../outside", "a/b", "/etc/passwd", "file/"} {
		n := text(name)
		for op, body := range map[uint32][][]byte{
			opLookup: {n}, opMkdir: {bytesOf(mkdirIn{}), n}, opMknod: {bytesOf(mknodIn{mode: unix.S_IFREG}), n},
			opUnlink: {n}, opRmdir: {n}, opSymlink: {n, text("x")}, opLink: {bytesOf(linkIn{node: rootNode}), n},
			opCreate: {bytesOf(createIn{}), n}, opRename: {bytesOf(renameIn{directory: rootNode}), n, text("x")},
			opRename2: {bytesOf(rename2In{directory: rootNode}), text("file"), n},
		} {
			c.refused(name, unix.EINVAL, op, rootNode, body...)
		}
	}
	find := func(name string) uint64 { return view[entryOut](c.ok(opLookup, rootNode, text(name))).node }
	open := bytesOf(openIn{flags: unix.O_RDWR})
	c.refused("open a link", unix.ELOOP, opOpen, find("link"), open)
	c.refused("open a device", unix.ENXIO, opOpen, find("null"), open)
	c.refused("open a pipe", unix.ENXIO, opOpen, find("fifo"), open)
	c.refused("open a directory", unix.EISDIR, opOpen, rootNode, open)
	c.refused("create over a device", unix.ENXIO, opCreate, rootNode, bytesOf(createIn{flags: unix.O_WRONLY}), text("null"))
	c.refused("create over a link", unix.ELOOP, opCreate, rootNode, bytesOf(createIn{flags: unix.O_WRONLY}), text("link"))
	c.refused("lookup below a link", unix.ENOTDIR, opLookup, find("link"), text("outside"))
	c.refused("truncate through a link", unix.EINVAL, opSetattr, find("link"), bytesOf(setattrIn{valid: attrSize}))
	c.refused("mode of a link", unix.EOPNOTSUPP, opSetattr, find("link"), bytesOf(setattrIn{valid: attrMode}))
	c.refused("list a file", unix.ENOTDIR, opOpendir, find("file"), open)
	c.refused("make a directory by mknod", unix.EINVAL, opMknod, rootNode, bytesOf(mknodIn{mode: unix.S_IFDIR}), text("d"))

	c.refused("a number made up", unix.ESTALE, opGetattr, 9999, bytesOf(getattrIn{}))
	c.refused("a number made up", unix.ESTALE, opRename, rootNode, bytesOf(renameIn{directory: 9999}), text("file"), text("x"))
	file := find("file")
	handle := view[openOut](c.ok(opOpen, file, open)).handle
	c.refused("a handle made up", unix.EBADF, opRead, file, bytesOf(transferIn{handle: handle + 1, size: 4}))
	c.refused("another file's handle", unix.EBADF, opRead, find("null"), bytesOf(transferIn{handle: handle, size: 4}))
	c.refused("a file's handle for a directory", unix.EBADF, opReaddir, rootNode, bytesOf(transferIn{handle: handle, size: 4}))
	c.refused("offset", unix.EINVAL, opRead, file, bytesOf(transferIn{handle: handle, offset: 1 << 63, size: 4}))
	c.refused("size", unix.EINVAL, opRead, file, bytesOf(transferIn{handle: handle, size: maxPayload + 1}))
	c.refused("size", unix.EINVAL, opWrite, file, bytesOf(transferIn{handle: handle, size: 5}), []byte("four"))
	c.refused("user", unix.EINVAL, opSetattr, file, bytesOf(setattrIn{valid: attrSize, size: 1 << 63}))
	c.refused("unknown operation", unix.ENOSYS, 4000, file)

	// What is forgotten in excess is gone, and its number means nothing again.
	c.send(frame(opForget, file, bytesOf(forgetIn{lookups: 1 << 60})))
	c.send(frame(opForget, rootNode, bytesOf(forgetIn{lookups: 1 << 60})))
	deadline := time.Now().Add(time.Second)
	for {
		errno, _ := c.call(opGetattr, file, bytesOf(getattrIn{}))
		if errno == unix.ESTALE {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("forgotten: %v", errno)
		}
	}
	if again := find("file"); again == file {
		t.Error("a number was used twice")
	}
	want(t, "read", string(c.ok(opRead, file, bytesOf(transferIn{handle: handle, size: 10}))), "text")
	must(t, c.end())
	want(t, "descriptors left open", len(openDescriptors("self"))-before, 0)
}

func TestMalformed(t *testing.T) {
	short := bytesOf(inHeader{length: 20, opcode: opGetattr})
	long := bytesOf(inHeader{length: maxFrame + 1, opcode: opWrite})
	for what, bad := range map[string]struct {
		bytes []byte
		err   error
	}{
		"too short":         {short, errFrameLength},
		"too long":          {long, errFrameLength},
		"without its body":  {frame(opGetattr, rootNode), errFrameShape},
		"with too much":     {frame(opGetattr, rootNode, make([]byte, 24)), errFrameShape},
		"without NUL":       {frame(opLookup, rootNode, []byte("name")), errFrameShape},
		"with NUL inside":   {frame(opLookup, rootNode, text("na\x00me")), errFrameShape},
		"with one name":     {frame(opRename, rootNode, bytesOf(renameIn{}), text("a")), errFrameShape},
		"without any names": {frame(opSymlink, rootNode), errFrameShape},
	} {
		c := newClient(t)
		c.init()
		c.send(bad.bytes)
		select {
		case err := <-c.served:
			if !errors.Is(err, bad.err) || strings.Contains(err.Error(), "\x00") {
				t.Errorf("message %s: %v, want %v", what, err, bad.err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("message %s: Serve goes on", what)
		}
		c.conn.Close()
	}
}

// TestStartOver initialises a connection anew, as after an unmount in the guest.
func TestStartOver(t *testing.T) {
	c := newClient(t)
	c.init()
	made := view[createOut](c.ok(opCreate, rootNode, bytesOf(createIn{flags: unix.O_RDWR, mode: 0o600}), text("file")))
	c.ok(opWrite, made.entry.node, bytesOf(transferIn{handle: made.open.handle, size: 1}), []byte("x"))
	c.ok(opDestroy, rootNode)
	c.refused("after DESTROY", unix.ENOTCONN, opGetattr, rootNode, bytesOf(getattrIn{}))
	c.init()
	c.refused("known before", unix.ESTALE, opGetattr, made.entry.node, bytesOf(getattrIn{}))
	c.ok(opLookup, rootNode, text("file"))
	must(t, c.end())
}

// TestNotBlocked asks something while many requests wait, half of them of kinds
// that are quick as a rule, on a file system that does not answer.
func TestNotBlocked(t *testing.T) {
	needFuse(t)
	c := newClient(t)
	c.init()
	hung := filepath.Join(c.tree, "hung")
	must(t, os.Mkdir(hung, 0o755))
	silent, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Mount("silent", hung, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", silent)))
	t.Cleanup(func() { _ = unix.Unmount(hung, unix.MNT_DETACH) })
	slow, err := os.Create(filepath.Join(c.tree, "slow"))
	must(t, err)
	defer slow.Close()
	signal.Ignore(unix.SIGIO)
	_, err = unix.FcntlInt(slow.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	must(t, err)
	node := view[entryOut](c.ok(opLookup, rootNode, text("slow"))).node
	const many = 3 * workers
	for i := range many {
		waits := frame(opLookup, rootNode, text("hung"))
		if i%2 == 0 {
			waits = frame(opSetattr, node, bytesOf(setattrIn{valid: attrSize, size: 1}))
		}
		binary.NativeEndian.PutUint64(waits[8:], 1)
		c.send(waits)
	}
	for range 10 {
		c.ok(opGetattr, rootNode, bytesOf(getattrIn{}))
	}
	must(t, unix.Close(silent))
	_, err = unix.FcntlInt(slow.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	must(t, err)
	failed := 0
	for range many {
		header := make([]byte, outHeaderSize)
		_, err := io.ReadFull(c.conn, header)
		must(t, err)
		h := view[outHeader](header)
		want(t, "late reply to", h.unique, 1)
		if h.errno != 0 {
			failed++
		}
		_, err = io.ReadFull(c.conn, make([]byte, int(h.length)-outHeaderSize))
		must(t, err)
	}
	want(t, "requests that got nothing from what does not answer", failed, many/2)
	must(t, c.end())
}
