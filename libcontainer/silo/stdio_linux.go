package silo

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// inherited is what a new process gets from wrun's own descriptors.
type inherited struct {
	streams  [3]bool
	preserve int
	env      []string
}

// inherit collects the standard streams, the console socket and the preserved
// descriptors. What it opens goes to opened.
func inherit(io libcontainer.Stdio, opened *[]int, files map[File]int) (inherited, error) {
	var in inherited
	for i, f := range []*os.File{io.In, io.Out, io.Err} {
		if f != nil && int(f.Fd()) == i {
			continue
		}
		fd, err := streamCopy(f, i)
		if err != nil {
			return in, err
		}
		*opened = append(*opened, fd)
		files[StreamFile(i)] = fd
		in.streams[i] = true
	}
	if io.Console != nil {
		files[fileConsole] = int(io.Console.Fd())
	}
	in.preserve = max(io.PreserveFDs, io.ListenFDs)
	for fd := 3; fd < 3+in.preserve; fd++ {
		// A descriptor that the caller handed down has survived an exec; one
		// that is close-on-exec is wrun's own and must not reach a container.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return in, fmt.Errorf("preserving %d descriptors: descriptor %d was not handed down by the caller", in.preserve, fd)
		}
	}
	if io.ListenFDs > 0 {
		// sd_listen_fds(3): the program is pid 1 of its namespace.
		in.env = []string{"LISTEN_FDS=" + strconv.Itoa(io.ListenFDs), "LISTEN_PID=1"}
	}
	return in, nil
}

// attached lets who relays the terminal set it up.
func attached(io libcontainer.Stdio) error {
	if io.Attached == nil {
		return nil
	}
	return io.Attached()
}

// streamCopy gives a copy of f above the standard streams, so that putting one
// in its place cannot overwrite another; /dev/null where nothing was given.
func streamCopy(f *os.File, i int) (int, error) {
	if f == nil {
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open /dev/null for standard stream %d: %w", i, err)
		}
		if fd > 2 {
			return fd, nil
		}
		defer unix.Close(fd)
		return aboveStreams(fd, i)
	}
	return aboveStreams(int(f.Fd()), i)
}

func aboveStreams(fd, i int) (int, error) {
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("copy standard stream %d: %w", i, err)
	}
	return fd, nil
}
