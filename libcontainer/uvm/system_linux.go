package uvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/procstat"
	"wrun/libcontainer/uvm/wire"
)

// closePatience bounds how long Close waits for what it has killed.
const closePatience = 10 * time.Second

// system is one container. monitor and link are set only in the process that
// created it.
type system struct {
	h       *handle
	monitor *child
	link    link
}

func (s *system) Handle() libcontainer.Handle { return s.h.encode() }
func (s *system) Pid() int                    { return s.h.Pid }

// alive tells whether the monitor lives.
func (s *system) alive() (bool, error) { return procstat.Alive(s.h.Pid, s.h.Start) }

// ask has the monitor do op and reads its answer into out, nil for none.
func (s *system) ask(op string, in, out any) error {
	return s.askWithin(longWait+callWait, op, in, out)
}

// lookWait bounds what state and list wait for a monitor: it answers by itself,
// without the VM.
const lookWait = 2 * time.Second

func (s *system) askWithin(most time.Duration, op string, in, out any) error {
	return s.askUntil(context.Background(), most, op, in, out)
}

// askUntil gives up when ctx ends, with an error of no meaning.
func (s *system) askUntil(ctx context.Context, most time.Duration, op string, in, out any) error {
	l, err := dial(s.h.socketDir())
	if err != nil {
		return err
	}
	defer l.close()
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(l), unix.SHUT_RDWR) })
	defer stop()
	if err := l.patience(most); err != nil {
		return err
	}
	if err := l.send(request{Op: op, In: in}); err != nil {
		return unanswered(op, err)
	}
	var r reply
	if _, err := l.receive(&r); err != nil {
		return unanswered(op, err)
	}
	if r.Err != nil {
		return r.Err.Unpack()
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(r.Out, out)
}

// errEnding is ErrNotRunning of a container whose monitor begins to end, or has.
var errEnding = fmt.Errorf("%w", libcontainer.ErrNotRunning)

// unanswered is the error of a request that a monitor has not answered.
func unanswered(op string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return errEnding
	}
	return fmt.Errorf("ask the monitor for %s: %w", op, err)
}

func (s *system) target() wire.Target { return wire.Target{ID: s.h.ID} }

func (s *system) Live(ctx context.Context) (libcontainer.Live, error) {
	var l libcontainer.Live
	var err error
	if l.Exists, err = s.alive(); err != nil || !l.Exists {
		return l, err
	}
	var st state
	switch err := s.askWithin(lookWait, opState, s.target(), &st); {
	case errors.Is(err, unix.ETIMEDOUT):
		l.Started = true // somebody holds it up, and it holds a container
		return l, nil
	case errors.Is(err, errEnding):
		l.Exists, err = s.ending(ctx)
		l.Started = l.Exists
		return l, err
	case errors.Is(err, libcontainer.ErrNotRunning):
		l.Exists, err = s.alive() // it is not that far, or has lost the container
		return l, err
	case err != nil:
		return l, err
	}
	l.Started, l.Paused = st.Started, st.Paused
	if l.Started {
		l.Init = st.Init
	}
	return l, nil
}

// Settle answers the monitor that it may live on without this process.
func (s *system) Settle() error {
	if s.monitor == nil || s.link < 0 {
		return nil
	}
	defer func() {
		s.link.close()
		s.link = -1
	}()
	if err := s.link.send(proceed{}); err != nil {
		return fmt.Errorf("tell the monitor: %w", err)
	}
	return nil
}

func (s *system) Start(context.Context) error {
	if err := s.Settle(); err != nil {
		return err
	}
	return s.ask(wire.OpStart, s.target(), nil)
}

func (s *system) Signal(_ context.Context, sig int, all bool) error {
	return s.ask(wire.OpSignal, wire.Signal{ID: s.h.ID, Number: sig, All: all}, nil)
}

// Wait reports the end of the container to the process that created it.
func (s *system) Wait(ctx context.Context) (int, error) {
	if s.monitor == nil {
		return 0, errors.New("only the process that created the container can wait for it")
	}
	return s.monitor.wait(ctx)
}

func (s *system) Processes(context.Context) ([]int, error) {
	var pids []int
	err := s.ask(wire.OpProcesses, s.target(), &pids)
	return pids, err
}

func (s *system) ProcessTable(context.Context) ([]libcontainer.ProcessInfo, error) {
	var table []libcontainer.ProcessInfo
	err := s.ask(wire.OpTable, s.target(), &table)
	return table, err
}

func (s *system) Pause(context.Context) error  { return s.ask(wire.OpPause, s.target(), nil) }
func (s *system) Resume(context.Context) error { return s.ask(wire.OpResume, s.target(), nil) }

func (s *system) Update(_ context.Context, r *specs.LinuxResources) error {
	return s.ask(wire.OpUpdate, wire.Update{ID: s.h.ID, Resources: r}, nil)
}

func (s *system) Stats(context.Context) (any, error) {
	var v json.RawMessage
	err := s.ask(wire.OpStats, s.target(), &v)
	return v, err
}

// WatchOOM asks again and again, because each answer comes within a bounded time.
func (s *system) WatchOOM(ctx context.Context, oom func()) error {
	for seen := int64(-1); ctx.Err() == nil; {
		var all wire.OOMs
		err := s.askUntil(ctx, longWait+callWait, wire.OpOOM, wire.OOM{ID: s.h.ID, Seen: seen}, &all)
		switch {
		case ctx.Err() != nil, errors.Is(err, libcontainer.ErrNotRunning):
			return nil //nolint:nilerr // neither is an error: see OOMWatcher
		case err != nil:
			return err
		}
		for ; seen >= 0 && seen < all.Count; seen++ {
			oom()
		}
		seen = all.Count
	}
	return nil
}

func (s *system) RunHook(_ context.Context, h specs.Hook, stateOf []byte) error {
	return s.ask(wire.OpHook, wire.Hook{ID: s.h.ID, Hook: h, State: stateOf}, nil)
}

// Close removes the container, whatever state it is in: the monitor's end is the
// VM's.
func (s *system) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	if s.monitor != nil && s.link >= 0 {
		s.link.close()
		s.link = -1
	}
	var err error
	if s.h.Sandbox != "" {
		if err = s.askWithin(closePatience+callWait, opLeave, s.target(), nil); errors.Is(err, libcontainer.ErrNotRunning) || errors.Is(err, os.ErrNotExist) {
			err = nil // the VM has gone, and it with it
		}
	}
	err = errors.Join(err, s.end(ctx))
	if s.h.Group != nil {
		err = errors.Join(err, s.killGroup(ctx), s.h.Group.Remove(ctx))
	}
	err = errors.Join(err, s.h.disconnect())
	for _, name := range []string{socketName, machineDir} {
		if gone := os.Remove(filepath.Join(s.h.Dir, name)); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove what the utility VM had: %w", gone))
		}
	}
	return err
}

// killGroup ends what a creator that died never told of. A process leaves its
// cgroup before it has ended, the first of a pid namespace long before, so each
// is waited for.
func (s *system) killGroup(ctx context.Context) error {
	pids, err := s.h.Group.Processes()
	if err != nil || len(pids) == 0 {
		return err
	}
	var fds []int
	defer func() { closeAll(fds) }()
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // else it has gone by itself
			fds = append(fds, fd)
		}
	}
	if err := s.h.Group.Kill(ctx); err != nil {
		return err
	}
	for _, fd := range fds {
		if err := gone(ctx, fd); err != nil {
			return fmt.Errorf("wait for the end of the processes of cgroup %s: %w", s.h.Group.Path, err)
		}
	}
	return nil
}

// end kills the monitor and waits until it is gone.
func (s *system) end(ctx context.Context) error {
	if s.h.Pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(s.h.Pid, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	alive, looked := s.alive()
	switch {
	case looked != nil:
		return looked
	case alive && err != nil:
		return fmt.Errorf("open process %d: %w", s.h.Pid, err)
	case alive:
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill process %d: %w", s.h.Pid, err)
		}
		if err := gone(ctx, fd); err != nil {
			return fmt.Errorf("wait for the end of process %d: %w", s.h.Pid, err)
		}
	}
	if s.monitor != nil {
		_, err := s.monitor.wait(ctx) // its pid is free then
		return err
	}
	return nil
}

// ending waits for a monitor whose end has begun, which is not complete before its
// VM's, and tells whether it is there all the same.
func (s *system) ending(ctx context.Context) (exists bool, err error) {
	fd, err := unix.PidfdOpen(s.h.Pid, 0)
	if err != nil {
		return s.alive()
	}
	defer unix.Close(fd)
	if exists, err = s.alive(); err != nil || !exists {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	switch err := gone(ctx, fd); {
	case errors.Is(err, context.DeadlineExceeded):
		return true, nil
	default:
		return false, err
	}
}

// gone waits until the process of a pidfd has ended (pidfd_open(2)).
func gone(ctx context.Context, pidfd int) error {
	end, _ := ctx.Deadline()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(time.Until(end)/time.Millisecond)+1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n > 0:
			return nil
		default:
			return context.DeadlineExceeded
		}
	}
}
