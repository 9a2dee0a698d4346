package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// terminalsAreHandedOver: a pseudoterminal is a descriptor, which who detaches
// has to give to somebody.
const terminalsAreHandedOver = true

// checkSockets finds nothing that Linux does not have.
func checkSockets(*streams) error { return nil }

// dialConsole connects to an engine's --console-socket.
func dialConsole(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to console socket %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// receiveFD takes one descriptor out of a message (SCM_RIGHTS). It waits until
// one comes or the socket is shut.
func receiveFD(socket int) (int, error) {
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return -1, err
		case n == 0 && m == 0:
			return -1, errors.New("socket closed without a descriptor")
		}
		messages, err := unix.ParseSocketControlMessage(control[:m])
		if err != nil {
			return -1, err
		}
		for i := range messages {
			if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) == 1 {
				return fds[0], nil
			}
		}
	}
}

// checkPreserved makes sure that descriptors 3 to 3+n-1 are the caller's: what
// came through exec has no close-on-exec flag, what Go or wrun opened has one
// and must not get into a container.
func checkPreserved(n int) error {
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 {
			err = unix.EBADF
		}
		if err != nil {
			return fmt.Errorf("preserve descriptor %d (of %d): %w", fd, n, err)
		}
	}
	return nil
}
