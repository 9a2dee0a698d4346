package uvm

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/pidfd"
	"wrun/libcontainer/sysmon"
)

// child is a process of the monitor's program that this one has started.
type child struct {
	process *os.Process

	mu     sync.Mutex
	reaped bool
	code   int
}

// spawn starts the program with the given streams, the other end of a link, and
// what of a terminal it makes itself. clone are the namespaces it begins, group is
// the directory of a v2 cgroup for it or -1.
func spawn(stdio libcontainer.Stdio, clone uintptr, group int, operands ...string) (*child, link, error) {
	ours, theirs, err := newLink()
	if err != nil {
		return nil, -1, err
	}
	other := os.NewFile(uintptr(theirs), "link")
	defer other.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		ours.close()
		return nil, -1, err
	}
	defer null.Close()
	inherited := []*os.File{stdio.In, stdio.Out, stdio.Err, other}
	for i := range 3 {
		if inherited[i] == nil || stdio.Console != nil {
			inherited[i] = null
		}
	}
	// What this process has of its caller's is not for one that outlives it.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		ours.close()
		return nil, -1, fmt.Errorf("keep descriptors: %w", err)
	}
	var p *os.Process
	err = sysmon.Exact(func() (err error) {
		p, err = os.StartProcess(self, append([]string{"wrun", MonitorCommand}, operands...), &os.ProcAttr{
			Dir: "/", Files: inherited, Env: []string{"PATH=" + os.Getenv("PATH")},
			Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: clone, UseCgroupFD: group >= 0, CgroupFD: max(group, 0)},
		})
		return err
	})
	if err != nil {
		ours.close()
		return nil, -1, fmt.Errorf("start the monitor: %w", err)
	}
	return &child{process: p}, ours, nil
}

// wait returns the exit code, 128+n after signal n. It may be asked again.
func (c *child) wait(ctx context.Context) (int, error) {
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.reaped {
			st, err := c.process.Wait()
			if err != nil {
				ended <- end{0, fmt.Errorf("wait for process %d: %w", c.process.Pid, err)}
				return
			}
			c.reaped, c.code = true, exitCode(st)
		}
		ended <- end{c.code, nil}
	}()
	select {
	case e := <-ended:
		return e.code, e.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for process %d: %w", c.process.Pid, ctx.Err())
	}
}

// kill ends a child that is of no use, and waits for its end.
func (c *child) kill() {
	_ = c.process.Kill()
	_, _ = c.wait(context.Background())
}

func exitCode(st *os.ProcessState) int {
	if w, ok := st.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return st.ExitCode()
}

// console is the descriptor that goes with an order, if there is one.
func console(stdio libcontainer.Stdio) []int {
	if stdio.Console == nil {
		return nil
	}
	return []int{int(stdio.Console.Fd())}
}

// sendPidfd passes a pidfd of pid to whoever listens on the unix socket at path
// (--pidfd-socket). An empty path: nobody asked.
func sendPidfd(path string, pid int) error {
	if path == "" {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	return pidfd.Send(path, fd)
}
