package silo

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// The start gate is two fifos in the container's state directory. The parked
// child waits for a byte from the first and has the second open for its last
// words. Who else looks at them learns the truth from the kernel: as long as
// the first has a reader the container is created and not started, and the
// second hangs up at the moment the program is executed.
const (
	gateName   = "gate"
	resultName = "result"
)

// startPatience bounds what lies between the gate and the program: a handful
// of system calls and one exec.
const startPatience = 30 * time.Second

// makeGate makes both fifos and opens them for the child.
func makeGate(dir string) (gate, result int, err error) {
	open := func(name string) (int, error) {
		p := filepath.Join(dir, name)
		if err := unix.Mkfifo(p, 0o600); err != nil {
			return -1, fmt.Errorf("make fifo %s: %w", p, err)
		}
		// Read and write: opening does not wait for the other side, and the
		// gate never reports an end of file.
		fd, err := unix.Open(p, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open fifo %s: %w", p, err)
		}
		return fd, nil
	}
	if gate, err = open(gateName); err != nil {
		return -1, -1, err
	}
	if result, err = open(resultName); err != nil {
		unix.Close(gate)
		return -1, -1, err
	}
	return gate, result, nil
}

// removeGate takes both fifos away.
func removeGate(dir string) error {
	for _, name := range [...]string{gateName, resultName} {
		if err := unix.Unlink(filepath.Join(dir, name)); err != nil && err != unix.ENOENT {
			return fmt.Errorf("remove fifo %s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}

// parked tells whether a child still waits at the gate.
func (h *handle) parked() (bool, error) {
	fd, err := unix.Open(filepath.Join(h.Dir, gateName), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		unix.Close(fd)
		return true, nil
	case unix.ENXIO, unix.ENOENT:
		return false, nil
	}
	return false, fmt.Errorf("look at the start gate %s: %w", h.Dir, err)
}

// open lets the parked child go and waits until it has executed the program.
func (h *handle) open(ctx context.Context) error {
	answer, err := unix.Open(filepath.Join(h.Dir, resultName), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the start gate's answer: %w", err)
	}
	defer unix.Close(answer)
	gate, err := unix.Open(filepath.Join(h.Dir, gateName), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(gate, []byte{1})
		unix.Close(gate)
	}
	if err == unix.ENXIO { // nobody waits at the gate
		return libcontainer.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("open the start gate: %w", err)
	}
	code, value, said, err := readRecord(ctx, answer, -1, startPatience)
	if err != nil || !said {
		return err // silence: the program was executed
	}
	if at := int(code) - h.Gate - 1; code != codeStub && at >= 0 && at < len(h.After) {
		return fmt.Errorf("unable to start container process: %s: %w", h.After[at], unix.Errno(value))
	}
	return describe(nil, unix.Errno(value), h.Program, "")
}
