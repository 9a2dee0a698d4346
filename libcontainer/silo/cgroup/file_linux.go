package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Files of a cgroup are read and written by plain system calls: os.File would
// register each of them with the poller, a third of the cost of a write.

// read returns the content of a control file.
func read(path string) ([]byte, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 2048)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", path, err)
		case n == 0:
			return b, nil
		}
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = append(b, make([]byte, len(b))...)[:len(b)]
		}
	}
}

// write gives a control file its value in one write, as the kernel wants it.
func write(path, value string) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	return writeTo(fd, path, value)
}

// writeTo writes value to the open file fd, which is path.
func writeTo(fd int, path, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("write %q to %s: %w", value, path, err)
		}
	}
}

func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// exists says whether path is there; only "no" is certain to be no error.
func exists(path string) (bool, error) {
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0)
	if err == nil {
		return true, nil
	}
	if gone(err) {
		return false, nil
	}
	return false, fmt.Errorf("look for %s: %w", path, err)
}

// gone says that err means "not there": ENODEV is what the kernel answers on a
// descriptor of a cgroup removed meanwhile.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// millis is what poll wants for the time left until deadline.
func millis(deadline time.Time) int {
	d := time.Until(deadline)
	if d <= 0 {
		return 0
	}
	return int(d/time.Millisecond) + 1
}
