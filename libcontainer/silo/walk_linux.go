package silo

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/rootfs"
)

// Go's own fork hooks: they hold back the signals around a raw clone. What the
// third of them does in the child, system call by system call, the kernel does at
// once (CLONE_CLEAR_SIGHAND).
//
//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// The thread that clones may be held until the child executes its program. To
// Go's scheduler and collector it is in a system call, one that is known to
// take long: another thread takes over its work at once.
//
//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

//go:noescape
func rawVfork(trap, a1, a2 uintptr) (r1, errno uintptr)

// op is a Step laid out for the child: numbers and addresses only.
type op struct {
	number   uintptr
	args     [6]uintptr
	register [6]*uintptr // where set, the argument is what the register holds
	pass     *int32      // the cell of a message with a descriptor in it …
	passed   *uintptr    // … and for sendmsg the register that the descriptor is in
	rescues  uint8
	hasWant  bool
	rescue   [3]jump
	next     int32    // op after success
	want     uintptr  // the only good result, when hasWant
	save     *uintptr // register for the result
	step     int32    // index of the Step, for error records
}

// jump is where a rescued error leads; errno 0 stands for any.
type jump struct {
	errno uint16
	to    int32
}

// Numbers of the pseudo calls; no system call has them.
const (
	numberLet uintptr = 0xf0000000 + iota
	numberFail
	numberFork
	numberProceed
	numberTell
	numberAwait
)

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal uint64
	stack, stackSize, tls, setTid, setTidSize     uint64
	cgroup                                        uint64
}

// spawn clones and lets the child walk m.first.
//
// With CLONE_VM|CLONE_VFORK in the flags the child borrows this process's
// memory instead of a copy of its page tables, and the thread comes back when
// the child has executed the program or has died; a parked child keeps it.
//
// The kernel has one pid namespace for what a thread clones (setns(2),
// CLONE_NEWPID). Between the two calls of Go's scheduler nothing else runs on
// this thread.
//
//go:noinline
//go:norace
//go:nocheckptr
func spawn(m *memory) syscall.Errno {
	entersyscallblock()
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, 0, uintptr(unsafe.Pointer(&m.mask)), unsafe.Sizeof(m.mask), 0, 0)
	if m.slack != 0 {
		syscall.RawSyscall(syscall.SYS_PRCTL, unix.PR_SET_TIMERSLACK, m.slack, 0)
	}
	runtimeBeforeFork()
	var e, back syscall.Errno
	var errno uintptr
	if m.pids >= 0 {
		_, _, e = syscall.RawSyscall(unix.SYS_SETNS, uintptr(m.pids), unix.CLONE_NEWPID, 0)
	}
	if errno = uintptr(e); e == 0 {
		_, errno = cloneAndWalk(m)
		if m.pids >= 0 {
			_, _, back = syscall.RawSyscall(unix.SYS_SETNS, uintptr(m.own), unix.CLONE_NEWPID, 0)
		}
	}
	if back != 0 {
		// Whatever this thread cloned next would be born in the container. It has
		// just had the right to leave, so this does not happen; if it does, an end
		// with a word is better than that.
		syscall.RawSyscall(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(lost))), uintptr(len(lost)))
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, childFailed, 0, 0)
	}
	runtimeAfterFork()
	exitsyscall()
	return syscall.Errno(errno)
}

// lost is the last word of a wrun that cannot leave a container's pid namespace.
const lost = "wrun: the way back into the own pid namespace is closed\n"

// cloneAndWalk returns in the parent only, at once, so that the child may use
// the stack from here on. Between clone and execve the child shares nothing
// but memory with a Go program: it may not allocate, grow its stack, lock or
// be preempted, hence raw system calls and the pragmas.
//
//go:nosplit
//go:noinline
//go:norace
//go:nocheckptr
func cloneAndWalk(m *memory) (pid, errno uintptr) {
	pid, errno = rawVfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&m.args)), unsafe.Sizeof(m.args))
	if errno != 0 || pid != 0 {
		return
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&m.mask)), 0, unsafe.Sizeof(m.mask), 0, 0)
	record := [2]uint32{}
	record[0], record[1] = walk(m.first.ops, m)
	syscall.RawSyscall(syscall.SYS_WRITE, m.report, uintptr(unsafe.Pointer(&record)), recordSize)
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, childFailed, 0, 0)
	// The container's own seccomp filter forbids even that. A fault is the one
	// end that no filter can take away; exit_group in a loop would burn a
	// processor for ever.
	for {
		*nowhere = 0
	}
}

// await waits for n signals in all, each time no longer than patience.
//
//go:nosplit
//go:norace
func (m *memory) await(n uint32) syscall.Errno {
	for {
		now := atomic.LoadUint32(&m.signals)
		if now >= n {
			return 0
		}
		_, _, errno := syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(&m.signals)), futexWaitPrivate, uintptr(now), uintptr(unsafe.Pointer(&m.patience)), 0, 0)
		if errno == syscall.ETIMEDOUT {
			return syscall.ETIMEDOUT
		}
	}
}

// SIG_SETMASK of sigprocmask(2).
const sigSetmask = 2

// futex(2): FUTEX_WAIT and FUTEX_WAKE within one address space.
const futexWaitPrivate, futexWakePrivate = 0 | 128, 1 | 128

// nowhere is a pointer that the compiler does not know to be nil.
var nowhere *uintptr

// childFailed is the exit code of a child whose plan failed; runc uses the
// same, and engines read it as "could not be started".
const childFailed = 255

// walk executes ops one by one. It returns when one fails, with the number of its
// Step, or, as ops for the parent do and those for a child do not, at their end.
//
//go:nosplit
//go:norace
//go:nocheckptr
func walk(ops []op, m *memory) (step, errno uint32) {
	record := [2]uint32{}
	for i := int32(0); int(i) < len(ops); {
		o := &ops[i]
		a := o.args
		for k := range a {
			if o.register[k] != nil {
				a[k] = *o.register[k]
			}
		}
		var r uintptr
		var e syscall.Errno
		switch o.number {
		case numberLet:
			r = a[0]
		case numberProceed:
			ops = m.ops
		case numberFail:
			e = syscall.Errno(a[0])
		case numberTell:
			record[0], record[1] = uint32(a[1]), uint32(a[2])
			r, _, e = syscall.RawSyscall(syscall.SYS_WRITE, a[0], uintptr(unsafe.Pointer(&record)), recordSize)
		case numberAwait:
			e = m.await(uint32(a[0]))
		case numberFork:
			r, _, e = syscall.RawSyscall6(syscall.SYS_CLONE, syscall.CLONE_PARENT|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
			if e == 0 && r != 0 {
				record[0], record[1] = codeFork, uint32(r)
				syscall.RawSyscall(syscall.SYS_WRITE, m.report, uintptr(unsafe.Pointer(&record)), recordSize)
				syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
			}
		default:
			if o.passed != nil {
				*o.pass = int32(*o.passed)
			}
			r, _, e = syscall.RawSyscall6(o.number, a[0], a[1], a[2], a[3], a[4], a[5])
			for tries := 0; e == syscall.EAGAIN && o.number == unix.SYS_OPENAT2 && tries < rootfs.Tries; tries++ {
				r, _, e = syscall.RawSyscall6(o.number, a[0], a[1], a[2], a[3], a[4], a[5])
			}
		}
		if e == 0 && o.hasWant && r != o.want {
			e = syscall.ECANCELED
		}
		if e == 0 {
			if o.pass != nil && o.passed == nil {
				r = uintptr(*o.pass)
			}
			if o.save != nil {
				*o.save = r
			}
			i = o.next
			continue
		}
		rescued := false
		for k := uint8(0); k < o.rescues; k++ {
			if o.rescue[k].errno == uint16(e) || o.rescue[k].errno == 0 {
				i, rescued = o.rescue[k].to, true
				break
			}
		}
		if !rescued {
			return uint32(o.step), uint32(e)
		}
	}
	return 0, 0
}
