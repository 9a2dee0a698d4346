package hcs

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// This file is the processes of systems: from the parameters that a client sends
// to the exit document. How a process runs is the Room's.

// process is one that HcsCreateProcess made. done and code belong to the
// service's mutex until done is closed.
type process struct {
	system *system
	pid    uint32
	room   Process
	done   chan struct{}
	code   uint32
}

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// linuxPrograms is what the guest of a Linux VM has: box under these names.
func linuxPrograms() []string {
	return []string{"sh", "sleep", "cat", "echo", "true", "false", "env"}
}

func createProcess(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	_, y, err := s.systemOf(c)
	s.mu.Unlock()
	if err == nil {
		err = s.awake(y)
	}
	if err != nil {
		return nil, err
	}
	var p processParameters
	if err := decode(c.Arg(0), &p); err != nil {
		return nil, err
	}
	if !c.v1 && strings.Contains(c.Arg(0), `"CreateInUtilityVm"`) {
		return nil, refuse("CreateInUtilityVm", "a field of v1")
	}
	s.mu.Lock()
	first := y.first != nil && p.OciProcess == nil
	switch {
	case y.state == stateStopped || y.ending:
		err = fail(systemStopped, "%s has stopped", y.id)
	case y.state != stateRunning:
		err = fail(invalidState, "%s is %s", y.id, y.state)
	case first && y.begun:
		err = fail(invalidState, "the container's own process was created already, and a further one needs OciProcess")
	case first:
		p.OciProcess, y.begun = y.first, true
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a, err := s.launch(c, y, &p)
	if err != nil && first {
		s.mu.Lock()
		y.begun = false
		s.mu.Unlock()
	}
	return a, err
}

func (s *Service) launch(c *call, y *system, parameters *processParameters) (*wire.Answer, error) {
	program, err := readProgram(parameters, y.linux)
	if err != nil {
		return nil, err
	}
	p := &process{system: y, done: make(chan struct{})}
	made := make(chan struct{}) // the exit may come before the pid is known
	p.room, err = y.room.Launch(program, func(code uint32) {
		<-made
		if code == Lost {
			code = y.endCode()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.exited(p, code)
	})
	if err != nil {
		return nil, fmt.Errorf("creating a process in %s: %w", y.id, err)
	}
	p.pid = p.room.PID()
	c.entry.Process = p.pid
	s.mu.Lock()
	y.procs[p.pid] = p
	s.newHandle(c, &handle{system: y, proc: p})
	s.mu.Unlock()
	close(made)
	return p.info(c)
}

// info answers a process's pid and its standard handles, in numbers 1 to 4.
func (p *process) info(c *call) (*wire.Answer, error) {
	a := &wire.Answer{}
	a.Numbers[1] = uint64(p.pid)
	std, err := p.room.Duplicate(c.PID)
	if err != nil {
		return nil, err
	}
	copy(a.Numbers[2:], std[:])
	return a, nil
}

// readProgram makes a program of process parameters.
func readProgram(p *processParameters, linux bool) (*Program, error) {
	if linux {
		return linuxProgram(p)
	}
	switch {
	case p.OciProcess != nil || p.OciSpecification != nil:
		return nil, fail(notSupported, "a Windows system takes no OCI process")
	case len(p.CommandArgs) > 0:
		return nil, fail(notSupported, "CommandArgs is for Linux guests only")
	case p.CommandLine == "" && p.ApplicationName == "":
		return nil, fail(invalidParam, "neither CommandLine nor ApplicationName")
	}
	line := p.CommandLine
	if line == "" {
		line = `"` + p.ApplicationName + `"`
	}
	return &Program{
		CommandLine: line, Directory: p.WorkingDirectory, Environment: p.Environment,
		Pipes:    [3]bool{p.CreateStdInPipe, p.CreateStdOutPipe, p.CreateStdErrPipe && !p.EmulateConsole},
		Combined: p.EmulateConsole,
	}, nil
}

func linuxProgram(p *processParameters) (*Program, error) {
	oci := p.OciProcess
	if oci == nil && p.OciSpecification != nil {
		var spec struct {
			Process *ociProcess `json:"process"`
		}
		if err := json.Unmarshal(p.OciSpecification, &spec); err != nil {
			return nil, refuse("OCISpecification", "%v", err)
		}
		oci = spec.Process
	}
	if oci == nil {
		return nil, fail(invalidParam, "a Linux guest needs OciProcess")
	}
	if len(oci.Args) == 0 {
		return nil, fail(invalidParam, "OciProcess.args is empty")
	}
	if !slices.Contains(linuxPrograms(), path.Base(oci.Args[0])) {
		return nil, fail(fileNotFound, "%s: no such file or directory in the guest", oci.Args[0])
	}
	if !strings.HasPrefix(oci.Cwd, "/") {
		return nil, fail(invalidParam, "OciProcess.cwd %q is not absolute", oci.Cwd)
	}
	env := map[string]string{}
	for _, e := range oci.Env {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	console := oci.Terminal || p.EmulateConsole
	return &Program{
		Args: append([]string{path.Base(oci.Args[0])}, oci.Args[1:]...), Environment: env, Linux: true,
		Pipes:    [3]bool{p.CreateStdInPipe, p.CreateStdOutPipe, p.CreateStdErrPipe && !console},
		Combined: console,
	}, nil
}

// exited is told once; s.mu is held.
func (s *Service) exited(p *process, code uint32) {
	if p.exited() {
		return
	}
	p.code = code
	close(p.done)
	for _, h := range s.handles {
		if h.proc == p {
			h.tell(p.exitEvent)
		}
	}
}

// exitEvent is the same in v1 and v2.
func (p *process) exitEvent(bool) *wire.Event {
	return &wire.Event{Type: eventProcessExited, Data: data(p.status())}
}

// processStatus is the properties document, and the data of the exit event.
type processStatus struct {
	ProcessID      uint32 `json:"ProcessId"`
	Exited         bool
	ExitCode       uint32
	LastWaitResult int32
}

func (p *process) status() processStatus {
	st := processStatus{ProcessID: p.pid, Exited: p.exited()}
	if st.Exited {
		st.ExitCode = p.code
	}
	return st
}

func openProcess(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, y, err := s.systemOf(c)
	if err != nil {
		return nil, err
	}
	c.entry.Process = uint32(c.Number)
	p := y.procs[uint32(c.Number)]
	if p == nil {
		return nil, fail(notFound, "there is no process %d in %s", c.Number, y.id)
	}
	s.newHandle(c, &handle{system: y, proc: p})
	return nil, nil
}

// onProcess runs a call on a living process whose VM is not paused, without the
// lock.
func (s *Service) onProcess(c *call, do func(p *process) (*wire.Answer, error)) (*wire.Answer, error) {
	s.mu.Lock()
	_, p, err := s.processOf(c)
	s.mu.Unlock()
	if err == nil {
		err = s.awake(p.system)
	}
	if err != nil {
		return nil, err
	}
	if p.exited() {
		return nil, fail(ProcessStopped, "process %d of %s has exited", p.pid, p.system.id)
	}
	return do(p)
}

func terminateProcess(s *Service, c *call) (*wire.Answer, error) {
	return s.onProcess(c, func(p *process) (*wire.Answer, error) {
		return nil, p.room.Terminate(p.system.endCode())
	})
}

func signalProcess(s *Service, c *call) (*wire.Answer, error) {
	return s.onProcess(c, func(p *process) (*wire.Answer, error) {
		if absent(c.Arg(0)) { // as runhcs kills
			return nil, p.room.Terminate(p.system.endCode())
		}
		name, code := "CtrlC", uint32(controlCode)
		var err error
		if p.system.linux {
			var o linuxSignalOptions
			err = decodeOptional(c.Arg(0), &o)
			if o.Signal != 2 {
				name = "CtrlShutdown" // TERM, as box knows it
			}
			code = 128 + uint32(o.Signal)
			if err == nil && o.Signal != 2 && o.Signal != 15 {
				return nil, p.room.Terminate(code)
			}
		} else {
			var o signalOptions
			err = decodeOptional(c.Arg(0), &o)
			if o.Signal != "" {
				name = string(o.Signal)
			}
		}
		if err != nil {
			return nil, err
		}
		handled, err := p.room.Signal(name)
		if err == nil && !handled {
			err = p.room.Terminate(code) // the default handler of Windows
		}
		return nil, err
	})
}

func processInfo(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	_, p, err := s.processOf(c)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.info(c)
}

func processProperties(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p, err := s.processOf(c)
	if err != nil {
		return nil, err
	}
	return value(p.status()), nil
}

func modifyProcess(s *Service, c *call) (*wire.Answer, error) {
	return s.onProcess(c, func(p *process) (*wire.Answer, error) {
		var m processModify
		if err := decode(c.Arg(0), &m); err != nil {
			return nil, err
		}
		switch {
		case m.Operation == "ConsoleSize" && m.ConsoleSize != nil:
			return nil, nil // nothing here has a console; the journal has the size
		case m.Operation == "CloseHandle" && m.CloseHandle != nil:
			for i, name := range []stdHandle{"StdIn", "StdOut", "StdErr"} {
				if m.CloseHandle.Handle == name || m.CloseHandle.Handle == "All" {
					if err := p.room.CloseStd(i); err != nil {
						return nil, err
					}
				}
			}
			return nil, nil
		}
		return nil, refuse("Operation", "%q without its settings", m.Operation)
	})
}

func waitProcess(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	_, p, err := s.processOf(c)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.await(c, p.done); err != nil {
		return nil, err
	}
	return value(p.status()), nil
}
