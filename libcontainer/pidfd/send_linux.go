package pidfd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Send passes a pidfd to whoever listens on the unix socket at path
// (--pidfd-socket). An empty path: nobody asked.
func Send(path string, pidfd int) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket for the pidfd: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("connect to the pidfd socket %s: %w", path, err)
	}
	if err := unix.Sendmsg(fd, []byte("pidfd"), unix.UnixRights(pidfd), nil, 0); err != nil {
		return fmt.Errorf("send the pidfd to %s: %w", path, err)
	}
	return nil
}
