package files

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerWait is how long Mount waits for the port's other end. QEMU opens it with
// the device, which the guest may be a moment late to learn.
const peerWait = 5 * time.Second

// lastUnique marks the relay's own request, the DESTROY after an unmount. The
// kernel counts its own up from zero.
const lastUnique = ^uint64(0)

var (
	errPortEnded    = errors.New("the other end of the port has closed")
	errNoPeer       = errors.New("the other end of the port is not open")
	errNotification = errors.New("reply to no request")
)

// Relay copies the messages of one mounted tree between /dev/fuse and a port.
type Relay struct {
	port int
	fuse int
	wake int // an eventfd; readable ends waiting for the kernel's next request

	unmounted atomic.Bool
	done      chan struct{}
	err       error // set before done is closed

	// The mount is given up by closing fuse, which counts only once no call is in
	// progress on it; so calls on it are counted.
	mu    sync.Mutex
	ended bool
	users int
}

// Mount mounts at target the tree that [Serve] serves at the other end of the
// port, a blocking descriptor, which remains the caller's. Unmounting ends the
// relay and leaves the port ready for another. When the port ends first, what
// waits for an answer fails with ECONNABORTED, and all that follows with
// ENOTCONN; unmounting what is left is up to the caller.
//
// The process must not use the tree itself, nor start programs from it. Go's
// runtime takes some system calls for instant, such as the vfork that waits for
// an exec, or adding a file to a poller, and lets nothing else run meanwhile: on
// one processor, or in a garbage collection, the relay could not answer them.
func Mount(port int, target string) (*Relay, error) {
	r, err := Prepare(target)
	if err != nil {
		return nil, err
	}
	if err := r.Start(port); err != nil {
		r.end(err)
		return nil, errors.Join(err, unix.Unmount(target, unix.MNT_DETACH))
	}
	return r, nil
}

// Prepare is the part of [Mount] that needs no other end yet: whoever uses the
// tree waits until Start.
func Prepare(target string) (*Relay, error) {
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fuse)
		return nil, fmt.Errorf("create an eventfd for the relay: %w", err)
	}
	// The guest kernel checks access by the mode, for every user. Its pages may be
	// larger than the host's: that a read is not is said here too.
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", fuse, maxPayload)
	if err := unix.Mount("wrun", target, "fuse.wrun", 0, options); err != nil {
		unix.Close(wake)
		unix.Close(fuse)
		return nil, fmt.Errorf("mount the host's files at %s: %w", target, err)
	}
	return &Relay{fuse: fuse, wake: wake, done: make(chan struct{})}, nil
}

// Start begins to copy.
func (r *Relay) Start(port int) error {
	if err := awaitPeer(port); err != nil {
		return fmt.Errorf("mount the host's files: %w", err)
	}
	r.port = port
	go func() {
		if err := r.requests(); err != nil {
			r.end(err)
		}
	}()
	go func() { r.end(r.replies()) }()
	return nil
}

// Wait returns when the relay has ended: nil after an unmount, else the reason.
func (r *Relay) Wait() error {
	<-r.done
	return r.err
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

// requests sends on what the kernel asks. Each read of the device returns one
// whole message.
func (r *Relay) requests() error {
	buf := make([]byte, maxFrame)
	for {
		n, err := r.receive(buf)
		switch {
		case err == unix.ENODEV && r.isEnded():
			return nil
		case err == unix.ENODEV:
			return r.leave(buf)
		case err != 0:
			return fmt.Errorf("read /dev/fuse: %w", err)
		}
		switch err := writeAll(r.port, buf[:n]); err {
		case 0:
		case unix.EPIPE, unix.ECONNRESET:
			return errPortEnded
		default:
			return fmt.Errorf("send a request to the host: %w", err)
		}
	}
}

// leave tells the host that the tree is unmounted, which the kernel does not.
// The answer ends the relay: no reply is under way behind it.
func (r *Relay) leave(buf []byte) error {
	r.unmounted.Store(true)
	*view[inHeader](buf) = inHeader{length: uint32(inHeaderSize), opcode: opDestroy, unique: lastUnique, node: rootNode}
	if err := writeAll(r.port, buf[:inHeaderSize]); err != 0 {
		return fmt.Errorf("tell the host of the unmount: %w", err)
	}
	return nil
}

// receive waits for a request and reads it; ENODEV says that no more will come.
func (r *Relay) receive(buf []byte) (int, unix.Errno) {
	if !r.use() {
		return 0, unix.ENODEV
	}
	defer r.unuse()
	fds := [2]unix.PollFd{{Fd: int32(r.fuse), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	for {
		// Without a time limit; r.wake bounds the wait.
		if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
			return 0, number(err)
		}
		if fds[1].Revents != 0 {
			return 0, unix.ENODEV
		}
		n, err := unix.Read(r.fuse, buf)
		switch err {
		case unix.EAGAIN, unix.EINTR, unix.ENOENT:
			continue // the process that asked was interrupted first
		}
		return n, number(err)
	}
}

// replies hands the host's answers to the kernel, which takes one whole message
// at a write. They arrive in pieces of a page.
func (r *Relay) replies() error {
	buf := make([]byte, 2*maxFrame)
	start, end := 0, 0
	for {
		length := outHeaderSize
		if end-start >= 4 {
			var err error
			if length, err = frameLength(buf[start:], outHeaderSize); err != nil {
				return fmt.Errorf("reply of the host: %w", err)
			}
		}
		if end-start >= length {
			last, err := r.deliver(buf[start : start+length])
			if last || err != nil {
				return err
			}
			start += length
			if start&7 != 0 || start == end {
				// Headers are looked at in place, aligned.
				end = copy(buf, buf[start:end])
				start = 0
			}
			continue
		}
		if len(buf)-start < maxFrame {
			end = copy(buf, buf[start:end])
			start = 0
		}
		n, err := read(r.port, buf[end:])
		switch {
		case n > 0:
			end += n
		case r.unmounted.Load():
			return nil
		case err == 0, err == unix.ECONNRESET:
			return errPortEnded
		default:
			return fmt.Errorf("read replies of the host: %w", err)
		}
	}
}

// deliver gives one reply to the kernel. It tells whether it was the last one,
// which is the relay's own.
func (r *Relay) deliver(reply []byte) (last bool, err error) {
	header := view[outHeader](reply)
	switch header.unique {
	case lastUnique:
		return r.unmounted.Load(), nil
	case 0:
		return false, fmt.Errorf("reply of the host: %w", errNotification)
	}
	if !r.use() {
		return true, nil
	}
	defer r.unuse()
	for {
		switch _, err := unix.Write(r.fuse, reply); err {
		case unix.EINTR:
		case nil, unix.ENOENT, unix.ENODEV, unix.EPERM:
			// Nobody waits for it any more, or nothing is mounted.
			return false, nil
		default:
			return false, fmt.Errorf("write a reply to /dev/fuse: %w", err)
		}
	}
}

func (r *Relay) isEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

func (r *Relay) use() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.users++
	return true
}

func (r *Relay) unuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	r.close()
}

// end gives up the mount: the first reason counts.
func (r *Relay) end(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	r.err = reason
	one := uint64(1)
	_, _ = unix.Write(r.wake, (*[8]byte)(unsafe.Pointer(&one))[:])
	r.close()
	close(r.done)
}

// close closes /dev/fuse once the relay has ended and no call is in progress on
// it. With that the kernel ends whatever waits for an answer.
func (r *Relay) close() {
	if r.ended && r.users == 0 {
		unix.Close(r.fuse)
		unix.Close(r.wake)
	}
}
