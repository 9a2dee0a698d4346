package computecore

// This file owns processes in compute systems as wrun's host uses them.

import (
	"context"
	"errors"

	"golang.org/x/sys/windows"
)

// Process is an open handle of a process in a compute system. Its methods may
// be called concurrently.
type Process struct {
	pid     uint32
	name    string // for errors
	handle  hcsProcess
	hold    *hold
	watched watched
}

// ProcessInfo is what HCS tells of a new process. A stream that was not asked
// for is 0. The handles are the caller's to close.
type ProcessInfo struct {
	PID                   uint32
	Stdin, Stdout, Stderr windows.Handle
}

func (p ProcessInfo) close() {
	for _, h := range [...]windows.Handle{p.Stdin, p.Stdout, p.Stderr} {
		if h != 0 {
			_ = windows.CloseHandle(h)
		}
	}
}

func newProcess(name string, pid uint32, handle hcsProcess, h *hold) *Process {
	return &Process{pid: pid, name: name, handle: handle, hold: h}
}

func holdProcess(handle hcsProcess) *hold {
	return newHold(func() { closeProcess(handle) })
}

// CreateProcess starts a process from a ProcessParameters document and returns
// when HCS has its id and streams.
func (s *System) CreateProcess(ctx context.Context, parameters []byte) (*Process, ProcessInfo, error) {
	const op = "create process in compute system"
	document, err := utf16Of(op, s.id, parameters)
	if err != nil {
		return nil, ProcessInfo{}, err
	}
	if err := need(op, s.id, &procCloseProcess, &procGetProcessInfo); err != nil {
		return nil, ProcessInfo{}, err
	}
	handle, info := new(hcsProcess), new(processInformation)
	_, err = operateWith(ctx, op, s.id, s.hold, &procCreateProcess, &tracked{info: info, begin: func(o hcsOperation) uint32 {
		return createProcess(s.handle, document, o, handle)
	}}, func() {
		info.public().close()
		if *handle != 0 {
			closeProcess(*handle)
		}
	})
	if err != nil {
		if inFlight(err) || *handle == 0 {
			return nil, ProcessInfo{}, err
		}
		h := holdProcess(*handle)
		info = new(processInformation)
		if gaveUp(err) || s.recover(ctx, *handle, h, info) != nil {
			h.close(limits.close)
			return nil, ProcessInfo{}, err
		}
		s.watched.alive()
		return newProcess(s.process(info.processID), info.processID, *handle, h), info.public(), nil
	}
	s.watched.alive()
	return newProcess(s.process(info.processID), info.processID, *handle, holdProcess(*handle)), info.public(), nil
}

// recover asks for what the wait for a new process should have told.
// HcsCreateProcess may complete while it is being submitted, and the wait for
// its operation then fails although the handle is a running process's: seen by
// Microsoft's shim on Server 2022 (hcsshim, internal/hcs/v2/system.go). A second
// opinion after a wait that succeeded would be wrong: a short process may have
// ended by then.
func (s *System) recover(ctx context.Context, handle hcsProcess, h *hold, info *processInformation) error {
	_, err := operateWith(ctx, "query new process in compute system", s.id, h, &procGetProcessInfo, &tracked{info: info, begin: func(o hcsOperation) uint32 {
		return getProcessInfo(handle, o)
	}}, nil)
	return err
}

// gaveUp tells whether it was wrun that ended the call.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// OpenProcess opens a process by its id, or fails with ErrNotFound.
func (s *System) OpenProcess(ctx context.Context, pid uint32) (*Process, error) {
	const op = "open"
	name := s.process(pid)
	if err := need(op, name, &procOpenProcess, &procCloseProcess); err != nil {
		return nil, err
	}
	handle := new(hcsProcess)
	r := bounded(ctx, limits, s.hold, func() {
		if *handle != 0 {
			closeProcess(*handle)
		}
	}, func() (uint32, []byte) {
		return openProcess(s.handle, pid, handle), nil
	})
	if err := r.err(op, name); err != nil {
		return nil, err
	}
	return newProcess(name, pid, *handle, holdProcess(*handle)), nil
}

// PID is the process's id: as in the host's process list for a silo, the
// guest's own under Hyper-V isolation.
func (p *Process) PID() uint32 { return p.pid }

// Signal sends what a SignalProcessOptions document says; nil for none.
// ErrNotFound and ErrProcessAlreadyStopped: it has ended.
func (p *Process) Signal(ctx context.Context, options []byte) error {
	const op = "signal"
	o16, err := utf16Of(op, p.name, options)
	if err != nil {
		return err
	}
	_, err = operate(ctx, op, p.name, p.hold, &procSignalProcess, func(o hcsOperation) uint32 {
		return signalProcess(p.handle, o, o16)
	})
	return err
}

// Terminate ends the process by force.
func (p *Process) Terminate(ctx context.Context) error {
	_, err := operate(ctx, "terminate", p.name, p.hold, &procTerminateProcess, func(o hcsOperation) uint32 {
		return terminateProcess(p.handle, o)
	})
	return err
}

// Modify carries out a ProcessModifyRequest document: the size of a console, the
// closing of a stream.
func (p *Process) Modify(ctx context.Context, settings []byte) error {
	const op = "modify"
	document, err := utf16Of(op, p.name, settings)
	if err != nil {
		return err
	}
	_, err = operate(ctx, op, p.name, p.hold, &procModifyProcess, func(o hcsOperation) uint32 {
		return modifyProcess(p.handle, o, document)
	})
	return err
}

// Properties is the ProcessStatus document.
func (p *Process) Properties(ctx context.Context) ([]byte, error) {
	return operate(ctx, "query", p.name, p.hold, &procGetProcessProperties, func(o hcsOperation) uint32 {
		return getProcessProperties(p.handle, o)
	})
}

// Watch has HCS tell of the process's exit; WaitExit needs it. One call of HCS;
// a handle is watched once, again is harmless.
func (p *Process) Watch(ctx context.Context) error {
	return p.watched.begin(ctx, "watch", p.name, p.hold, &procSetProcessCallback, func(context, callback uintptr) uint32 {
		return setProcessCallback(p.handle, context, callback)
	})
}

// WaitExit waits for the process to end, as long as ctx allows, and returns its
// exit code. Nothing says that HCS tells a callback of an exit that happened
// before it was set, so the process's properties are asked once, unless its exit
// is known by then. ErrServiceDisconnect: the service went away;
// ErrInvalidHandle: Close.
func (p *Process) WaitExit(ctx context.Context) (code uint32, err error) {
	const op = "wait for"
	w, look := p.watched.current()
	if w == nil {
		return 0, &Error{Op: op, Object: p.name, HRESULT: hrInvalidParam, Message: "it is not watched"}
	}
	if _, _, _, over := w.told(); look && !over {
		short, cancel := w.until(ctx)
		properties, err := p.Properties(short)
		cancel()
		exit, ok := parseProcessExit(properties)
		switch {
		case ctx.Err() != nil:
			p.watched.unsure()
			return 0, waitError(ctx, op, p.name)
		case err != nil && !errors.Is(err, ErrTimeout) && !w.within(limits.grace):
			return 0, err
		case err == nil && ok && exit.exited && !w.within(0):
			return p.exitCode(op, exit)
		}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return 0, waitError(ctx, op, p.name)
	}
	document, _, lost, _ := w.told()
	if lost != 0 {
		return 0, &Error{Op: op, Object: p.name, HRESULT: lost}
	}
	exit, ok := parseProcessExit(document)
	if !ok {
		return 0, &Error{Op: op, Object: p.name, HRESULT: 0x8007000D, Message: "it has ended, but the service did not say with which code: " + clip(string(document))}
	}
	return p.exitCode(op, exit)
}

func (p *Process) exitCode(op string, exit processExit) (uint32, error) {
	if exit.waitResult != 0 {
		return 0, &Error{Op: op, Object: p.name, HRESULT: exit.waitResult, Message: "it has ended, but the service could not learn with which code"}
	}
	return exit.code, nil
}

// Close closes the handle; the process goes on. As System.Close.
func (p *Process) Close() {
	p.watched.end()
	p.hold.close(limits.close)
}
