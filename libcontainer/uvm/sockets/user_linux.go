package sockets

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// user is who connects. A server asks the kernel for it (SO_PEERCRED,
// SO_PEERGROUPS, SCM_CREDENTIALS), and must not be told root's name for a user's
// process in the VM. The guest says who it is, as it does to the file server.
type user struct {
	uid, gid uint32
	groups   []uint32
}

// peer is who has connected to this end.
func peer(fd int) (user, error) {
	is, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return user{}, fmt.Errorf("ask who connects: %w", err)
	}
	u := user{uid: is.Uid, gid: is.Gid, groups: make([]uint32, 64)}
	for {
		size := uint32(len(u.groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&u.groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch n := int(size / 4); {
		case errno == 0:
			u.groups = u.groups[:n]
			return u, nil
		case errno == unix.ERANGE && n > len(u.groups):
			u.groups = make([]uint32, n)
		default:
			return user{}, fmt.Errorf("ask who connects: %w", errno)
		}
	}
}

// noID is what the kernel takes for no change; no user has it.
const noID = ^uint32(0)

// do has the thread be u for what f does. The right to connect to any socket
// stays: the guest's kernel has checked the user's, and knows of its capabilities.
// The thread's real user stays root, so that the user's processes on the host
// cannot send it signals.
func (u user) do(f func() error) (err error) {
	if u.uid == noID || u.gid == noID {
		return errors.New("connect as nobody")
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return err
	}
	own := user{uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid())}
	for _, g := range groups {
		own.groups = append(own.groups, uint32(g))
	}
	runtime.LockOSThread()
	var all [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err = unix.Capget(&header, &all[0]); err == nil {
		err = u.take()
	}
	if err == nil {
		err = unix.Capset(&header, &all[0])
	}
	if err == nil {
		err = f()
	}
	if back := own.giveBack(); back != nil {
		return errors.Join(err, back) // the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// take makes u the thread's effective user.
func (u user) take() error {
	if errno := setGroups(u.groups); errno != 0 {
		return fmt.Errorf("connect with %d groups: %w", len(u.groups), errno)
	}
	if errno := setEffective(unix.SYS_SETRESGID, u.gid); errno != 0 {
		return fmt.Errorf("connect as group %d: %w", u.gid, errno)
	}
	if errno := setEffective(unix.SYS_SETRESUID, u.uid); errno != 0 {
		return fmt.Errorf("connect as user %d: %w", u.uid, errno)
	}
	return nil
}

// giveBack makes u, who is root, the user again: first, for the rest needs the
// capabilities that come with it.
func (u user) giveBack() error {
	if errno := setEffective(unix.SYS_SETRESUID, u.uid); errno != 0 {
		return fmt.Errorf("be user %d again: %w", u.uid, errno)
	}
	return u.take()
}

// setEffective is for this thread only, as the kernel has it: x/sys asks for all.
func setEffective(call uintptr, id uint32) unix.Errno {
	_, _, errno := unix.RawSyscall(call, uintptr(noID), uintptr(id), uintptr(noID))
	return errno
}

func setGroups(groups []uint32) unix.Errno {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
	return errno
}
