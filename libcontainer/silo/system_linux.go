package silo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/procstat"
	"wrun/libcontainer/silo/cgroup"
)

// closePatience bounds how long Close waits for killed processes to be gone. A
// process in an uninterruptible system call can take that long.
const closePatience = 10 * time.Second

// system is one container. child is set only in the process that created it.
type system struct {
	h       *handle
	systemd cgroup.Systemd // nil: nobody is asked
	guest   bool           // see Guest
	child   *child
	cwd     string // process.cwd, for an error of the child's
	// direct: the child has no gate, for its creator starts it. ready: it has said
	// that it waits for that.
	direct, ready bool
	lent          []int    // descriptors that the child may still take copies of
	execs         []*child // started by Exec of this system
}

func (s *system) Handle() libcontainer.Handle { return s.h.encode() }
func (s *system) Pid() int                    { return s.h.Pid }

// alive tells whether the init process lives.
func (s *system) alive() (bool, error) {
	if s.h.Start == 0 && s.child != nil { // there are no facts: only its parent knows of it
		return s.child.alive()
	}
	return procstat.Alive(s.h.Pid, s.h.Start)
}

// open returns a pidfd of the living init process; ErrNotRunning if there is
// none. The check comes after the open, so the descriptor is of that process.
func (s *system) open() (int, error) {
	if s.h.Pid == 0 {
		return -1, libcontainer.ErrNotRunning
	}
	fd, err := unix.PidfdOpen(s.h.Pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		// EINVAL: before Linux 6.9, of a process just being reaped or, the pid
		// being used again, of another's thread.
		return -1, libcontainer.ErrNotRunning
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", s.h.Pid, err)
	}
	alive, err := s.alive()
	if err == nil && !alive {
		err = libcontainer.ErrNotRunning
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s *system) Live(context.Context) (libcontainer.Live, error) {
	var l libcontainer.Live
	var err error
	if l.Exists, err = s.alive(); err != nil || !l.Exists {
		return l, err
	}
	parked, err := s.parked()
	if err != nil {
		return l, err
	}
	l.Started = !parked
	if s.h.Group != nil {
		l.Paused, err = s.h.Group.Frozen()
	}
	return l, err
}

// unstarted tells whether the child waits for this process.
func (s *system) unstarted() bool { return s.direct && s.child != nil && s.child.sync >= 0 }

// parked tells whether the child still waits for its start.
func (s *system) parked() (bool, error) {
	if s.unstarted() {
		return true, nil
	}
	return s.h.parked()
}

// Settle answers the parked child that it may live on without this process.
func (s *system) Settle() error {
	if s.child == nil || s.child.sync < 0 || s.direct {
		return nil
	}
	defer s.child.close()
	return s.child.ack()
}

// Start lets the parked child execute the program.
func (s *system) Start(ctx context.Context) error {
	if s.unstarted() {
		return s.goOn(ctx)
	}
	if err := s.Settle(); err != nil {
		return err
	}
	return s.h.open(ctx)
}

// goOn is Start for a child without a gate, wherever in its plan it is: it
// needs but the answer that its parent has saved the facts.
func (s *system) goOn(ctx context.Context) error {
	defer s.child.close()
	// If it is dead already, its last words tell more than this error does.
	answered := s.child.ack()
	ready := s.ready
	for {
		code, value, said, err := s.child.next(ctx)
		s.child.part()
		for _, fd := range s.lent {
			unix.Close(fd)
		}
		s.lent = nil
		switch {
		case err != nil:
			return err
		case said && code == codeReady:
			ready = true
		case !said && ready && answered == nil: // silence: it has executed the program
			return nil
		case !said && s.ready: // it has ended while it waited
			return libcontainer.ErrNotRunning
		default:
			return s.child.failure(code, value, said, s.h.Program, s.cwd)
		}
	}
}

func (s *system) Signal(ctx context.Context, sig int, all bool) error {
	if all || unix.Signal(sig) == unix.SIGKILL && !s.h.OwnPids {
		// The kernel ends a container with its first process only where that is
		// the first of a pid namespace; elsewhere KILL means all of them too.
		return s.signalAll(ctx, unix.Signal(sig))
	}
	fd, err := s.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	number, err := s.meant(unix.Signal(sig))
	if err != nil {
		return err
	}
	switch err := unix.PidfdSendSignal(fd, number, nil, 0); err {
	case nil:
		return s.thawForKill(ctx, number)
	case unix.ESRCH:
		return libcontainer.ErrNotRunning
	default:
		return fmt.Errorf("unable to signal init: %w", err)
	}
}

// meant is the signal that does to a container before its start what sig would
// do to a program that does not care for it. The first process of a pid namespace
// gets none but those it handles, and KILL (pid_namespaces(7)); the parked child
// handles none. Whoever stops a pod that has not started would wait in vain.
func (s *system) meant(sig unix.Signal) (unix.Signal, error) {
	switch sig {
	case 0, unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH, unix.SIGKILL:
		return sig, nil
	}
	if !s.h.OwnPids || sig < 0 || sig > 64 {
		return sig, nil
	}
	parked, err := s.parked()
	if parked {
		return unix.SIGKILL, err
	}
	return sig, err
}

// signalAll reaches every process of the cgroup, also when init is gone and
// the others live on because the container has no pid namespace of its own.
func (s *system) signalAll(ctx context.Context, sig unix.Signal) error {
	pids, err := s.Processes(ctx)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("unable to signal process %d: %w", pid, err)
		}
	}
	return s.thawForKill(ctx, sig)
}

// thawForKill lets the processes of a paused container die: a frozen process
// of cgroup v1 takes no signal.
func (s *system) thawForKill(ctx context.Context, sig unix.Signal) error {
	if sig != unix.SIGKILL || s.h.Group == nil {
		return nil
	}
	if frozen, err := s.h.Group.Frozen(); err != nil || !frozen {
		return err
	}
	return s.h.Group.Thaw(ctx)
}

// Wait reports the end of the init process to the process that created it.
func (s *system) Wait(ctx context.Context) (int, error) {
	if s.child == nil {
		return 0, errors.New("only the process that created the container can wait for it")
	}
	s.bequeath(ctx)
	return s.child.wait(ctx)
}

// bequeath has the processes that Exec started reaped when they end. The init
// process of a pid namespace does not end before every process in it is reaped
// (pid_namespaces(7)), and these are children of wrun's.
func (s *system) bequeath(ctx context.Context) {
	for _, c := range s.execs {
		go c.wait(ctx) //nolint:errcheck // whoever asks gets the answer again
	}
}

// ending is how a child ended; it is asked for more than once, the kernel only
// once.
type ending struct {
	mu     sync.Mutex
	reaped bool
	status unix.WaitStatus
}

// wait blocks until the child ends and reaps it.
func (c *child) wait(ctx context.Context) (int, error) {
	c.end.mu.Lock()
	reaped := c.end.reaped
	c.end.mu.Unlock()
	if !reaped {
		if err := await(ctx, forever, c.pidfd); err != nil {
			return 0, fmt.Errorf("wait for process %d: %w", c.pid, err)
		}
	}
	c.end.mu.Lock()
	defer c.end.mu.Unlock()
	if !c.end.reaped {
		status, err := reap(c.pid)
		if err != nil {
			return 0, err
		}
		c.end.reaped, c.end.status = true, status
	}
	return exitCode(c.end.status), nil
}

// alive tells whether the child has neither ended nor been reaped: until then its
// pid is no other process's.
func (c *child) alive() (bool, error) {
	c.end.mu.Lock()
	defer c.end.mu.Unlock()
	if c.end.reaped || c.pidfd < 0 {
		return false, nil
	}
	switch err := await(context.Background(), 0, c.pidfd); err {
	case nil:
		return false, nil
	case os.ErrDeadlineExceeded:
		return true, nil
	default:
		return false, fmt.Errorf("look at process %d: %w", c.pid, err)
	}
}

// Processes lists the container's processes by host pid, init first.
func (s *system) Processes(context.Context) ([]int, error) {
	var pids []int
	var err error
	if s.h.Group == nil {
		pids, err = s.inOwnPids()
	} else {
		pids, err = s.h.Group.Processes()
	}
	if err != nil {
		return nil, err
	}
	for i, pid := range pids {
		if pid == s.h.Pid {
			copy(pids[1:i+1], pids[:i])
			pids[0] = pid
			break
		}
	}
	return pids, nil
}

// inOwnPids finds the processes of a container without a cgroup: those of init's
// pid namespace, if it has one of its own, else init alone.
func (s *system) inOwnPids() ([]int, error) {
	if alive, err := s.alive(); err != nil || !alive {
		return nil, err
	}
	if !s.h.OwnPids {
		return []int{s.h.Pid}, nil
	}
	own, err := os.Readlink("/proc/" + strconv.Itoa(s.h.Pid) + "/ns/pid")
	if err != nil {
		return nil, fmt.Errorf("look for the container's processes: %w", err)
	}
	proc, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for the container's processes: %w", err)
	}
	var pids []int
	for _, e := range proc {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if at, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && at == own {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (s *system) Pause(ctx context.Context) error {
	if s.h.Group == nil {
		return noGroup()
	}
	return s.h.Group.Freeze(ctx)
}

func (s *system) Resume(ctx context.Context) error {
	if s.h.Group == nil {
		return noGroup()
	}
	return s.h.Group.Thaw(ctx)
}

// Close removes the container, whatever state it is in.
func (s *system) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	err := s.end(ctx)
	if s.h.Group != nil {
		// Processes that init left behind, or that a dead creator never told
		// of. The kernel has killed them already where init was the first of a
		// pid namespace (pid_namespaces(7)) and has ended.
		err = errors.Join(err, s.removeGroup(ctx, !s.h.OwnPids || s.h.Pid == 0 || err != nil))
	}
	if !s.direct { // else there was none
		err = errors.Join(err, removeGate(s.h.Dir))
	}
	return errors.Join(err, s.unmount())
}

// end kills the init process and waits until it is gone.
func (s *system) end(ctx context.Context) error {
	fd, err := s.open()
	if errors.Is(err, libcontainer.ErrNotRunning) {
		s.bury()
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", s.h.Pid, err)
	}
	if err := s.thawForKill(ctx, unix.SIGKILL); err != nil {
		return err
	}
	s.bequeath(ctx)
	// A pidfd becomes readable when the process has ended (pidfd_open(2)).
	if err := await(ctx, closePatience, fd); err != nil {
		return fmt.Errorf("wait for the end of process %d: %w", s.h.Pid, err)
	}
	s.bury()
	return nil
}

// bury reaps init where it is a child of ours; its pid is free then.
func (s *system) bury() {
	if s.child != nil {
		s.child.end.mu.Lock()
		if !s.child.end.reaped {
			_, _ = unix.Wait4(s.child.pid, nil, unix.WNOHANG, nil)
		}
		s.child.end.mu.Unlock()
		s.child.forget()
		s.child = nil
	}
}

// unmount takes the container's mounts off the host where it had no mount
// namespace of its own: all that came to lie over the mount that was there.
func (s *system) unmount() error {
	if s.h.HostRoot == "" {
		return nil
	}
	for {
		id, err := mountID(s.h.HostRoot)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil || id == s.h.HostMount {
			return err
		}
		if err := unix.Unmount(s.h.HostRoot, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", s.h.HostRoot, err)
		}
	}
}

func (s *system) Update(ctx context.Context, r *specs.LinuxResources) error {
	if s.h.Group == nil {
		return noGroup()
	}
	if err := s.h.Group.Update(r, nil); err != nil || s.h.Group.Unit == "" {
		return err
	}
	// The kernel has not refused it. systemd writes the same, but for processor
	// time, which it rounds.
	if err := updateUnit(ctx, s.systemd, s.h.Group, r); err != nil {
		return err
	}
	return s.h.Group.Update(r, nil)
}

func (s *system) WatchOOM(ctx context.Context, oom func()) error {
	if s.h.Group == nil {
		return noGroup()
	}
	err := s.h.Group.WatchOOM(ctx, oom)
	if errors.Is(err, cgroup.ErrNoMemory) {
		return libcontainer.ErrUnsupported
	}
	return err
}

func (s *system) Stats(context.Context) (any, error) {
	if s.h.Group == nil {
		return nil, noGroup()
	}
	return s.h.Group.Stats()
}
