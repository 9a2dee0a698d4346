package uvm

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// QEMU opens the file of its memory for reading and writing, also where it maps
// it privately. A VM that is restored must not be able to change the template
// that others are restored from, so it does not get to open the file at all:
// a seccomp filter has the monitor answer such calls, with a descriptor that is
// open for reading.

// launch starts QEMU in its root, as its user, without privileges and with the
// filter. listener is where the filter's questions arrive.
func launch(root, program string, args []string, groups []uint32, files []uintptr) (pid, listener int, err error) {
	aside(func() {
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			err = fmt.Errorf("give up privileges: %w", err)
			return
		}
		if listener, err = watchOpens(); err != nil {
			return
		}
		pid, err = syscall.ForkExec(program, append([]string{program}, args...), &syscall.ProcAttr{
			Dir: "/", Files: files, Env: []string{},
			Sys: &syscall.SysProcAttr{
				Chroot: root, Credential: &syscall.Credential{Uid: qemuUser, Gid: qemuUser, Groups: groups},
				Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			},
		})
		if err != nil {
			unix.Close(listener)
			err = fmt.Errorf("execute %s: %w", program, err)
		}
	})
	return pid, listener, err
}

// aside has a thread do it that ends afterwards, with what cannot be undone on it.
// The process's first thread is none: Go would keep it.
func aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			aside(do)
			runtime.UnlockOSThread()
			return
		}
		do()
	}()
	<-done
}

// watchOpens has openat(2) for reading and writing answered by whoever holds
// the descriptor that it returns.
func watchOpens() (int, error) {
	const (
		offsetNumber, offsetArch, offsetFlags = 0, 4, 16 + 2*8 // struct seccomp_data
		auditArchAMD64                        = 0xc000003e
		load                                  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal                                 = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		and                                   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		answer                                = unix.BPF_RET | unix.BPF_K
		allow, notify, kill                   = 0x7fff0000, 0x7fc00000, 0x80000000
	)
	program := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: auditArchAMD64, Jt: 1},
		{Code: answer, K: kill},
		{Code: load, K: offsetNumber},
		{Code: equal, K: unix.SYS_OPENAT, Jf: 3},
		{Code: load, K: offsetFlags},
		{Code: and, K: unix.O_ACCMODE},
		{Code: equal, K: unix.O_RDWR, Jt: 1},
		{Code: answer, K: allow},
		{Code: answer, K: notify},
	}
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&f)))
	if errno != 0 {
		return -1, fmt.Errorf("filter QEMU's system calls: %w", errno)
	}
	return int(fd), nil
}

// The kernel's structures for the holder of the descriptor (seccomp_unotify(2)).
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		data  struct {
			number  int32
			arch    uint32
			pointer uint64
			args    [6]uint64
		}
	}
	answerTo struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	descriptorFor struct {
		id       uint64
		flags    uint32
		fd       uint32
		newFD    uint32
		newFlags uint32
	}
)

const (
	ioctlReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	ioctlAddFD   = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD
	flagContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// answerOpens gives memory to QEMU where it opens memoryInside, lets it open
// devices, and denies the rest. It ends with QEMU.
func answerOpens(listener int, memory *os.File) {
	defer unix.Close(listener)
	defer memory.Close()
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err == unix.EINTR {
			continue
		} else if err != nil || ready[0].Revents&unix.POLLIN == 0 {
			return // QEMU has ended
		}
		var n notification
		switch _, err := ioctl(listener, ioctlReceive, unsafe.Pointer(&n)); err {
		case nil:
		case unix.ENOENT: // it died while it waited
			continue
		default:
			return
		}
		a := answerTo{id: n.id, errno: -int32(unix.EACCES)}
		switch path := pathOf(n); {
		case path == memoryInside:
			// The kernel can give and answer in one step, but when a signal comes in
			// between it takes the descriptor back and answers with number 0.
			d := descriptorFor{id: n.id, fd: uint32(memory.Fd()), newFlags: unix.O_CLOEXEC}
			if fd, err := ioctl(listener, ioctlAddFD, unsafe.Pointer(&d)); err == nil {
				a.errno, a.value = 0, int64(fd)
			}
		case within(path, "/dev"):
			a.errno, a.flags = 0, flagContinue
		}
		_, _ = ioctl(listener, ioctlSend, unsafe.Pointer(&a)) // who died needs no answer
	}
}

// pathOf reads what a process opens. It may change it meanwhile: that gains it
// nothing, for what it gets is decided here, and devices are all in its root.
func pathOf(n notification) string {
	buf := make([]byte, 64)
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	got, err := unix.ProcessVMReadv(int(n.pid), local, []unix.RemoteIovec{{Base: uintptr(n.data.args[1]), Len: len(buf)}}, 0)
	if err != nil || got <= 0 {
		return ""
	}
	return filepath.Clean(unix.ByteSliceToString(buf[:got]))
}

func ioctl(fd int, request uintptr, p unsafe.Pointer) (uintptr, error) {
	for {
		switch r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p)); errno {
		case 0:
			return r, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
