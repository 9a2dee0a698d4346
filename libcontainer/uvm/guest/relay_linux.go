package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

// drainQuiet is how long nothing may come from a terminal whose process has
// ended until it counts as empty: other processes may keep it open.
const drainQuiet = 50 * time.Millisecond

// relay connects a process's pipes or terminal with its streams.
type relay struct {
	given []*os.File     // the process's ends, until it has them
	outs  []*wire.Stream // that the host waits for the end of

	mu  sync.Mutex
	pty *os.File // the terminal's master, nil until it came
	end bool
}

// connect makes what the process gets, and begins to copy.
func (t *task) connect(conn *wire.Conn, s wire.Streams) (libcontainer.Stdio, error) {
	r := &relay{}
	t.streams = r
	if s.Terminal != nil {
		return r.terminal(conn.Stream(s.In), *s.Terminal)
	}
	var io libcontainer.Stdio
	var err error
	if s.In != 0 {
		io.In, err = r.input(conn.Stream(s.In))
	}
	if s.Out != 0 && err == nil {
		io.Out, err = r.output(conn.Stream(s.Out))
	}
	if s.Err != 0 && err == nil {
		io.Err, err = r.output(conn.Stream(s.Err))
	}
	if err != nil {
		r.begun()
		r.drop()
	}
	return io, err
}

func (r *relay) input(s *wire.Stream) (*os.File, error) {
	out, in, err := pipe()
	if err != nil {
		return nil, err
	}
	theirs, ours := os.NewFile(uintptr(out), "pipe"), os.NewFile(uintptr(in), "pipe")
	r.given = append(r.given, theirs)
	go func() {
		if _, err := io.Copy(ours, s); err != nil {
			_ = s.Stop() // nobody reads any more
		}
		ours.Close()
		s.Close()
	}()
	return theirs, nil
}

func (r *relay) output(s *wire.Stream) (*os.File, error) {
	ours, w, err := pipe()
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(w), "pipe")
	r.given = append(r.given, theirs)
	r.outs = append(r.outs, s)
	go func() {
		copyOut(s, ours)
		unix.Close(ours) // a reader that has gone: the process gets SIGPIPE
		_ = s.CloseWrite()
		s.Close()
	}()
	return theirs, nil
}

// pipe makes one whose ends block, and so a thread of the agent's. The runtime
// polls for those of os.Pipe: to begin with that takes a translated guest 5 ms.
func pipe() (r, w int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make a pipe: %w", err)
	}
	return ends[0], ends[1], nil
}

// copyOut copies what comes from a pipe until it ends, or nobody wants more.
func copyOut(to *wire.Stream, from int) {
	buf := make([]byte, 32<<10) // a frame's
	for {
		n, err := unix.Read(from, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// terminal has the pty's master come from the container, in which it is made.
func (r *relay) terminal(s *wire.Stream, like wire.Terminal) (libcontainer.Stdio, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return libcontainer.Stdio{}, fmt.Errorf("make a socket pair for the terminal: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "console")
	r.given = append(r.given, theirs)
	r.outs = append(r.outs, s)
	return libcontainer.Stdio{Console: theirs, Attached: func() error {
		defer unix.Close(pair[0])
		fd, err := receive(pair[0])
		if err != nil {
			return err
		}
		if err := unix.SetNonblock(fd, true); err != nil { // so that reads can have a deadline
			return err
		}
		pty := os.NewFile(uintptr(fd), "terminal")
		r.mu.Lock()
		r.pty = pty
		r.mu.Unlock()
		if err := r.resemble(like); err != nil {
			return err
		}
		go func() { _, _ = io.Copy(struct{ io.Writer }{pty}, s) }()
		go func() {
			r.copyTerminal(s)
			_ = s.CloseWrite()
			s.Close()
		}()
		return nil
	}}, nil
}

// receive takes a descriptor that was sent already.
func receive(socket int) (int, error) {
	name, rights := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, name, rights, unix.MSG_CMSG_CLOEXEC)
	if err == nil {
		var messages []unix.SocketControlMessage
		if messages, err = unix.ParseSocketControlMessage(rights[:n]); err == nil && len(messages) == 1 {
			var fds []int
			if fds, err = unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
				return fds[0], nil
			}
		}
	}
	if err == nil {
		err = errors.New("no descriptor came")
	}
	return -1, fmt.Errorf("receive the terminal: %w", err)
}

// copyTerminal ends with the pty: with EIO when nobody has it open any more, or
// when its process has ended and nothing comes.
func (r *relay) copyTerminal(s *wire.Stream) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.pty.Read(buf)
		if n > 0 {
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.end {
			_ = r.pty.SetReadDeadline(time.Now().Add(drainQuiet))
		}
		r.mu.Unlock()
	}
}

// begun closes our copies of what the process has now.
func (r *relay) begun() {
	for _, f := range r.given {
		f.Close()
	}
	r.given = nil
}

// ended is called when the process is.
func (r *relay) ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = true
	if r.pty != nil {
		_ = r.pty.SetReadDeadline(time.Now().Add(drainQuiet))
	}
}

// drop ends the streams of a process that was never started.
func (r *relay) drop() {
	for _, s := range r.outs {
		_ = s.CloseWrite()
		s.Close()
	}
}

// resemble makes the terminal like the one on the host.
func (r *relay) resemble(t wire.Terminal) error {
	r.mu.Lock()
	pty := r.pty
	r.mu.Unlock()
	if pty == nil {
		return errors.New("set up the terminal: the process has none")
	}
	raw, err := pty.SyscallConn() // Fd would make reads block for good
	if err != nil {
		return fmt.Errorf("set up the terminal: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = resemble(int(fd), t) }); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("set up the terminal: %w", failed)
	}
	return nil
}

func resemble(fd int, t wire.Terminal) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	if plain := mode.Oflag&unix.ONLCR == 0; plain != t.Plain {
		mode.Oflag ^= unix.ONLCR
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
			return err
		}
	}
	if t.Width == 0 && t.Height == 0 {
		return nil
	}
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: t.Height, Col: t.Width})
}
