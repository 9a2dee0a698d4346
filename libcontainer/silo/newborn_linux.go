package silo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/sysmon"
)

// memory is what parent and child have in common while the child borrows the
// parent's memory. It stays where it is until the clone is over, which may be
// when the child executes the program.
type memory struct {
	args   cloneArgs
	pids   int   // pidfd or namespace of Plan.Pids, -1 for none
	own    int   // this process's own pid namespace, the thread's way back
	pid    int32 // written by the kernel
	pidfd  int32
	mask   uint64   // of blocked signals, this thread's and so the child's
	slack  uintptr  // of timers, likewise; 0 is what the thread has
	report uintptr  // slot 0: the descriptor errors are reported to
	first  *program // what the child begins with
	then   *program // what it goes on with, once its parent says so
	ops    []op     // then's

	signals  uint32 // so often the parent has let the child go on
	patience unix.Timespec
}

// converse makes the socket pair between parent and child.
func converse(files map[File]int) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the socket to the container process: %w", err)
	}
	files[fileParent], files[fileSync] = pair[0], pair[1]
	return nil
}

// launch clones a child that walks p from the beginning. files are the
// descriptors p names; both ends of the conversation among them are the
// child's from here on. into is a cgroup v2 directory or -1.
func launch(p *Plan, files map[File]int, into int) (*child, error) {
	flags := p.CloneFlags
	if p.borrows() {
		flags |= unix.CLONE_VM | unix.CLONE_VFORK
	}
	c, err := clone(p, flags, files, into)
	if err != nil {
		return nil, err
	}
	if err := c.born(); err != nil {
		c.close()
		return nil, err
	}
	c.part()
	return c, nil
}

// expect clones a child that waits for its plan: the kernel makes the
// namespaces, the network's above all, while the parent still finds out what
// is to be done in them. The child shares the parent's table of descriptors
// until it gets the plan, so all that the parent opens meanwhile is the
// child's too.
func expect(flags uint64, files map[File]int) (*child, error) {
	return clone(prelude(), flags|unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_FILES, files, -1)
}

// proceed gives an expected child its plan, which it may find there at birth.
func (c *child) proceed(p *Plan, files map[File]int) error {
	g, err := lower(p, files, &c.memory.report, map[File]*uintptr{})
	if err != nil {
		return err
	}
	c.plan, c.memory.then, c.memory.ops = p, g, g.ops
	c.memory.signal()
	return nil
}

// signal lets the child go on, or will when it comes to wait for that.
func (m *memory) signal() {
	atomic.AddUint32(&m.signals, 1)
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&m.signals)), futexWakePrivate, 1, 0, 0, 0)
}

// complete gives the child the descriptors that its plan names and that have
// been opened since. What it says next it says with a table of descriptors of its
// own; until then nothing that the plan names may be closed.
func (c *child) complete(files map[File]int) error {
	if err := c.memory.then.bind(files); err != nil {
		return err
	}
	c.memory.signal()
	return nil
}

// errands takes the steps that the plan has for the parent, which has all that the
// child opened before it had descriptors of its own.
func (c *child) errands(ctx context.Context, program, cwd string) error {
	if len(c.plan.Errands) == 0 {
		return nil
	}
	if err := c.born(); err != nil {
		return err
	}
	code, value, said, err := c.next(ctx)
	if err != nil {
		return err
	}
	if !said || code != codeErrands {
		return c.failure(code, value, said, program, cwd)
	}
	if step, errno := walk(c.memory.then.errands, c.memory); errno != 0 {
		return describe(&c.plan.Errands[step], unix.Errno(errno), program, cwd)
	}
	return nil
}

func clone(p *Plan, flags uint64, files map[File]int, into int) (*child, error) {
	c, err := conceive(p, flags, files, into)
	if err != nil {
		return nil, err
	}
	c.beget()
	return c, nil
}

// beget has another thread clone the child.
func (c *child) beget() {
	m, failed, theirs := c.memory, c.failed, c.theirs
	go func() {
		if errno := bear(m); errno != 0 {
			failed <- errno
			_ = unix.Shutdown(theirs, unix.SHUT_RDWR) // wakes who waits in born
		}
	}()
	// The clone goes first, on this thread: it takes the kernel longest, and
	// another thread is found for us meanwhile.
	runtime.Gosched()
}

// follow clones a child that needs no answers (Input.Alone), and comes back
// when it has left this process's memory: with nothing else to do, a second
// thread and each word between the two would only cost time.
func follow(p *Plan, files map[File]int, into int) (*child, error) {
	c, err := conceive(p, p.CloneFlags|unix.CLONE_VM|unix.CLONE_VFORK, files, into)
	if err != nil {
		return nil, err
	}
	if errno := bear(c.memory); errno != 0 {
		c.close()
		return nil, c.unborn(errno)
	}
	c.pid, c.pidfd = int(c.memory.pid), int(c.memory.pidfd)
	c.part()
	return c, nil
}

// conceive lays out what a child begins with.
func conceive(p *Plan, flags uint64, files map[File]int, into int) (*child, error) {
	m := &memory{pidfd: -1, pids: -1, slack: sysmon.Slack(), patience: unix.NsecToTimespec(int64(patience))}
	c := &child{sync: files[fileParent], theirs: files[fileSync], pidfd: -1, plan: p, memory: m, failed: make(chan unix.Errno, 1)}
	var err error
	if m.first, err = lower(p, files, &m.report, nil); err != nil {
		c.close()
		return nil, err
	}
	// Nobody may look into the child before the user program is executed
	// (a neighbour in a shared pid namespace could reach the host through it).
	// The plan does it where the child's own user has to write to its /proc.
	if !p.Visible {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			c.close()
			return nil, fmt.Errorf("make the process non-dumpable: %w", err)
		}
	}
	if p.Pids != "" {
		m.pids = files[p.Pids]
		if m.own, err = unix.Open("/proc/self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			c.close()
			return nil, fmt.Errorf("open the own pid namespace: %w", err)
		}
	}
	m.args = cloneArgs{
		flags:      flags | unix.CLONE_PIDFD | unix.CLONE_PARENT_SETTID | unix.CLONE_CLEAR_SIGHAND,
		pidfd:      uint64(uintptr(unsafe.Pointer(&m.pidfd))),
		parentTid:  uint64(uintptr(unsafe.Pointer(&m.pid))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if into >= 0 {
		m.args.flags |= unix.CLONE_INTO_CGROUP
		m.args.cgroup = uint64(into)
	}
	return c, nil
}

// bear clones the child.
func bear(m *memory) unix.Errno {
	errno := spawn(m)
	runtime.KeepAlive(m)
	if m.pids >= 0 {
		unix.Close(m.own)
	}
	return errno
}

// born waits for the child's first word. The kernel has written pid and pidfd
// before the child said it.
func (c *child) born() error {
	if c.pid > 0 {
		return nil
	}
	code, _, said, err := c.next(context.Background())
	if said && code == codeBorn {
		c.pid, c.pidfd = int(c.memory.pid), int(c.memory.pidfd)
		return nil
	}
	select {
	case errno := <-c.failed:
		return c.unborn(errno)
	default:
		return errors.Join(errors.New("the container process did not come to life"), err)
	}
}

// unborn says what came of a clone that came to nothing.
func (c *child) unborn(errno unix.Errno) error {
	if c.plan.Pids != "" && errno == unix.ESRCH {
		return libcontainer.ErrNotRunning // it is ending
	}
	into := ""
	switch names := namespaceNames(c.memory.args.flags); {
	case c.plan.Pids != "":
		into = " into the container's pid namespace"
	case names != "":
		into = " with new namespaces" + names
	}
	return entranceHint(fmt.Errorf("clone the container process%s: %w", into, errno), c.memory.args.flags&unix.CLONE_INTO_CGROUP != 0)
}

// borrows tells whether the child can walk p in this process's memory. It
// cannot when it forks again, nor when users are written to its namespace, which
// unshare(2) does not even make then, and setns(2) lets only a process with memory of its own into a time namespace.
func (p *Plan) borrows() bool {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Call == callFork || s.Call == "setns" && s.Args[1].(Flags)&cloneNewTime != 0 ||
			s.Call == "unshare" && s.Args[0].(Flags)&cloneNewUser != 0 {
			return false
		}
	}
	return p.CloneFlags&cloneNewUser == 0
}
