package silo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for a child to get on with its plan. A mount of a
// network file system may take its time; a plan that takes longer is stuck.
const patience = 2 * time.Minute

// child is a process that walks a plan, as its parent sees it.
type child struct {
	pid   int
	pidfd int
	sync  int // our end of the conversation
	plan  *Plan
	end   ending
}

// converse makes the socket pair between parent and child. launch takes it over.
func converse(files map[File]int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the socket to the container process: %w", err)
	}
	files[fileParent], files[fileSync] = pair[0], pair[1]
	return nil
}

// launch clones a child and lets it walk p. files are the descriptors p names;
// both ends of the conversation among them are the child's from here on. into
// is a cgroup v2 directory or -1.
func launch(p *Plan, files map[File]int, into int) (*child, error) {
	ours, theirs := files[fileParent], files[fileSync]
	g, err := lower(p, files)
	if err != nil {
		unix.Close(ours)
		unix.Close(theirs)
		return nil, err
	}
	// Nobody may look into the child before the user program is executed
	// (a neighbour in a shared pid namespace could reach the host through it).
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		unix.Close(ours)
		unix.Close(theirs)
		return nil, fmt.Errorf("make the process non-dumpable: %w", err)
	}
	n := &newborn{pidfd: -1}
	n.args = cloneArgs{
		flags:      p.CloneFlags | unix.CLONE_PIDFD | unix.CLONE_PARENT_SETTID,
		pidfd:      uint64(uintptr(unsafe.Pointer(&n.pidfd))),
		parentTid:  uint64(uintptr(unsafe.Pointer(&n.pid))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if into >= 0 {
		n.args.flags |= unix.CLONE_INTO_CGROUP
		n.args.cgroup = uint64(into)
	}
	if p.borrows() {
		n.args.flags |= unix.CLONE_VM | unix.CLONE_VFORK
	}
	failed := make(chan unix.Errno, 1)
	go func() {
		errno := spawn(&n.args, g.ops, &g.slots[0])
		runtime.KeepAlive(g)
		if errno != 0 {
			failed <- errno
			_ = unix.Shutdown(theirs, unix.SHUT_RDWR) // wakes the read below
		}
	}()
	c := &child{sync: ours, plan: p}
	code, _, said, err := c.next(context.Background())
	unix.Close(theirs)
	if said && code == codeBorn {
		c.pid, c.pidfd = int(n.pid), int(n.pidfd)
		return c, nil
	}
	unix.Close(ours)
	select {
	case errno := <-failed:
		return nil, fmt.Errorf("clone the container process with new namespaces%s: %w", namespaceNames(p.CloneFlags), errno)
	default:
		return nil, errors.Join(errors.New("the container process did not come to life"), err)
	}
}

// newborn is where the kernel writes who was born. It stays where it is until
// the clone is over, which may be when the child executes its program.
type newborn struct {
	args  cloneArgs
	pid   int32
	pidfd int32
}

// borrows tells whether the child can walk p in this process's memory. It
// cannot when it forks again, and the kernel lets only a process with memory
// of its own change its time namespace.
func (p *Plan) borrows() bool {
	for i := range p.Steps {
		if p.Steps[i].Call == callFork {
			return false
		}
	}
	return p.CloneFlags&cloneNewUser == 0
}

// close gives up the conversation; the child lives on.
func (c *child) close() {
	if c.sync >= 0 {
		unix.Close(c.sync)
		c.sync = -1
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
func (c *child) next(ctx context.Context) (code, value uint32, ok bool, err error) {
	return readRecord(ctx, c.sync, patience)
}

// readRecord reads one record of the child's from a socket or fifo.
func readRecord(ctx context.Context, fd int, limit time.Duration) (code, value uint32, ok bool, err error) {
	if err := await(ctx, fd, limit); err != nil {
		return 0, 0, false, fmt.Errorf("wait for the container process: %w", err)
	}
	var b [recordSize]byte
	n, err := retry(func() (int, error) { return unix.Read(fd, b[:]) })
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
	c.pid, c.pidfd = pid, pidfd
	return nil
}

// kill ends the child and reaps it.
func (c *child) kill() {
	_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	_, _ = reap(c.pid)
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

// await blocks until fd is readable or hung up, ctx ends or limit is over (0:
// no limit of its own).
func await(ctx context.Context, fd int, limit time.Duration) error {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if d, ok := ctx.Deadline(); ok && (deadline.IsZero() || d.Before(deadline)) {
		deadline = d
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if ctx.Done() != nil {
		// Cancelling must wake the poll.
		wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("make an eventfd: %w", err)
		}
		defer unix.Close(wake)
		stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
		defer stop()
		fds = append(fds, unix.PollFd{Fd: int32(wake), Events: unix.POLLIN})
	}
	for {
		timeout := -1
		if !deadline.IsZero() {
			timeout = int(max(0, time.Until(deadline)/time.Millisecond)) + 1
		}
		_, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case fds[0].Revents != 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return os.ErrDeadlineExceeded
		}
	}
}

// startTime is the moment a process began, in clock ticks since the machine's
// boot, and whether it is still more than a zombie (proc_pid_stat(5), fields 3
// and 22).
func startTime(pid int) (ticks uint64, alive bool, err error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false, err
	}
	defer unix.Close(fd)
	var buf [512]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0, false, err
	}
	return parseStat(buf[:n])
}
