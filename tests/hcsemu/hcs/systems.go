package hcs

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"wrun/tests/hcsemu/wire"
)

// This file is the life of a compute system up to its end: enumerate, create,
// open, start, pause and resume, with v1 and v2 side by side. stop.go ends it.

type state string

const (
	stateCreated state = "Created"
	stateRunning state = "Running"
	statePaused  state = "Paused"
	stateStopped state = "Stopped"
)

type kind int

const (
	silo   kind = iota // v2 Container, or v1 without a partition
	hyperv             // v1 HvPartition: a container with a VM of its own
	vm                 // v2 VirtualMachine
	hosted             // v2 HostedSystem, in a VM
)

// system is a compute system. The fields from state on are guarded by the
// service's mutex.
type system struct {
	id, name, owner  string
	runtimeID        string
	kind             kind
	linux            bool // its processes are a Linux guest's
	terminateOnClose bool
	guestConnection  bool // a vm that hosts systems
	host             *system
	first            *ociProcess // a hosted Linux container's own process

	state    state
	busy     string        // the call that changes the state now
	cancel   chan struct{} // closed to end it
	idle     chan struct{} // closed when it has ended
	ending   bool
	done     chan struct{} // closed when stopped
	exitType string
	status   Result
	resumed  chan struct{} // closed when a paused one runs again
	begun    bool          // the first process was asked for
	started  time.Time
	room     Room
	vm       VM
	handles  map[*handle]bool
	procs    map[uint32]*process
	resources
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (y *system) systemType() string {
	if y.kind == vm {
		return "VirtualMachine"
	}
	return "Container"
}

// handlers is every function of the three DLLs that comes to the service.
func handlers() map[string]handler {
	m := map[string]handler{
		"HcsEnumerateComputeSystems": enumerate,
		"HcsCreateComputeSystem":     create,
		"HcsOpenComputeSystem":       open,
		"HcsStartComputeSystem":      start,
		"HcsShutDownComputeSystem":   shutdown,
		"HcsShutdownComputeSystem":   shutdown,
		"HcsTerminateComputeSystem":  terminate,
		"HcsPauseComputeSystem":      pause,
		"HcsResumeComputeSystem":     resume,

		"HcsGetComputeSystemProperties": properties,
		"HcsModifyComputeSystem":        modify,
		"HcsWaitForComputeSystemExit":   waitSystem,
		"HcsGetServiceProperties":       serviceProperties,
		"HcsModifyServiceSettings":      modifyService,

		"HcsCreateProcess":        createProcess,
		"HcsOpenProcess":          openProcess,
		"HcsTerminateProcess":     terminateProcess,
		"HcsSignalProcess":        signalProcess,
		"HcsGetProcessInfo":       processInfo,
		"HcsGetProcessProperties": processProperties,
		"HcsModifyProcess":        modifyProcess,
		"HcsWaitForProcessExit":   waitProcess,

		"HcsGrantVmAccess":       grantAccess,
		"GrantVmAccess":          grantAccess,
		"HcsRevokeVmAccess":      revokeAccess,
		"HcsGrantVmGroupAccess":  grantGroupAccess,
		"HcsRevokeVmGroupAccess": grantGroupAccess,
	}
	m["HcsCancelOperation"] = cancelOperation
	for _, name := range []string{"HcsCloseComputeSystem", "HcsCloseProcess", "HcnCloseNetwork", "HcnCloseEndpoint", "HcnCloseNamespace"} {
		m[name] = closeHandle
	}
	for _, name := range []string{"HcsSetComputeSystemCallback", "HcsSetProcessCallback", "HcsRegisterComputeSystemCallback", "HcsRegisterProcessCallback"} {
		m[name] = register
	}
	for _, name := range []string{"HcsUnregisterComputeSystemCallback", "HcsUnregisterProcessCallback"} {
		m[name] = unregister
	}
	addLayerHandlers(m)
	addNetworkHandlers(m)
	return m
}

// cancelOperation is what Microsoft documents of HcsCancelOperation: "not
// currently implemented and will always return an E_NOTIMPL HRESULT value". A
// fault with hr=0 has the DLL cancel.
func cancelOperation(*Service, *call) (*wire.Answer, error) {
	return nil, fail(notImpl, "HcsCancelOperation is not implemented")
}

func enumerate(s *Service, c *call) (*wire.Answer, error) {
	var q systemQuery
	if err := decodeOptional(c.Arg(0), &q); err != nil {
		return nil, err
	}
	if len(q.Ids) == 1 {
		c.entry.System = q.Ids[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []baseProperties{}
	for _, y := range s.systems {
		wanted := (len(q.Ids) == 0 || slices.ContainsFunc(q.Ids, func(id string) bool { return strings.EqualFold(id, y.id) })) &&
			(len(q.Names) == 0 || slices.Contains(q.Names, y.name)) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, systemType(y.systemType()))) &&
			(len(q.Owners) == 0 || slices.Contains(q.Owners, y.owner))
		if wanted {
			list = append(list, y.base())
		}
	}
	slices.SortFunc(list, func(a, b baseProperties) int { return strings.Compare(a.ID, b.ID) })
	return value(list), nil
}

// find looks a system up; ids are compared without case. s.mu is held.
func (s *Service) find(id string) *system { return s.systems[strings.ToLower(id)] }

// forget takes a stopped system out of Enumerate; s.mu is held.
func (s *Service) forget(y *system) {
	if s.find(y.id) == y {
		delete(s.systems, strings.ToLower(y.id))
	}
}

func create(s *Service, c *call) (*wire.Answer, error) {
	id := c.Arg(0)
	if id == "" {
		return nil, fail(invalidParam, "a compute system needs an id")
	}
	y, err := s.read(id, c.Arg(1), c.v1)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(id) != nil {
		return nil, fail(systemExists, "the compute system %s exists", id)
	}
	if y.host != nil && y.host.state != stateRunning {
		return nil, fail(invalidState, "the hosting system %s is %s", y.host.id, y.host.state)
	}
	if y.kind == silo { // its job is there before its start: who pins it to processors finds it
		if y.room, err = s.machine.NewRoom(y.id); err != nil {
			return nil, fmt.Errorf("creating %s: %w", id, err)
		}
	}
	s.systems[strings.ToLower(id)] = y
	h := s.newHandle(c, &handle{system: y})
	if c.v1 {
		c.after = func() { s.complete(h, noteCreated, nil) }
		return &wire.Answer{HR: uint32(pending)}, nil
	}
	return nil, nil
}

func open(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	y := s.find(c.Arg(0))
	if y == nil {
		return nil, fail(systemNotFound, "there is no compute system %s", c.Arg(0))
	}
	s.newHandle(c, &handle{system: y})
	return nil, nil
}

// change is a call that changes the state: allowed is asked under the lock, do
// works without it. v1 gets its answer before do ends, and then a note.
func (s *Service) change(c *call, note uint32, allowed func(y *system) error, do func(y *system) error) (*wire.Answer, error) {
	s.mu.Lock()
	h, y, err := s.systemOf(c)
	if err == nil {
		switch {
		case y.state == stateStopped || y.ending:
			err = fail(systemStopped, "%s has stopped", y.id)
		case y.busy != "":
			err = fail(invalidState, "%s: %s is on its way", y.id, y.busy)
		default:
			err = allowed(y)
		}
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	y.busy, y.cancel, y.idle = c.Function, make(chan struct{}), make(chan struct{})
	s.mu.Unlock()

	work := func() error {
		err := do(y)
		s.mu.Lock()
		y.busy = ""
		close(y.idle)
		s.mu.Unlock()
		return err
	}
	if !c.v1 {
		return nil, work()
	}
	c.after = func() { go func() { s.complete(h, note, work()) }() }
	return &wire.Answer{HR: uint32(pending)}, nil
}

func start(s *Service, c *call) (*wire.Answer, error) {
	var o startOptions
	if err := decodeOptional(c.Arg(0), &o); err != nil {
		return nil, err
	}
	return s.change(c, noteStarted, func(y *system) error {
		if y.state != stateCreated {
			return fail(invalidState, "%s is %s", y.id, y.state)
		}
		if y.host != nil && y.host.state != stateRunning {
			return fail(invalidState, "the hosting system %s is %s", y.host.id, y.host.state)
		}
		return nil
	}, s.boot)
}

// boot brings a created system to life. Where that fails it stays created, and
// nothing has been left running.
func (s *Service) boot(y *system) error {
	var machine VM
	var room Room
	var err error
	switch y.kind {
	case silo:
		room = y.room
	case hosted:
		room, err = y.host.vm.NewRoom(y.id)
	case vm, hyperv:
		machine, err = s.machine.Boot(y.id, y.cancel, func() { _ = s.stop(y, "UnexpectedExit", unexpectedExit) })
		if err == nil {
			room, err = machine.NewRoom(y.id)
		}
	}
	s.mu.Lock()
	ending := y.ending
	if err == nil && !ending {
		y.room, y.vm, y.state, y.started = room, machine, stateRunning, time.Now()
	}
	s.mu.Unlock()
	if err == nil && !ending {
		return nil
	}
	if room != nil {
		_ = room.Close()
	}
	if machine != nil {
		_ = machine.Close()
	}
	if ending {
		return fail(terminatedDuringStart, "%s was terminated during its start", y.id)
	}
	return fmt.Errorf("starting %s: %w", y.id, err)
}

func pause(s *Service, c *call) (*wire.Answer, error) {
	var o pauseOptions
	if err := decodeOptional(c.Arg(0), &o); err != nil {
		return nil, err
	}
	return s.suspend(c, notePaused, stateRunning, statePaused)
}

func resume(s *Service, c *call) (*wire.Answer, error) {
	return s.suspend(c, noteResumed, statePaused, stateRunning)
}

// suspend: DOC has pause for virtual machines only.
func (s *Service) suspend(c *call, note uint32, from, to state) (*wire.Answer, error) {
	return s.change(c, note, func(y *system) error {
		if y.kind == silo || y.kind == hosted {
			return fail(notSupported, "%s is no virtual machine, and HCS pauses nothing else", y.id)
		}
		if y.state != from {
			return fail(invalidState, "%s is %s", y.id, y.state)
		}
		return nil
	}, func(y *system) error {
		if err := y.room.Suspend(to == statePaused); err != nil {
			return err
		}
		for _, guest := range s.hostedBy(y) {
			if guest.room != nil {
				if err := guest.room.Suspend(to == statePaused); err != nil {
					return err
				}
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if y.state != from { // it has ended meanwhile
			return nil
		}
		if y.state = to; to == statePaused {
			y.resumed = make(chan struct{})
		} else {
			close(y.resumed)
		}
		return nil
	})
}

// awake waits while a system's VM is paused: what a guest has to do is done
// when it runs again, or never, when the VM ends. The real service gives up
// after a time that is not known here.
func (s *Service) awake(y *system) error {
	machine := y
	if y.host != nil {
		machine = y.host
	}
	s.mu.Lock()
	resumed := machine.resumed
	s.mu.Unlock()
	if resumed == nil {
		return nil
	}
	select {
	case <-resumed:
	case <-machine.done:
	case <-y.done:
	case <-s.quit:
		return fail(serviceNotAvailable, "the service stops")
	}
	return nil // the call looks at the state itself
}

func (s *Service) hostedBy(y *system) []*system {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*system
	for _, guest := range s.systems {
		if guest.host == y && guest.state != stateStopped {
			list = append(list, guest)
		}
	}
	return list
}
