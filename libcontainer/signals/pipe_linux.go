package signals

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pipe holds the signals that this process got, one byte each, from Collect
// on. None is lost while nobody reads.
type Pipe struct {
	fd       int
	unblocks bool // the thread that reads next takes what the caller had blocked
}

// pipe is where the handler writes to; only it reads this.
var pipe int32 //nolint:unused // by assembly

// handlerPC is the address of the handler: the kernel enters it, and it writes
// its argument's low byte to pipe.
func handlerPC() uintptr

// restorerPC is the address of what ends the handler, as the C library would.
func restorerPC() uintptr

// action is the kernel's struct sigaction.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	saOnstack  = 0x08000000
	saRestart  = 0x10000000
	saRestorer = 0x04000000
	sigIgnore  = 1
	highest    = 64
)

// Collect begins to collect every signal that somebody may send to have it
// passed on, but for those that the caller of this process had ignored or
// blocked, and for the two that stop a process which reads or writes its terminal
// from the background: caught, they would make it loop.
//
// os/signal would do the same at 15 µs and two thread switches for each signal
// and with three threads of its own: a twentieth of a short container's time.
// This handler is a dozen instructions that run on the thread the signal finds,
// on the stack that Go keeps for signals.
func Collect() (*Pipe, error) { return collect(false) }

// CollectAll is for a process without a terminal that stands for another one,
// elsewhere: it collects also what Collect leaves out. What was blocked arrives when
// somebody reads.
func CollectAll() (*Pipe, error) { return collect(true) }

func collect(all bool) (*Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make the pipe for signals: %w", err)
	}
	// A full pipe must not halt the thread that a signal finds.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return nil, fmt.Errorf("make the pipe for signals: %w", err)
	}
	pipe = int32(fds[1])
	for n := 1; n <= highest; n++ {
		if s := unix.Signal(n); !passedOn(s) && (!all || s != unix.SIGTTIN && s != unix.SIGTTOU) {
			continue
		}
		// One after the other: the frames of ten at once do not fit on the stack for
		// signals.
		set := action{handler: handlerPC(), flags: saOnstack | saRestart | saRestorer, restorer: restorerPC(), mask: ^uint64(0)}
		var old action
		if err := sigaction(n, &set, &old); err != nil {
			return nil, err
		}
		if old.handler == sigIgnore && !all {
			if err := sigaction(n, &old, nil); err != nil {
				return nil, err
			}
		}
	}
	return &Pipe{fd: fds[0], unblocks: all}, nil
}

// passedOn leaves out what is no message: faults of wrun's own, SIGURG and
// SIGPIPE, which Go's runtime needs, SIGCHLD, the two that cannot be caught,
// the two of the C library, and the two of a terminal.
func passedOn(s unix.Signal) bool {
	switch s {
	case unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
		unix.SIGURG, unix.SIGPIPE, unix.SIGCHLD, unix.SIGKILL, unix.SIGSTOP, 32, 33, unix.SIGTTIN, unix.SIGTTOU:
		return false
	}
	return true
}

// Next waits for a signal. It is for one goroutine, which lives as long as the
// process.
func (p *Pipe) Next() (unix.Signal, error) {
	if p.unblocks {
		// One thread that takes them suffices. It is the goroutine's own: what the
		// others start has the mask of this process's caller.
		runtime.LockOSThread()
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
			return 0, fmt.Errorf("unblock signals: %w", err)
		}
		p.unblocks = false
	}
	var b [1]byte
	for {
		n, err := unix.Read(p.fd, b[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read the pipe for signals: %w", err)
		case n == 1:
			return unix.Signal(b[0]), nil
		}
	}
}

func sigaction(n int, set, old *action) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("handle signal %d: %w", n, errno)
	}
	return nil
}
