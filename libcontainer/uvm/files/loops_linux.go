package files

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is the life of the relay's two processes. They share the memory of
// the one that started them but run none of Go's runtime in it, so they answer
// whatever that one waits for: Go's scheduler takes some system calls for
// instant, such as the vfork that waits for an exec, and lets nothing else run
// meanwhile. Between clone and exit they may not allocate, grow their stack, lock
// or be preempted, hence raw system calls and the pragmas. It is also the
// shortest way for a message, where each instruction is translated.

// direction is which of the two loops is meant.
type direction int

const (
	toHost  direction = iota // requests
	toGuest                  // replies
)

// reason is why a loop has ended otherwise than by an unmount.
type reason uint32

const (
	portEnded reason = 1 + iota
	badLength
	badReply
	cannotAsk
	cannotSend
	cannotReceive
	cannotReply
)

func (r reason) String() string {
	switch r {
	case cannotAsk:
		return "read /dev/fuse"
	case cannotSend:
		return "send a request to the host"
	case cannotReceive:
		return "read replies of the host"
	case cannotReply:
		return "write a reply to /dev/fuse"
	}
	return "relay files"
}

// lastUnique marks the relay's own request, the DESTROY after an unmount. The
// kernel counts its own up from zero.
const lastUnique = ^uint64(0)

// loopStack is enough for the functions below, which the linker checks: they may
// take no more than 800 bytes.
const loopStack = 4096

// loops is what the two share, in memory that Go's collector does not know.
type loops struct {
	stacks     [2][loopStack]byte
	request    [maxFrame]byte
	_          [8 - maxFrame%8]byte // headers are looked at in place, aligned
	replies    [2 * maxFrame]byte
	fuse, port uintptr
	pids       [2]atomic.Int32
	unmounted  atomic.Bool
	why        atomic.Uint64 // the first reason, and below it its error number
}

// loop is called by cloneLoop, in the new process.
//
//go:nosplit
//go:norace
//go:nocheckptr
func loop(l *loops, which direction) {
	// Its descriptors are copies of all that there were.
	low, high := l.fuse, l.port
	if low > high {
		low, high = high, low
	}
	if low > 0 {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 0, low-1, 0)
	}
	if low+1 < high {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, low+1, high-1, 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, high+1, ^uintptr(0)>>32, 0)
	if which == toHost {
		l.carryRequests()
	} else {
		l.carryReplies()
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// carryRequests sends on what the kernel asks. Each read of the device returns
// one whole message.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) carryRequests() {
	buf := uintptr(unsafe.Pointer(&l.request))
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, l.fuse, buf, maxFrame)
		switch err {
		case 0:
		case syscall.EAGAIN, syscall.EINTR, syscall.ENOENT:
			continue // the process that asked was interrupted first
		case syscall.ENODEV:
			// The tree is unmounted, which the kernel does not tell the host. The
			// answer ends the other loop: no reply is under way behind it.
			*(*inHeader)(unsafe.Pointer(&l.request)) = inHeader{length: uint32(inHeaderSize), opcode: opDestroy, unique: lastUnique, node: rootNode}
			l.unmounted.Store(true)
			l.send(buf, uintptr(inHeaderSize))
			return
		default:
			l.fail(toGuest, cannotAsk, err)
			return
		}
		if !l.send(buf, n) {
			return
		}
	}
}

//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) send(at, size uintptr) bool {
	for size > 0 {
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, l.port, at, size)
		switch err {
		case 0:
			at, size = at+n, size-n
		case syscall.EINTR:
		case syscall.EPIPE, syscall.ECONNRESET:
			l.fail(toGuest, portEnded, 0)
			return false
		default:
			l.fail(toGuest, cannotSend, err)
			return false
		}
	}
	return true
}

// carryReplies hands the host's answers to the kernel, which takes one whole
// message at a write. They arrive in pieces of a page.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) carryReplies() {
	buf := unsafe.Pointer(&l.replies)
	start, end := uintptr(0), uintptr(0)
	for {
		length := uintptr(outHeaderSize)
		if end-start >= length {
			length = uintptr((*outHeader)(unsafe.Add(buf, start)).length)
			if length < uintptr(outHeaderSize) || length > maxFrame {
				l.fail(toHost, badLength, 0)
				return
			}
		}
		if end-start >= length {
			if !l.reply(unsafe.Add(buf, start), length) {
				return
			}
			start += length
			if start == end {
				start, end = 0, 0
			} else if start&7 != 0 {
				end = l.moveDown(start, end)
				start = 0
			}
			continue
		}
		if unsafe.Sizeof(l.replies)-start < maxFrame {
			end = l.moveDown(start, end)
			start = 0
		}
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, l.port, uintptr(buf)+end, unsafe.Sizeof(l.replies)-end)
		switch {
		case err == syscall.EINTR:
		case err == 0 && n > 0:
			end += n
		case l.unmounted.Load():
			return
		case err == 0, err == syscall.ECONNRESET:
			l.fail(toHost, portEnded, 0)
			return
		default:
			l.fail(toHost, cannotReceive, err)
			return
		}
	}
}

// moveDown moves what has arrived to the beginning, and returns its new end.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) moveDown(start, end uintptr) uintptr {
	copy(l.replies[:], l.replies[start:end])
	return end - start
}

// reply gives one reply to the kernel. It tells whether more are to follow.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) reply(at unsafe.Pointer, length uintptr) bool {
	switch (*outHeader)(at).unique {
	case lastUnique:
		return false
	case 0:
		l.fail(toHost, badReply, 0)
		return false
	}
	for {
		switch _, _, err := syscall.RawSyscall(syscall.SYS_WRITE, l.fuse, uintptr(at), length); err {
		case syscall.EINTR:
		case 0, syscall.ENOENT, syscall.ENODEV, syscall.EPERM:
			return true // or nobody waits for it any more, or nothing is mounted
		default:
			l.fail(toHost, cannotReply, err)
			return false
		}
	}
}

// fail ends the other loop, and so the mount, whose last user the caller is then.
// What it kills is not another process by now: Wait reaps the loop to the guest
// first, and the other one behind it.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) fail(other direction, why reason, err syscall.Errno) {
	l.why.CompareAndSwap(0, uint64(why)<<32|uint64(err))
	l.stop(other)
}

//go:nosplit
//go:norace
//go:nocheckptr
func (l *loops) stop(which direction) {
	if pid := l.pids[which&1].Load(); pid > 0 {
		syscall.RawSyscall(syscall.SYS_KILL, uintptr(pid), uintptr(syscall.SIGKILL), 0)
	}
}
