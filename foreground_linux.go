package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// collected are the signals that foreground receives. SIGPIPE is among them
// only to be dropped: wrun must outlive a reader of its output, and a signal
// that is ignored instead would stay ignored in the container. Not among them:
// SIGCHLD and SIGURG (Go's own) are no messages, SIGKILL and SIGSTOP cannot be
// caught, 32 and 33 belong to the C library.
func collected() []os.Signal {
	all := make([]os.Signal, 0, rtmax)
	for n := unix.Signal(1); n <= rtmax; n++ {
		switch n {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGKILL, unix.SIGSTOP, 32, 33:
		default:
			all = append(all, n)
		}
	}
	return all
}
