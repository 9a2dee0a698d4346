package hcs

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// system is one container: what is recorded of it.
type system struct {
	h      *handle
	paused bool // when it was looked at last
}

var (
	_ libcontainer.System         = (*system)(nil)
	_ libcontainer.Settler        = (*system)(nil)
	_ libcontainer.Keeper         = (*system)(nil)
	_ libcontainer.Pauser         = (*system)(nil)
	_ libcontainer.WindowsUpdater = (*system)(nil)
	_ libcontainer.Updater        = (*system)(nil)
	_ libcontainer.Resizer        = (*system)(nil)
	_ libcontainer.Tabler         = (*system)(nil)
	_ libcontainer.Meter          = (*system)(nil)
	_ libcontainer.HookRunner     = (*system)(nil)
)

func (s *system) Handle() libcontainer.Handle { return s.h.encode() }

// Pid is the monitor's, for a silo too: the container's first process comes to
// life with Start, and an engine wants a pid at create.
func (s *system) Pid() int {
	if s.h.Gate == nil {
		return 0
	}
	return s.h.Gate.Pid
}

func (s *system) service() service { return serviceFor(s.h.API) }

// Settle makes the monitor stay when this process ends.
func (s *system) Settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), dialWait)
	defer cancel()
	return ask(ctx, s.h.Gate.Pipe, request{Op: opSettle})
}

// Live asks the service. What the monitor wrote down about the program is
// final where it says that it ended.
func (s *system) Live(ctx context.Context) (libcontainer.Live, error) {
	var l libcontainer.Live
	end, over, err := readEnding(s.h.Dir)
	if err != nil || over {
		l.Exited, l.ExitCode = over && end.Why == "", end.Code
		return l, err
	}
	if !s.h.Made {
		return l, nil // create died before there was a system
	}
	init, started, err := readInit(s.h.Dir)
	if err != nil {
		return l, err
	}
	l.Started = started
	// A VM that stands still has all its containers stand still.
	kernel, ids := s.h.System, []string{s.h.System}
	if s.h.VM != nil {
		kernel, ids = s.h.VM.System, append(ids, s.h.VM.System)
	}
	found, err := s.service().list(ctx, ids...)
	if err != nil {
		return l, hinted(err)
	}
	if found[s.h.System].ended() || found[kernel].ended() {
		return libcontainer.Live{}, nil
	}
	l.Exists, l.Paused, l.Init = true, found[kernel].State == "Paused", init.Pid
	s.paused = l.Paused
	if !s.h.Gate.alive() {
		return s.orphaned(ctx, l)
	}
	return l, nil
}

// orphaned is what a container without its monitor is. One that waits can never
// be started. One that runs goes on, and its end has to be asked for.
func (s *system) orphaned(ctx context.Context, l libcontainer.Live) (libcontainer.Live, error) {
	end, over, err := readEnding(s.h.Dir) // it may have ended just now
	if err != nil || over {
		return libcontainer.Live{Exited: over && end.Why == "", ExitCode: end.Code}, err
	}
	if !l.Started {
		return libcontainer.Live{}, nil
	}
	if l.Paused {
		return l, nil // a kernel that stands still ends nothing, and answers nothing
	}
	err = s.with(ctx, func(c computeSystem) error {
		p, err := c.openProcess(ctx, l.Init)
		if noProcess(err) {
			l = libcontainer.Live{}
			return nil
		}
		if err != nil {
			return err
		}
		defer p.close()
		done, code, err := p.ended(ctx)
		if noProcess(err) {
			done, err = true, nil
		} else if err == nil && done {
			l.Exited, l.ExitCode = true, code
		}
		l.Exists, l.Started = l.Exists && !done, l.Started && !done
		return err
	})
	if gone(err) {
		return libcontainer.Live{}, nil
	}
	return l, hinted(err)
}

// Start has the monitor run the program.
func (s *system) Start(ctx context.Context) error {
	err := ask(ctx, s.h.Gate.Pipe, request{Op: opStart})
	if errors.Is(err, errNoMonitor) {
		return libcontainer.WithHint(fmt.Errorf("starting container %s: %w", s.h.System, err), "delete it and create it anew")
	}
	return err
}

// Signal goes through the monitor, which has the process open. Without one it
// takes a few calls more.
func (s *system) Signal(ctx context.Context, number int, all bool) error {
	if s.h.Gate == nil {
		return libcontainer.ErrNotRunning
	}
	if s.paused && s.h.OS == "linux" && number == 0 {
		return nil // a probe: it is there
	}
	if s.paused && (number != libcontainer.Terminate || s.pausable() == "") {
		err := fmt.Errorf("signalling container %s: its kernel is paused, and handles nothing", s.h.System)
		return libcontainer.WithHint(err, "resume it; a container that owns its utility VM can be sent KILL")
	}
	if s.paused {
		// A kernel that stands still ends no process.
		if err := ask(ctx, s.h.Gate.Pipe, request{Op: opEnd}); !errors.Is(err, errNoMonitor) {
			return err
		}
		return hinted(terminateByName(ctx, s.service(), s.pausable()))
	}
	if all {
		return s.signalAll(ctx, number)
	}
	err := ask(ctx, s.h.Gate.Pipe, request{Op: opSignal, Number: number})
	if !errors.Is(err, errNoMonitor) {
		return err
	}
	init, found, err := readInit(s.h.Dir)
	if err != nil || !found {
		return join(err, libcontainer.ErrNotRunning)
	}
	return s.signalPid(ctx, init.Pid, number)
}

func (s *system) signalPid(ctx context.Context, pid, number int) error {
	err := s.with(ctx, func(c computeSystem) error { return signalIn(ctx, c, pid, number, s.h.OS) })
	if noProcess(err) {
		return libcontainer.ErrNotRunning
	}
	return hinted(err)
}

func signalIn(ctx context.Context, c computeSystem, pid, number int, os string) error {
	p, err := c.openProcess(ctx, pid)
	if err != nil {
		return err
	}
	defer p.close()
	return p.signal(ctx, number, os)
}

// signalAll reaches the init process last: its end is the container's.
func (s *system) signalAll(ctx context.Context, number int) error {
	init, started, err := readInit(s.h.Dir)
	if err != nil {
		return err
	}
	if started {
		err := s.with(ctx, func(c computeSystem) error {
			all, err := c.processes(ctx)
			if err != nil {
				return err
			}
			var errs error
			for _, p := range all {
				if p.Pid == init.Pid {
					continue
				}
				// Windows' own processes in the container are not the service's
				// to open: they go with the container.
				if err := signalIn(ctx, c, p.Pid, number, s.h.OS); err != nil && !noProcess(err) && !denied(err) {
					errs = join(errs, err)
				}
			}
			return errs
		})
		if err != nil && !noProcess(err) {
			return hinted(err)
		}
	}
	return s.Signal(ctx, number, false)
}

// Wait waits for the monitor. Its exit code is the program's; the record on
// disk has all 32 bits of it.
func (s *system) Wait(ctx context.Context) (int, error) {
	h, ok := s.h.Gate.open(0)
	if ok {
		defer windows.CloseHandle(h)
		if err := waitFor(ctx, h); err != nil {
			return 0, fmt.Errorf("waiting for container %s: %w", s.h.System, err)
		}
	}
	end, over, err := readEnding(s.h.Dir)
	switch {
	case err != nil:
		return 0, err
	case over:
		return int(end.Code), nil
	}
	return 0, fmt.Errorf("waiting for container %s: %w, and with it the exit code", s.h.System, errNoMonitor)
}

// waitFor waits for a kernel object or the context's end.
func waitFor(ctx context.Context, h windows.Handle) error {
	stop, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(stop)
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = windows.SetEvent(stop)
		close(done)
	})
	defer func() {
		if !cancel() {
			<-done // the event is in use until then
		}
	}()
	got, err := windows.WaitForMultipleObjects([]windows.Handle{h, stop}, false, windows.INFINITE)
	switch {
	case err != nil:
		return err
	case got == windows.WAIT_OBJECT_0:
		return nil
	}
	return ctx.Err()
}

// with does something with the open compute system.
func (s *system) with(ctx context.Context, do func(computeSystem) error) error {
	c, err := s.service().open(ctx, s.h.System)
	if err != nil {
		return err
	}
	defer c.close()
	return do(c)
}

// Processes lists the container's processes: the host's where it is a silo.
func (s *system) Processes(ctx context.Context) ([]int, error) {
	table, err := s.ProcessTable(ctx)
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(table))
	for _, p := range table {
		pids = append(pids, p.Pid)
	}
	return pids, nil
}

// ProcessTable lists the init process first. A container that is not started
// has none.
func (s *system) ProcessTable(ctx context.Context) ([]libcontainer.ProcessInfo, error) {
	init, started, err := readInit(s.h.Dir)
	if err != nil || !started {
		return nil, err
	}
	var table []libcontainer.ProcessInfo
	err = s.with(ctx, func(c computeSystem) error {
		table, err = c.processes(ctx)
		return err
	})
	if gone(err) {
		return nil, libcontainer.ErrNotRunning
	}
	for i := range table {
		if table[i].Pid == init.Pid {
			first := table[i]
			copy(table[1:i+1], table[:i])
			table[0] = first
		}
	}
	return table, hinted(err)
}

// Pause stops the container's kernel, where it has one of its own.
func (s *system) Pause(ctx context.Context) error {
	return s.kernel(ctx, "pausing", func(c computeSystem) error { return c.pause(ctx) })
}

func (s *system) Resume(ctx context.Context) error {
	return s.kernel(ctx, "resuming", func(c computeSystem) error { return c.resume(ctx) })
}

func (s *system) kernel(ctx context.Context, what string, do func(computeSystem) error) error {
	id := s.pausable()
	if id == "" {
		err := fmt.Errorf("%s container %s: the host compute service pauses utility VMs, and this container shares its kernel: %w", what, s.h.System, libcontainer.ErrUnsupported)
		return libcontainer.WithHint(err, "a container under Hyper-V isolation that owns its VM can be paused")
	}
	c, err := s.service().open(ctx, id)
	if err != nil {
		return hinted(err)
	}
	defer c.close()
	return hinted(do(c))
}

// pausable is the compute system that is the container's own kernel, "" none.
func (s *system) pausable() string {
	switch {
	case s.h.VM != nil && s.h.VM.Owned:
		return s.h.VM.System
	case s.h.API == apiV1:
		return s.h.System
	}
	return ""
}

func (s *system) UpdateWindows(ctx context.Context, r *specs.WindowsResources) error {
	documents, err := hcsdoc.UpdateResources(s.h.kind(), r, runtime.NumCPU())
	if err != nil {
		return err
	}
	return s.modify(ctx, documents)
}

// Update serves Linux containers, whose agent in the utility VM reads it.
func (s *system) Update(ctx context.Context, r *specs.LinuxResources) error {
	document, err := hcsdoc.UpdateLinux(r)
	if err != nil {
		return err
	}
	return s.modify(ctx, [][]byte{document})
}

func (s *system) modify(ctx context.Context, documents [][]byte) error {
	if len(documents) == 0 {
		return nil
	}
	return hinted(s.with(ctx, func(c computeSystem) error {
		for _, d := range documents {
			if err := c.modify(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Resize changes the terminal of a process that ps lists; 0 is the init's.
func (s *system) Resize(ctx context.Context, pid int, width, height uint16) error {
	if pid == 0 {
		init, found, err := readInit(s.h.Dir)
		if err != nil || !found {
			return join(err, libcontainer.ErrNotRunning)
		}
		pid = init.Pid
	}
	err := s.with(ctx, func(c computeSystem) error {
		p, err := c.openProcess(ctx, pid)
		if err != nil {
			return err
		}
		defer p.close()
		return p.resize(ctx, width, height)
	})
	if noProcess(err) {
		return fmt.Errorf("resizing the terminal of process %d of container %s: %w", pid, s.h.System, err)
	}
	return hinted(err)
}

// Stats reads the service's statistics.
func (s *system) Stats(ctx context.Context) (any, error) {
	var st *statistics
	err := s.with(ctx, func(c computeSystem) (err error) {
		st, err = c.statistics(ctx)
		return err
	})
	if gone(err) {
		return nil, libcontainer.ErrNotRunning
	}
	if err != nil {
		return nil, hinted(err)
	}
	return st.usage(), nil
}

// Close ends the container and takes back what was made for it, last first. It
// works on the remains of a Create that died.
func (s *system) Close(ctx context.Context) error {
	if s.paused && s.pausable() == "" {
		// Its guest would have to take part, and each request to it would hang.
		err := fmt.Errorf("ending container %s: its utility VM %s is paused", s.h.System, s.h.VM.System)
		return libcontainer.WithHint(err, "resume, or delete, the container that owns the VM")
	}
	// The monitor has the container open and ends it in one call; what it
	// leaves, or leaves us with when there is none, the rest is for.
	if s.h.Gate.alive() {
		asking, cancel := context.WithTimeout(ctx, callWait)
		_ = ask(asking, s.h.Gate.Pipe, request{Op: opEnd})
		cancel()
		if err := s.h.Gate.end(terminateWait + drainWait); err != nil {
			return err
		}
	}
	end, _, err := readEnding(s.h.Dir)
	if err != nil {
		return err
	}
	if s.h.Made && !end.Gone {
		found, err := find(ctx, s.service(), s.h.System)
		if err != nil {
			return hinted(err)
		}
		if found != nil {
			ending, cancel := context.WithTimeout(ctx, terminateWait+callWait)
			err := terminateByName(ending, s.service(), s.h.System)
			cancel()
			if err != nil {
				return hinted(fmt.Errorf("ending container %s: %w", s.h.System, err))
			}
		}
	}
	s.h.Made = false
	// None of these needs another one done, and none shall keep another one.
	var errs error
	for _, undo := range []func(context.Context) error{s.h.unguard, s.h.detach, s.h.unmount, s.h.disconnect, s.h.powerOff} {
		errs = join(errs, undo(ctx))
	}
	return hinted(errs)
}
