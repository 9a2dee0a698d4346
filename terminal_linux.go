package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// terminal relays between wrun's standard streams and the pseudoterminal of
// the process in the foreground. The host makes the pty inside the container
// and sends its master to theirs, as it would to an engine's console socket.
type terminal struct {
	theirs *os.File // given to the host
	ours   int      // the other end

	mu     sync.Mutex
	master *os.File // nil until it came
	ended  bool
	saved  *unix.Termios // stdin's mode before it was raw

	set    chan struct{} // closed when master has its modes and its size
	copied chan struct{} // closed when all output is written
}

const (
	// drainQuiet is how long nothing may come from a pty whose process has
	// ended until it counts as empty. The end of the last holder of the slave
	// ends the copy at once; the wait is for exec, whose children may stay. The
	// kernel hands written bytes to the master from a work queue, so an empty
	// read right after the end proves nothing.
	drainQuiet = 50 * time.Millisecond
	// drainMost is what a pty can hold (the tty layer's buffer limit): more
	// than that is somebody else's output.
	drainMost = 640 << 10
)

// newTerminal has the terminal of a process come to us.
func newTerminal(io *libcontainer.Stdio, _ *specs.Process) (*terminal, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket pair for the terminal: %w", err)
	}
	t := &terminal{ours: pair[0], theirs: os.NewFile(uintptr(pair[1]), "console"), set: make(chan struct{}), copied: make(chan struct{})}
	io.Console, io.Attached = t.theirs, t.attached
	go t.relay()
	return t, nil
}

// attached waits until the master is here and set up, for the program's first
// line already has to find it so. It was sent before this is called.
func (t *terminal) attached() error {
	select {
	case <-t.set:
		return nil
	case <-time.After(attachPatience):
		return errors.New("the terminal of the process did not arrive")
	}
}

const attachPatience = 10 * time.Second

// relay waits for the master and copies until the process has ended.
func (t *terminal) relay() {
	defer close(t.copied)
	fd, err := receiveFD(t.ours)
	if err != nil {
		return // the process was never started; its error says why
	}
	// wrun must outlive a reader of its output. The process is cloned already,
	// so what is caught here is not caught there.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	unix.SetNonblock(fd, true) // so that reads can have a deadline
	master := os.NewFile(uintptr(fd), "terminal")
	t.prepare(fd)
	t.mu.Lock()
	t.master = master
	if t.ended {
		master.SetReadDeadline(time.Now().Add(drainQuiet))
	}
	t.mu.Unlock()
	t.resize()
	close(t.set)
	go io.Copy(struct{ io.Writer }{master}, os.Stdin)
	t.copyOutput(master, os.Stdout)
}

// copyOutput ends with the pty: with EIO when nobody holds the slave any more,
// or at the deadline that end sets. A caller that no longer reads must not
// block the process, so what cannot be written is dropped.
func (t *terminal) copyOutput(master *os.File, out io.Writer) {
	buf, left := make([]byte, 32<<10), drainMost
	for {
		n, err := master.Read(buf)
		if n > 0 && out != nil {
			if _, werr := out.Write(buf[:n]); werr != nil {
				out = nil
			}
		}
		if err != nil {
			return
		}
		t.mu.Lock()
		if t.ended {
			left -= n
			master.SetReadDeadline(time.Now().Add(drainQuiet))
		}
		t.mu.Unlock()
		if left <= 0 {
			return
		}
	}
}

// prepare sets the modes of both terminals. Ours becomes raw, so that each key
// reaches the container; output processing stays on, and the container's pty
// leaves "\n" alone: a program's output then is the same byte for byte whether
// wrun writes it to a terminal or into a pipe.
func (t *terminal) prepare(master int) {
	if mode, err := unix.IoctlGetTermios(master, unix.TCGETS); err == nil {
		mode.Oflag &^= unix.ONLCR
		unix.IoctlSetTermios(master, unix.TCSETS, mode)
	}
	mode, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		return // stdin is no terminal
	}
	raw := *mode
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && unix.IoctlSetTermios(0, unix.TCSETS, &raw) == nil {
		t.saved = mode
	}
}

// resize gives the pty the size of the first of our streams that has one.
func (t *terminal) resize() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == nil {
		return
	}
	for fd := range 3 {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err != nil {
			continue
		}
		conn, err := t.master.SyscallConn() // Fd would make reads block for good
		if err == nil {
			conn.Control(func(master uintptr) { unix.IoctlSetWinsize(int(master), unix.TIOCSWINSZ, size) })
		}
		return
	}
}

// end writes out what the process left in the pty and restores our terminal.
func (t *terminal) end() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.ended = true
	if t.master != nil {
		t.master.SetReadDeadline(time.Now().Add(drainQuiet))
	}
	t.mu.Unlock()
	// A master that is still on its way is read all the same.
	unix.Shutdown(t.ours, unix.SHUT_RD)
	<-t.copied
	if t.saved != nil {
		unix.IoctlSetTermios(0, unix.TCSETS, t.saved)
	}
	t.theirs.Close()
	unix.Close(t.ours)
}
