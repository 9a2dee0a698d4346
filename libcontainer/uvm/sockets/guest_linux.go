package sockets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

// Listeners are where a container's processes connect to sockets of the host.
type Listeners struct {
	relays
	conn      *wire.Conn
	id        string // of the container
	dir       string
	listeners []*os.File
	paths     map[string]string // by the mount's name
	accepting sync.WaitGroup
}

// backlog is how many can wait to be accepted before connecting blocks or, for who
// does not want to wait, fails: what Linux allows at most.
const backlog = 4096

// Listen makes a socket for each of list, in a new directory below parent, and
// connects whoever comes there with the host at the other end of conn.
func Listen(conn *wire.Conn, id, parent string, list []wire.Socket) (_ *Listeners, err error) {
	l := &Listeners{relays: newRelays(), conn: conn, id: id, paths: map[string]string{}}
	if l.dir, err = os.MkdirTemp(parent, "sockets-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	for i, s := range list {
		// A short name: the kernel takes 108 bytes.
		path := filepath.Join(l.dir, strconv.Itoa(i))
		f, err := listen(path, s)
		if err != nil {
			return nil, fmt.Errorf("listen for %s: %w", s.Name, err)
		}
		l.listeners = append(l.listeners, f)
		l.paths[s.Name] = path
		l.accepting.Go(func() { l.accept(f, s.Name) })
	}
	return l, nil
}

// listen makes a socket that belongs to whom the host's does.
func listen(path string, s wire.Socket) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return unix.Bind(fd, &unix.SockaddrUnix{Name: path}) },
		func() error { return unix.Chown(path, int(s.UID), int(s.GID)) },
		func() error { return unix.Chmod(path, s.Mode) },
		func() error { return unix.Listen(fd, backlog) },
	} {
		if err := step(); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Path is where it listens for the mount of that name; "" for none.
func (l *Listeners) Path(name string) string { return l.paths[name] }

// accept takes connections, one after the other: a server on the host that does
// not accept keeps those waiting that want the same one.
func (l *Listeners) accept(f *os.File, name string) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	for waits(raw) && l.take(0) == nil {
		fd := -1
		var failed error
		err := raw.Control(func(listener uintptr) { fd, _, failed = unix.Accept4(int(listener), unix.SOCK_CLOEXEC) })
		if err == nil && failed == nil {
			l.connect(fd, name)
			continue
		}
		l.give()
		if failed != unix.EINTR && failed != unix.ECONNABORTED {
			return // nobody is there and nobody comes any more, or the VM has no descriptors left
		}
	}
}

// waits waits until somebody wants to be accepted, or nobody can any more.
func waits(listener syscall.RawConn) bool {
	return listener.Read(func(fd uintptr) bool {
		is := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(is, 0)
		return n > 0 || err != nil && err != unix.EINTR
	}) == nil
}

// connect has the host connect for whoever has connected here with fd. Its slot
// is free again when that has ended.
func (l *Listeners) connect(fd int, name string) {
	who, err := peer(fd)
	if err != nil {
		unix.Close(fd)
		l.give()
		return
	}
	c, err := newConnection(fd, nil)
	if err != nil {
		l.give()
		return
	}
	number, s := l.conn.Open()
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialWait)
	defer cancel()
	if err := l.conn.Call(ctx, wire.OpDial, wire.Dial{ID: l.id, Name: name, Stream: number, UID: who.uid, GID: who.gid, Groups: who.groups}, nil); err != nil {
		// What a client can be told of it is the end of its connection.
		_, _ = s.CloseWrite(), s.Stop() // should the host connect after all
		s.Close()
		c.file.Close()
		l.give()
		return
	}
	go l.run(c, s)
}

// Finish is for a container that has ended: whoever connected before is still
// accepted, nobody else, and what they have sent goes to the host. It returns
// when that is done, or after most.
func (l *Listeners) Finish(most time.Duration) {
	if l == nil {
		return
	}
	late := time.NewTimer(most)
	defer late.Stop()
	for _, f := range l.listeners {
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) })
		}
	}
	accepted := make(chan struct{})
	go func() { l.accepting.Wait(); close(accepted) }()
	select {
	case <-accepted:
	case <-late.C:
		return
	}
	l.drain(late.C)
}

// Close ends all.
func (l *Listeners) Close() {
	if l == nil {
		return
	}
	l.close()
	for _, f := range l.listeners {
		f.Close()
	}
	_ = os.RemoveAll(l.dir) // in the memory of a VM
}
