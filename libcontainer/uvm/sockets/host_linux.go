package sockets

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

// Pinned are the sockets of the host that a container mounts. As with a mount it
// is the socket that counts, not its name: one that is made anew is another.
type Pinned struct {
	relays
	sockets map[string]*os.File // O_PATH, by the mount's name; all are there before the guest knows of one
}

// Pin makes an empty set.
func Pin() *Pinned { return &Pinned{relays: newRelays(), sockets: map[string]*os.File{}} }

// Len is how many there are.
func (p *Pinned) Len() int { return len(p.sockets) }

// Add has the socket at path be reached by name, and describes it for the guest.
func (p *Pinned) Add(name, path string) (wire.Socket, error) {
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return wire.Socket{}, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		err = fmt.Errorf("%s is no socket any more", path)
	}
	if err == nil {
		err = onlyStreams(path, int(f.Fd()))
	}
	if err != nil {
		f.Close()
		return wire.Socket{}, err
	}
	p.sockets[name] = f
	return wire.Socket{Name: name, UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777}, nil
}

// onlyStreams refuses a socket that is served, but not as a stream. The kernel says
// which kind a socket is to who connects with the wrong one, and the server does
// not hear of it.
func onlyStreams(path string, fd int) error {
	for kind, name := range map[int]string{unix.SOCK_DGRAM: "datagram", unix.SOCK_SEQPACKET: "seqpacket"} {
		s, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("make a socket: %w", err)
		}
		err = unix.Connect(s, addressOf(uintptr(fd)))
		unix.Close(s)
		switch err {
		case unix.EPROTOTYPE, unix.ECONNREFUSED: // refused: nobody listens there
		case nil, unix.EPERM, unix.EAGAIN:
			return libcontainer.WithHint(fmt.Errorf("%s is a %s socket, and only streams reach a utility VM", path, name), "leave windows.hyperv out, or have the server listen at a stream socket")
		default:
			return fmt.Errorf("look at the socket %s: %w", path, err)
		}
	}
	return nil
}

func addressOf(fd uintptr) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(fd))}
}

// Dial answers wire.OpDial: it connects, and relays from then on.
func (p *Pinned) Dial(c *wire.Conn, d wire.Dial) error {
	s, err := c.Accept(d.Stream)
	if err != nil {
		return err
	}
	end := time.Now().Add(dialWait)
	if err := p.take(dialWait); err != nil {
		s.Close()
		return err
	}
	conn, err := p.connect(d, time.Until(end))
	if err != nil {
		p.give()
		s.Close()
		return err
	}
	go p.run(conn, s)
	return nil
}

func (p *Pinned) connect(d wire.Dial, most time.Duration) (*connection, error) {
	socket := p.sockets[d.Name]
	if socket == nil {
		return nil, fmt.Errorf("the container mounts no socket %q", d.Name)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	u := user{d.UID, d.GID, d.Groups}
	fd := -1
	var failed error
	err = raw.Control(func(pinned uintptr) { // which stays open for so long
		failed = u.do(func() (err error) {
			fd, err = dial(addressOf(pinned), most)
			return err
		})
	})
	if err = errors.Join(err, failed); err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	return newConnection(fd, unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: u.uid, Gid: u.gid}))
}

// dial waits for the server to accept, for most.
func dial(to unix.Sockaddr, most time.Duration) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	for end := time.Now().Add(most); ; {
		// A socket that does not block is told at once that the server's queue is
		// full, and never when it is not any more.
		left := unix.NsecToTimeval(max(time.Until(end), time.Millisecond).Nanoseconds())
		if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &left); err != nil {
			break
		}
		if err = unix.Connect(fd, to); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// Drain waits until what a container that has ended sent last is delivered, for
// most. No connection comes after it.
func (p *Pinned) Drain(most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	p.drain(late.C)
}

// Close ends all connections.
func (p *Pinned) Close() {
	p.close()
	for _, f := range p.sockets {
		f.Close()
	}
}
