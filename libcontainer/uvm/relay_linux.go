package uvm

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

// relay copies between a process's standard streams on the host and its streams
// in the VM.
type relay struct {
	wire.Streams
	in    *os.File
	input *wire.Stream
	outs  sync.WaitGroup // until all output is written
	all   []*wire.Stream
}

// stream numbers: each process has a block of its own.
const streamsEach = 4

// newRelay opens the streams of process number n. A stream that is not there is
// the guest's /dev/null. With a terminal only in is used, for both directions.
func newRelay(conn *wire.Conn, n uint32, terminal *wire.Terminal, in, out, err *os.File) *relay {
	r := &relay{Streams: wire.Streams{Terminal: terminal}}
	base := n * streamsEach
	open := func(number uint32) *wire.Stream {
		s := conn.Stream(number)
		r.all = append(r.all, s)
		return s
	}
	if in != nil {
		r.In = base + 1
		r.in, r.input = in, open(r.In)
		if terminal != nil {
			r.outs.Add(1)
			go func() { defer r.outs.Done(); copyOut(in, r.input) }()
		}
	}
	if terminal != nil {
		return r
	}
	for i, f := range []*os.File{out, err} {
		if f == nil {
			continue
		}
		number := base + 2 + uint32(i)
		if i == 0 {
			r.Out = number
		} else {
			r.Err = number
		}
		s := open(number)
		r.outs.Add(1)
		go func() { defer r.outs.Done(); copyOut(f, s) }()
	}
	return r
}

// begin sends the input: the guest knows the stream by now.
func (r *relay) begin() {
	if r.in != nil {
		go copyIn(r.input, r.in)
	}
}

// close forgets the streams of a process that has ended.
func (r *relay) close() {
	for _, s := range r.all {
		s.Close()
	}
}

// copyIn ends with the caller's end of the input, or when nobody reads it.
func copyIn(s *wire.Stream, f *os.File) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{f}, make([]byte, 32<<10))
	_ = s.CloseWrite()
}

// copyOut ends with the process's output. When nobody on the host reads any
// more, the process learns it as it would there: by SIGPIPE.
func copyOut(f *os.File, s *wire.Stream) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{s}, make([]byte, 32<<10)); err != nil {
		_ = s.Stop()
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{s})
	}
}

// newTerminal makes a pseudoterminal on the host and sends its master to the
// console socket. The slave is ours, our controlling terminal, and raw: the
// terminal that the program sees is the VM's.
func newTerminal(console int) (*os.File, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name the terminal: %w", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	slave, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	mode, err := unix.IoctlGetTermios(slave, unix.TCGETS)
	if err == nil {
		// ONLCR stays as whoever has the master likes it, and has no effect here.
		mode.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		mode.Oflag &^= unix.OPOST
		mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		mode.Cflag = mode.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
		err = unix.IoctlSetTermios(slave, unix.TCSETS, mode)
	}
	if err == nil {
		err = unix.IoctlSetInt(slave, unix.TIOCSCTTY, 0) // for SIGWINCH
	}
	if err == nil {
		err = unix.Sendmsg(console, []byte(name), unix.UnixRights(master), nil, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		unix.Close(slave)
		return nil, fmt.Errorf("set up the terminal: %w", err)
	}
	return os.NewFile(uintptr(slave), "terminal"), nil
}

// terminalOf tells what the terminal of a slave is like by now.
func terminalOf(slave *os.File) (t wire.Terminal) {
	raw, err := slave.SyscallConn()
	if err != nil {
		return t
	}
	_ = raw.Control(func(fd uintptr) {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			t.Width, t.Height = size.Col, size.Row
		}
		if mode, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			t.Plain = mode.Oflag&unix.ONLCR == 0
		}
	})
	return t
}
