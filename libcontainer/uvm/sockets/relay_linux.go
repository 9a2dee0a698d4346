package sockets

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

// connection is a connected socket, on either side, whose other end is at the
// other side of a stream.
type connection struct {
	file *os.File
	raw  syscall.RawConn
	// credentials go with every write (SCM_CREDENTIALS); nil: this process's.
	credentials []byte
}

// newConnection takes fd over, also when it fails.
func newConnection(fd int, credentials []byte) (*connection, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // for Go's poller
		unix.Close(fd)
		return nil, err
	}
	c := &connection{file: os.NewFile(uintptr(fd), "socket"), credentials: credentials}
	var err error
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
	}
	return c, err
}

func (c *connection) Write(p []byte) (done int, err error) {
	for done < len(p) {
		var n int
		var failed error
		err := c.raw.Write(func(fd uintptr) bool {
			n, failed = unix.SendmsgN(int(fd), p[done:], c.credentials, nil, unix.MSG_NOSIGNAL)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return done, err
		case failed == unix.EINTR:
		case failed != nil:
			return done, failed
		default:
			done += n
		}
	}
	return done, nil
}

func (c *connection) shutdown(how int) {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), how) }) // of one that is closed
}

// hungUp waits until the peer has closed its socket, which is more than the end of
// what it sends: it does not read any more, either.
func (c *connection) hungUp() (gone bool) {
	err := c.raw.Read(func(fd uintptr) bool {
		is := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(is, 0)
		gone = is[0].Revents&unix.POLLHUP != 0
		return gone || err != nil && err != unix.EINTR
	})
	return gone && err == nil
}

// relay carries both directions until each has ended, and closes both. Either
// direction ends for itself, as those of a socket do (shutdown(2)).
func (c *connection) relay(s *wire.Stream) {
	sent := make(chan struct{})
	go func() {
		_, _ = pump(s, c.file)
		_ = s.CloseWrite()
		close(sent)
		if c.hungUp() {
			_ = s.Stop()
		}
	}()
	go func() {
		s.Unwanted()
		c.shutdown(unix.SHUT_RD) // whoever goes on writing learns it
	}()
	if _, err := pump(c, s); err != nil {
		_ = s.Stop()
		_, _ = pump(io.Discard, s)
	}
	c.shutdown(unix.SHUT_WR)
	<-sent
	s.Close()
	c.file.Close()
}

// pump is io.Copy with a buffer of the size of a frame.
func pump(to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 32<<10))
}

// relays are connections that are being relayed.
type relays struct {
	slots chan struct{} // one for each, from before it is made

	mu     sync.Mutex
	live   map[*connection]*wire.Stream
	closed chan struct{}
}

func newRelays() relays {
	return relays{slots: make(chan struct{}, MostConnections), live: map[*connection]*wire.Stream{}, closed: make(chan struct{})}
}

// take waits for a slot; most of 0 is for ever.
func (r *relays) take(most time.Duration) error {
	var late <-chan time.Time
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		late = t.C
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-r.closed:
		return errClosed
	case <-late:
		return fmt.Errorf("the container has %d connections already", MostConnections)
	}
}

var errClosed = errors.New("the container has ended")

func (r *relays) give() { <-r.slots }

// run relays c, which has a slot, and gives that back.
func (r *relays) run(c *connection, s *wire.Stream) {
	defer r.give()
	r.mu.Lock()
	select {
	case <-r.closed:
		cut(c, s)
	default:
		r.live[c] = s
	}
	r.mu.Unlock()
	c.relay(s)
	r.mu.Lock()
	delete(r.live, c)
	r.mu.Unlock()
}

// drain waits until all have ended, or for late. No other begins after it.
func (r *relays) drain(late <-chan time.Time) {
	for range cap(r.slots) {
		select {
		case r.slots <- struct{}{}:
		case <-r.closed:
			return
		case <-late:
			return
		}
	}
}

// cut has a relay end at once.
func cut(c *connection, s *wire.Stream) {
	s.Close()
	c.shutdown(unix.SHUT_RDWR)
}

// close ends all, and takes no more.
func (r *relays) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.closed:
		return
	default:
	}
	close(r.closed)
	for c, s := range r.live {
		cut(c, s)
	}
}
