package computecore

// This file owns compute systems as wrun's host uses them.

import (
	"context"
	"errors"
	"strconv"
)

// Every function here ends by ctx, or within two minutes when ctx has no
// deadline, and a little later when a call has to be cancelled. Their errors are
// *Error.

// System is an open handle of a compute system. Its methods may be called
// concurrently.
type System struct {
	id      string
	handle  hcsSystem
	hold    *hold
	watched watched
}

func newSystem(id string, handle hcsSystem) *System {
	return &System{id: id, handle: handle, hold: newHold(func() { closeComputeSystem(handle) })}
}

// Enumerate lists compute systems: query is a SystemQuery document, nil for all
// of them, and the answer a JSON array of their Properties.
func Enumerate(ctx context.Context, query []byte) ([]byte, error) {
	const op = "list compute systems"
	q, err := utf16Of(op, "", query)
	if err != nil {
		return nil, err
	}
	return operate(ctx, op, "", nil, &procEnumerateComputeSystems, func(o hcsOperation) uint32 {
		return enumerateComputeSystems(q, o)
	})
}

// Create makes the compute system id from a ComputeSystem document, and returns
// when HCS has completed it. After an error nothing is open, but a system whose
// creation was given up may exist later: whoever tidies up has to look for it.
func Create(ctx context.Context, id string, document []byte) (*System, error) {
	const op = "create compute system"
	name, err := utf16Of(op, id, []byte(id))
	if err != nil {
		return nil, err
	}
	configuration, err := utf16Of(op, id, document)
	if err != nil {
		return nil, err
	}
	if err := need(op, id, &procCloseComputeSystem); err != nil {
		return nil, err
	}
	handle := new(hcsSystem)
	_, err = operateWith(ctx, op, id, nil, &procCreateComputeSystem, &tracked{begin: func(o hcsOperation) uint32 {
		return createComputeSystem(name, configuration, o, handle)
	}}, func() { discardSystem(*handle) })
	if err != nil {
		if !inFlight(err) {
			discardSystem(*handle)
		}
		return nil, err
	}
	return newSystem(id, *handle), nil
}

// Open opens the existing compute system id, or fails with ErrSystemNotFound.
func Open(ctx context.Context, id string) (*System, error) {
	const op = "open compute system"
	name, err := utf16Of(op, id, []byte(id))
	if err != nil {
		return nil, err
	}
	if err := need(op, id, &procOpenComputeSystem, &procCloseComputeSystem); err != nil {
		return nil, err
	}
	handle := new(hcsSystem)
	r := bounded(ctx, limits, nil, func() { discardSystem(*handle) }, func() (uint32, []byte) {
		return openComputeSystem(name, handle), nil
	})
	if err := r.err(op, id); err != nil {
		return nil, err
	}
	return newSystem(id, *handle), nil
}

// discardSystem closes a handle that nobody will get; 0 is none.
func discardSystem(handle hcsSystem) {
	if handle != 0 {
		newHold(func() { closeComputeSystem(handle) }).close(limits.close)
	}
}

func inFlight(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.InFlight
}

// ID is the id that the system was created or opened with.
func (s *System) ID() string { return s.id }

// Start starts a created system and returns when it runs.
func (s *System) Start(ctx context.Context) error {
	_, err := operate(ctx, "start compute system", s.id, s.hold, &procStartComputeSystem, func(o hcsOperation) uint32 {
		return startComputeSystem(s.handle, o)
	})
	if err == nil {
		s.watched.alive()
	}
	return err
}

// Pause stops a running system from running; HCS pauses utility VMs only.
func (s *System) Pause(ctx context.Context) error {
	_, err := operate(ctx, "pause compute system", s.id, s.hold, &procPauseComputeSystem, func(o hcsOperation) uint32 {
		return pauseComputeSystem(s.handle, o)
	})
	return err
}

// Resume undoes Pause.
func (s *System) Resume(ctx context.Context) error {
	_, err := operate(ctx, "resume compute system", s.id, s.hold, &procResumeComputeSystem, func(o hcsOperation) uint32 {
		return resumeComputeSystem(s.handle, o)
	})
	return err
}

// Shutdown asks the system to shut down in its own time. nil says that HCS has
// not refused within half a second; that the system has ended is for WaitExit to
// tell. The caller judges ErrAlreadyStopped, ErrPending and ErrSystemNotFound.
func (s *System) Shutdown(ctx context.Context) error {
	return submit(ctx, "shut down compute system", s.id, s.hold, &procShutDownComputeSystem, func(o hcsOperation) uint32 {
		return shutDownComputeSystem(s.handle, o)
	})
}

// Terminate has the system ended by force; otherwise it is as Shutdown.
func (s *System) Terminate(ctx context.Context) error {
	return submit(ctx, "terminate compute system", s.id, s.hold, &procTerminateComputeSystem, func(o hcsOperation) uint32 {
		return terminateComputeSystem(s.handle, o)
	})
}

// Properties answers a PropertyQuery document, nil for the basic properties,
// with a Properties document.
func (s *System) Properties(ctx context.Context, query []byte) ([]byte, error) {
	const op = "query compute system"
	q, err := utf16Of(op, s.id, query)
	if err != nil {
		return nil, err
	}
	return operate(ctx, op, s.id, s.hold, &procGetComputeSystemProperties, func(o hcsOperation) uint32 {
		return getComputeSystemProperties(s.handle, o, q)
	})
}

// Modify carries out a ModifySettingRequest document.
func (s *System) Modify(ctx context.Context, document []byte) error {
	const op = "modify compute system"
	configuration, err := utf16Of(op, s.id, document)
	if err != nil {
		return err
	}
	_, err = operate(ctx, op, s.id, s.hold, &procModifyComputeSystem, func(o hcsOperation) uint32 {
		return modifyComputeSystem(s.handle, o, configuration)
	})
	return err
}

// Watch has HCS tell of the system's exit; WaitExit needs it. Best called before
// what will end the system, and before Start: then WaitExit costs no call. A
// handle is watched once, again is harmless.
func (s *System) Watch(ctx context.Context) error {
	return s.watched.begin(ctx, "watch compute system", s.id, s.hold, &procSetComputeSystemCallback, func(context, callback uintptr) uint32 {
		return setComputeSystemCallback(s.handle, context, callback)
	})
}

// WaitExit waits for the system to end, as long as ctx allows. An exit from
// before Watch is found by one query of the system's properties, which is left
// out where Start or CreateProcess succeeded since. ErrServiceDisconnect: the
// service went away; ErrInvalidHandle: Close.
func (s *System) WaitExit(ctx context.Context) (SystemExit, error) {
	const op = "wait for compute system"
	w, look := s.watched.current()
	if w == nil {
		return SystemExit{}, &Error{Op: op, Object: s.id, HRESULT: hrInvalidParam, Message: "it is not watched"}
	}
	if _, _, _, over := w.told(); look && !over {
		short, cancel := w.until(ctx)
		properties, err := s.Properties(short, nil)
		cancel()
		exit, stopped := stoppedSystem(properties)
		switch {
		case ctx.Err() != nil:
			s.watched.unsure()
			return SystemExit{}, waitError(ctx, op, s.id)
		case errors.Is(err, ErrSystemNotFound), errors.Is(err, ErrAlreadyStopped):
			return SystemExit{}, nil
		case err != nil && !errors.Is(err, ErrTimeout) && !w.within(limits.grace):
			return SystemExit{}, err
		case err == nil && stopped && !w.within(0):
			return exit, nil
		}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return SystemExit{}, waitError(ctx, op, s.id)
	}
	document, crash, lost, _ := w.told()
	if lost != 0 {
		return SystemExit{}, &Error{Op: op, Object: s.id, HRESULT: lost}
	}
	exit := parseSystemExit(document)
	exit.Crash = crash
	return exit, nil
}

// waitError is ctx's end as an error of this package.
func waitError(ctx context.Context, op, object string) error {
	e := &Error{Op: op, Object: object, HRESULT: hrCancelled, Message: "cancelled by the caller", cause: ctx.Err()}
	if errors.Is(e.cause, context.DeadlineExceeded) {
		e.HRESULT, e.Message = hrTimeout, "it has not ended in time"
	}
	return e
}

// Close closes the handle: HCS's view of the system does not change, unless its
// document says ShouldTerminateOnLastHandleClosed. No event is delivered any
// more once it returns, and WaitExit ends. Calls in flight are waited for, ten
// seconds long; one that hangs longer keeps the handle open.
func (s *System) Close() {
	s.watched.end()
	s.hold.close(limits.close)
}

// process names a process in errors: "c1 process 7".
func (s *System) process(pid uint32) string {
	return s.id + " process " + strconv.FormatUint(uint64(pid), 10)
}
