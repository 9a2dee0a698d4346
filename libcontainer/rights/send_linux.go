package rights

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// patience is how long the other program may take to accept, in seconds.
const patience = 10

// Send connects to the unix socket at path and passes fd with text.
func Send(path string, text []byte, fd int) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(socket)
	// It bounds connect(2), too, which waits where many do.
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		return fmt.Errorf("set up a socket: %w", err)
	}
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("connect to %s: %w", path, err)
	}
	if err := unix.Sendmsg(socket, text, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send a descriptor to %s: %w", path, err)
	}
	return nil
}
