package silo

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process that walks a plan, as its parent sees it.
type child struct {
	pid    int
	pidfd  int
	sync   int // our end of the conversation
	theirs int // the child's end, as long as we hold it too; then -1
	plan   *Plan
	memory *memory
	failed chan unix.Errno // why the clone came to nothing
	end    ending

	adopted bool       // pid is of the process that the first child forked
	held    *[2]uint32 // a record of the forked child's that came too early
}

// close gives up the conversation; the child lives on.
func (c *child) close() {
	if c.sync >= 0 {
		unix.Close(c.sync)
		c.sync = -1
	}
	c.part()
}

// part lets go of the child's end, so that its closing can be seen, and of what
// the child opened while the two had one table of descriptors.
func (c *child) part() {
	if c.theirs < 0 {
		return
	}
	unix.Close(c.theirs)
	c.theirs = -1
	if c.memory == nil || c.memory.then == nil {
		return
	}
	for _, s := range c.plan.shared() {
		if fd := int(c.memory.then.slots[s]); fd >= 0 {
			unix.Close(fd)
		}
	}
}

// forget closes the pidfd too.
func (c *child) forget() {
	c.close()
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// next waits for the child's next word. ok is false when the child has closed
// its end: it executed the program, or it died.
//
// A forked child may speak before the one that forked it has told of it. The
// fork is told first all the same: until then nobody would reap it, and as
// long as a process is not reaped the init of its pid namespace does not end.
func (c *child) next(ctx context.Context) (code, value uint32, ok bool, err error) {
	if r := c.held; r != nil && c.adopted {
		c.held = nil
		return r[0], r[1], true, nil
	}
	dead := -1
	if c.theirs >= 0 {
		dead = c.pidfd // its end of the socket does not close with it
	}
	code, value, ok, err = readRecord(ctx, c.sync, dead, patience)
	if ok && !c.adopted && c.held == nil && c.plan.afterFork(code) {
		c.held = &[2]uint32{code, value}
		return readRecord(ctx, c.sync, dead, patience)
	}
	return code, value, ok, err
}

// afterFork tells whether only a child that the plan has forked says this.
func (p *Plan) afterFork(code uint32) bool {
	step := uint64(code) < uint64(len(p.Steps)) // it failed
	if !step && code != codeReady && code != codeHooks && code != codeStub && code != codeSource && code != codeNotify {
		return false
	}
	for i := range p.Steps {
		if p.Steps[i].Call == callFork {
			return !step || int(code) > i
		}
	}
	return false
}

// readRecord reads one record of the child's from a socket or fifo. With the
// child's pidfd as dead, its end counts as the end of what it says; -1: the
// closing of the other end alone does.
func readRecord(ctx context.Context, fd, dead int, limit time.Duration) (code, value uint32, ok bool, err error) {
	if err := await(ctx, limit, fd, dead); err != nil {
		return 0, 0, false, fmt.Errorf("wait for the container process: %w", err)
	}
	if dead >= 0 && await(ctx, 0, fd) == os.ErrDeadlineExceeded {
		return 0, 0, false, nil
	}
	var b [recordSize]byte
	n, err := retry(func() (int, error) { return unix.Read(fd, b[:]) })
	if err == unix.ECONNRESET {
		// It died with an answer of ours unread. What it said before is still
		// there, behind this error.
		n, err = retry(func() (int, error) { return unix.Read(fd, b[:]) })
	}
	if err != nil && err != unix.ECONNRESET {
		return 0, 0, false, fmt.Errorf("read from the container process: %w", err)
	}
	if n != recordSize {
		return 0, 0, false, nil
	}
	return binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), true, nil
}

// ack lets the child go on.
func (c *child) ack() error {
	if _, err := unix.Write(c.sync, []byte{1}); err != nil {
		return fmt.Errorf("let the container process go on: %w", err)
	}
	return nil
}

// adopt replaces the first child by the one it forked, which goes on with the
// plan, and reaps the first.
func (c *child) adopt(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open the container process %d: %w", pid, err)
	}
	if _, err := reap(c.pid); err != nil {
		unix.Close(pidfd)
		return err
	}
	unix.Close(c.pidfd)
	c.pid, c.pidfd, c.adopted = pid, pidfd, true
	return nil
}

// kill ends the child and reaps it, if it ends in time.
func (c *child) kill() {
	if c.born() != nil {
		c.forget()
		return
	}
	_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	// In a frozen cgroup of v1 it dies when that is thawed, which may be never.
	if await(context.Background(), closePatience, c.pidfd) == nil {
		_, _ = reap(c.pid)
	}
	c.forget()
}

// failure is the error behind a record or a closed conversation.
func (c *child) failure(code, value uint32, said bool, program, cwd string) error {
	switch {
	case !said:
		status, err := reap(c.pid)
		if err != nil {
			return err
		}
		if status.Signaled() {
			return fmt.Errorf("unable to start container process: ended by signal %v: %w", status.Signal(), errDied)
		}
		return fmt.Errorf("unable to start container process: exit status %d: %w", status.ExitStatus(), errDied)
	case code == codeStub:
		return describe(nil, unix.Errno(value), program, cwd)
	case int(code) < len(c.plan.Steps):
		return describe(&c.plan.Steps[code], unix.Errno(value), program, cwd)
	}
	return fmt.Errorf("unable to start container process: it said %#x %d, which means nothing", code, value)
}

// reap waits for a child of this process.
func reap(pid int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	_, err := retry(func() (int, error) { return unix.Wait4(pid, &status, 0, nil) })
	if err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", pid, err)
	}
	return status, nil
}

// exitCode is what a shell would say of a status.
func exitCode(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// retry repeats a call that a signal interrupted.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// forever is await's limit for a wait that ctx alone ends.
const forever time.Duration = -1

// await blocks until one of fds is readable or hung up (those that are -1 never
// are), ctx ends or limit is over: os.ErrDeadlineExceeded.
func await(ctx context.Context, limit time.Duration, fds ...int) error {
	var deadline time.Time
	if limit >= 0 {
		deadline = time.Now().Add(limit)
	}
	list := make([]unix.PollFd, 0, 4)
	for _, fd := range fds {
		list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if ctx.Done() != nil {
		// The context's end, by its deadline too, must wake the poll; the error
		// then is the context's own, so that its cause can be told.
		wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("make an eventfd: %w", err)
		}
		defer unix.Close(wake)
		stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
		defer stop()
		list = append(list, unix.PollFd{Fd: int32(wake), Events: unix.POLLIN})
	}
	for {
		timeout := -1
		if limit >= 0 {
			timeout = int((max(0, time.Until(deadline)) + time.Millisecond - 1) / time.Millisecond)
		}
		_, err := unix.Poll(list, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		}
		for i := range fds {
			if list[i].Revents != 0 {
				return nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case limit >= 0 && !time.Now().Before(deadline):
			return os.ErrDeadlineExceeded
		}
	}
}
