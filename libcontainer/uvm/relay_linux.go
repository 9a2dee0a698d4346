package uvm

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

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
	// wake is an eventfd that ends copyIn, copying waits for that.
	wake    int
	copying sync.WaitGroup
	all     []*wire.Stream
}

// stream numbers: each process has a block of its own.
const streamsEach = 4

// newRelay opens the streams of process number n. A stream that is not there, or is
// the host's /dev/null, is the guest's. With a terminal only in is used, for both
// directions.
func newRelay(conn *wire.Conn, n uint32, terminal *wire.Terminal, in, out, err *os.File) (*relay, error) {
	wake, failed := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if failed != nil {
		return nil, fmt.Errorf("make an eventfd: %w", failed)
	}
	r := &relay{Streams: wire.Streams{Terminal: terminal}, wake: wake}
	base := n * streamsEach
	open := func(number uint32) *wire.Stream {
		s := conn.Stream(number)
		r.all = append(r.all, s)
		return s
	}
	if in != nil && !isNull(in) {
		r.In = base + 1
		r.in, r.input = in, open(r.In)
		if terminal != nil {
			r.outs.Add(1)
			go func() { defer r.outs.Done(); copyOut(in, r.input) }()
		}
	}
	if terminal != nil {
		return r, nil
	}
	for i, f := range []*os.File{out, err} {
		if f == nil || isNull(f) {
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
	return r, nil
}

// isNull says whether f is the null device. It does not ask for f's descriptor: that
// would have it block from then on, for whoever else has it, too.
func isNull(f *os.File) bool {
	st, err := f.Stat()
	if err != nil || st.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && s.Rdev == unix.Mkdev(1, 3)
}

// begin sends the input: the guest knows the stream by now.
func (r *relay) begin() {
	if r.in == nil {
		return
	}
	r.copying.Add(1)
	go func() { defer r.copying.Done(); r.copyIn() }()
}

// leave has copyIn read nothing that comes from now on: the process has ended.
func (r *relay) leave() { _, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// close ends the copying of a process that has ended, and forgets its streams.
func (r *relay) close() {
	r.leave()
	for _, s := range r.all {
		s.Close()
	}
	r.copying.Wait()
	unix.Close(r.wake)
}

// copyIn ends with the caller's end of the input, when nobody reads it, or when
// the process has ended: it reads only what is there, so that what the process
// leaves is its caller's.
func (r *relay) copyIn() {
	defer r.input.CloseWrite() //nolint:errcheck // of a VM that is gone
	buf := make([]byte, 32<<10)
	for r.ready() {
		n, err := r.in.Read(buf)
		if n > 0 {
			if _, err := r.input.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// ready waits for input; not, when the process has ended.
func (r *relay) ready() bool {
	fds := []unix.PollFd{{Fd: int32(r.in.Fd()), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		return err == nil && fds[1].Revents == 0
	}
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
