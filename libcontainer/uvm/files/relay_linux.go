package files

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerWait is how long Start waits for the port's other end. QEMU opens it with
// the device, which the guest may be a moment late to learn.
const peerWait = 5 * time.Second

var (
	errPortEnded    = errors.New("the other end of the port has closed")
	errNoPeer       = errors.New("the other end of the port is not open")
	errNotification = errors.New("reply to no request")
)

// Relay copies the messages of one mounted tree between /dev/fuse and a port.
// Two processes do it, one for each direction; see loops_linux.go.
type Relay struct {
	fuse   int // -1 once the loops have it
	loops  *loops
	memory []byte // where they lie
}

// Mount mounts at target the tree that [Serve] serves at the other end of the
// port, a blocking descriptor, which remains the caller's. Unmounting ends the
// relay and leaves the port ready for another. When the port ends first, what
// waits for an answer fails with ECONNABORTED, and all that follows with
// ENOTCONN; unmounting what is left is up to the caller, as is Wait.
func Mount(port int, target string) (*Relay, error) {
	r, err := Prepare(target)
	if err != nil {
		return nil, err
	}
	if err := r.Start(port); err != nil {
		return nil, errors.Join(err, unix.Unmount(target, unix.MNT_DETACH))
	}
	return r, nil
}

// Prepare is the part of [Mount] that needs no other end yet: whoever uses the
// tree waits until Start.
func Prepare(target string) (*Relay, error) {
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	// Populated: a page fault would wait for the memory's lock, and its holder
	// perhaps for a file.
	memory, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(loops{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		unix.Close(fuse)
		return nil, fmt.Errorf("get memory for the relay: %w", err)
	}
	// The guest kernel checks access by the mode, for every user. Its pages may be
	// larger than the host's: that a read is not is said here too.
	options := "fd=" + strconv.Itoa(fuse) + ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=" + strconv.Itoa(maxPayload)
	if err := unix.Mount("wrun", target, "fuse.wrun", 0, options); err != nil {
		unix.Close(fuse)
		return nil, errors.Join(fmt.Errorf("mount the host's files at %s: %w", target, err), unix.Munmap(memory))
	}
	return &Relay{fuse: fuse, loops: (*loops)(unsafe.Pointer(&memory[0])), memory: memory}, nil
}

// Start begins to copy. After an error the relay is of no more use, and what
// waits for a file fails.
func (r *Relay) Start(port int) error {
	// Only the loops keep it: the mount is given up by closing the last one.
	defer func() { unix.Close(r.fuse); r.fuse = -1 }()
	if err := awaitPeer(port); err != nil {
		return errors.Join(fmt.Errorf("mount the host's files: %w", err), unix.Munmap(r.memory))
	}
	l := r.loops
	l.fuse, l.port = uintptr(r.fuse), uintptr(port)
	if err := l.begin(toGuest); err != nil {
		return errors.Join(fmt.Errorf("start the relay of files: %w", err), unix.Munmap(r.memory))
	}
	if err := l.begin(toHost); err != nil {
		l.stop(toGuest)
		return errors.Join(fmt.Errorf("start the relay of files: %w", err), r.wait(toGuest), unix.Munmap(r.memory))
	}
	if l.why != 0 { // the first loop has failed, perhaps before it could know the second one
		l.stop(toHost)
	}
	return nil
}

// Wait returns when the relay has ended: nil after an unmount, else the reason.
// It is to be called once.
func (r *Relay) Wait() error {
	l := r.loops
	// In this order: see fail.
	err := errors.Join(r.wait(toGuest), r.wait(toHost))
	why, number := reason(l.why>>32), unix.Errno(uint32(l.why))
	unmounted := l.unmounted
	if err := errors.Join(err, unix.Munmap(r.memory)); err != nil {
		return err
	}
	switch {
	case why == 0, unmounted:
		return nil
	case why == portEnded:
		return errPortEnded
	case why == badLength:
		return fmt.Errorf("reply of the host: %w", errFrameLength)
	case why == badReply:
		return fmt.Errorf("reply of the host: %w", errNotification)
	}
	return fmt.Errorf("%s: %w", why, number)
}

func (r *Relay) wait(which direction) error {
	for {
		// WALL, since nobody gets a signal at their end.
		if _, err := unix.Wait4(int(r.loops.pids[which]), nil, unix.WALL, nil); err != unix.EINTR {
			return err
		}
	}
}

// begin starts a loop.
func (l *loops) begin(which direction) error {
	pid, errno := l.clone(which)
	if errno != 0 {
		return unix.Errno(errno)
	}
	l.pids[which] = pid
	return nil
}

// clone starts a loop with all signals blocked: there is none that it could handle.
// Without a place where Go's scheduler could step in, it stays on one thread; to
// lock that has the runtime start another one.
//
//go:nosplit
func (l *loops) clone(which direction) (pid, errno uintptr) {
	all, old := ^uint64(0), uint64(0)
	const setSize = unsafe.Sizeof(all)
	stack := &l.stacks[which]
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), setSize, 0, 0)
	pid, errno = cloneLoop(unix.CLONE_VM, uintptr(unsafe.Pointer(stack))+unsafe.Sizeof(*stack), uintptr(unsafe.Pointer(l)), uintptr(which))
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, setSize, 0, 0)
	return pid, errno
}

// awaitPeer waits for the port's other end. Without one a virtio port hangs up,
// and reading it returns nothing, as at its end.
func awaitPeer(port int) error {
	for deadline := time.Now().Add(peerWait); ; time.Sleep(time.Millisecond) {
		fds := []unix.PollFd{{Fd: int32(port)}}
		if _, err := unix.Poll(fds, 0); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll the port: %w", err)
		} else if err == nil && fds[0].Revents&unix.POLLHUP == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errNoPeer
		}
	}
}
