// Package hcs is the emulated Host Compute Service's state machine: documents,
// compute systems, processes, layers, networks, journal and faults. It is the
// same on every operating system; what a computer is needed for it asks a
// Machine.
//
// It encodes our reading of HCS (shared/reference/windows-hcs.md, Microsoft's
// documentation), not HCS: ../README.md lists what is guessed.
package hcs

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"wrun/tests/hcsemu/wire"
)

// Service answers any number of connections.
type Service struct {
	machine Machine
	journal *journal
	calls   map[string]handler
	quit    chan struct{} // closed when ctl stop has its answer
	onQuit  sync.Once

	mu          sync.Mutex
	faults      []*Fault
	gone        bool // a fault made the service vanish
	connections map[*connection]bool
	systems     map[string]*system
	handles     map[uint64]*handle
	layers      map[string]*mountedLayer
	network     *network
	credentials map[string]*credentialInstance
	access      map[string]bool // "<vm> <path>" granted
}

type handler func(s *Service, c *call) (*wire.Answer, error)

// call is one request while it is answered.
type call struct {
	*wire.Request
	conn  *connection
	v1    bool
	after func() // runs when the answer is on its way
	entry *Entry // the journal's
}

// connection is one client's; it holds the handles that its requests made.
type connection struct {
	rw      io.ReadWriteCloser
	pid     uint32
	handles []*handle
}

// handle is an HCS_SYSTEM, an HCS_PROCESS, or one of HCN's.
type handle struct {
	name   uint64 // the client's
	client uint32
	system *system
	proc   *process
	object *networkObject
	// v1 delivers completions by callback, and clients register it after the
	// call whose completion it is: notes wait for the first registration.
	waiting    []*wire.Event
	registered bool
	listeners  map[*listener]bool
}

// New makes a service that writes its journal to w.
func New(m Machine, w io.Writer) *Service {
	return &Service{
		machine:     m,
		journal:     &journal{w: w},
		calls:       handlers(),
		quit:        make(chan struct{}),
		connections: map[*connection]bool{},
		systems:     map[string]*system{},
		handles:     map[uint64]*handle{},
		layers:      map[string]*mountedLayer{},
		network:     newNetwork(),
		credentials: map[string]*credentialInstance{},
		access:      map[string]bool{},
	}
}

// Done is closed when a client has asked the service to stop.
func (s *Service) Done() <-chan struct{} { return s.quit }

// Serve answers one connection until it ends, and closes it.
func (s *Service) Serve(rw io.ReadWriteCloser) {
	conn := &connection{rw: rw}
	s.mu.Lock()
	s.connections[conn] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.connections, conn)
		s.mu.Unlock()
		rw.Close()
		s.dropped(conn)
	}()
	for {
		r, err := wire.ReadRequest(rw)
		if err != nil {
			return
		}
		conn.pid = r.PID
		if !s.answer(conn, r) {
			return
		}
	}
}

// answer says whether the connection goes on.
func (s *Service) answer(conn *connection, r *wire.Request) bool {
	start := time.Now()
	c := &call{Request: r, conn: conn, v1: r.DLL == "vmcompute", entry: newEntry(r, start)}
	control := r.DLL == controlDLL
	s.about(c)
	var a *wire.Answer
	var err error
	fault := s.fault(c)
	switch {
	case control:
		a, err = s.control(c)
	case fault.gone:
		err = fail(s.noService(c), "the service is gone")
	case fault.drop && !fault.After:
		c.entry.Dropped = true
		s.journal.write(c.entry, start)
		return false
	case fault.HR != nil && !fault.After:
		err = faulty(*fault.HR, "a fault was asked for")
	default:
		a, err = s.call(c)
	}
	numbers := [5]uint64{}
	if fault.After && fault.HR != nil {
		if err == nil {
			numbers = s.made(c, a)
		}
		a, err = nil, faulty(*fault.HR, "a fault was asked for, after the call was done")
	}
	if err != nil {
		a = refusal(err, c.v1)
		a.Numbers = numbers
	}
	if a == nil {
		a = &wire.Answer{}
	}
	c.entry.answered(a)
	if !control {
		c.entry.Dropped = fault.drop
		s.journal.write(c.entry, start)
	}
	if fault.drop || wire.WriteAnswer(conn.rw, a) != nil {
		return false
	}
	if c.after != nil {
		c.after()
	}
	return !fault.gone
}

// faulty is what a fault answers: hr=0 is a success.
func faulty(hr Result, text string) error {
	if hr == ok {
		return nil
	}
	return fail(hr, "%s", text)
}

// made are the numbers of a failed answer to a call that was done: 1 where the
// client has a handle all the same, which v2 lets it ask for what it was not
// told, and the pipes that were given to it, which it has to close.
func (s *Service) made(c *call, a *wire.Answer) [5]uint64 {
	var numbers [5]uint64
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.handles[c.Fresh]; c.Fresh != 0 && h != nil && !c.v1 {
		numbers[0] = 1
		if a != nil {
			copy(numbers[2:], a.Numbers[2:])
		}
	}
	return numbers
}

// about notes in the journal's entry what the call's handle is of.
func (s *Service) about(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.handles[c.Handle]
	if h != nil && h.system != nil {
		c.entry.System = h.system.id
	}
	if h != nil && h.proc != nil {
		c.entry.Process = h.proc.pid
	}
}

func (s *Service) call(c *call) (*wire.Answer, error) {
	h := s.calls[c.Function]
	if h == nil {
		return nil, fail(notImpl, "%s is not emulated", c.Function)
	}
	return h(s, c)
}

// noService is what the DLLs say when nobody listens.
func (s *Service) noService(c *call) Result {
	if c.v1 {
		return FromWin32(1062) // ERROR_SERVICE_NOT_ACTIVE
	}
	return serviceNotAvailable
}

// newHandle gives the call's connection a handle; s.mu is held.
func (s *Service) newHandle(c *call, h *handle) *handle {
	h.name, h.client, h.listeners = c.Fresh, c.PID, map[*listener]bool{}
	s.handles[h.name] = h
	c.conn.handles = append(c.conn.handles, h)
	if h.system != nil && h.proc == nil {
		h.system.handles[h] = true
	}
	return h
}

// systemOf answers the system that the call's handle is of; s.mu is held.
func (s *Service) systemOf(c *call) (*handle, *system, error) {
	h := s.handles[c.Handle]
	if h == nil || h.system == nil || h.proc != nil {
		return nil, nil, fail(invalidHandle, "%s: not a handle of a compute system", c.Function)
	}
	return h, h.system, nil
}

// processOf answers the process that the call's handle is of; s.mu is held.
func (s *Service) processOf(c *call) (*handle, *process, error) {
	h := s.handles[c.Handle]
	if h == nil || h.proc == nil {
		return nil, nil, fail(invalidHandle, "%s: not a handle of a process", c.Function)
	}
	return h, h.proc, nil
}

// closeHandle is HcsCloseComputeSystem, HcsCloseProcess and HcnCloseXxx.
func closeHandle(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	h := s.handles[c.Handle]
	if h == nil {
		s.mu.Unlock()
		return nil, fail(invalidHandle, "%s: no such handle", c.Function)
	}
	s.mu.Unlock()
	s.drop(h)
	return nil, nil
}

// dropped takes the handles of a connection that has ended: its client did not
// close them.
func (s *Service) dropped(conn *connection) {
	for _, h := range conn.handles {
		s.mu.Lock()
		open := s.handles[h.name] == h
		s.mu.Unlock()
		if !open {
			continue
		}
		e := &Entry{PID: conn.pid, Op: "dropped", Dropped: true}
		if h.system != nil {
			e.System = h.system.id
		}
		if h.proc != nil {
			e.Process = h.proc.pid
		}
		s.journal.write(e, time.Now())
		s.drop(h)
	}
}

// drop ends a handle. A system that asked for it ends with its last handle,
// and a stopped one is then forgotten.
func (s *Service) drop(h *handle) {
	s.mu.Lock()
	delete(s.handles, h.name)
	sys := h.system
	if h.proc != nil {
		last := true
		for _, other := range s.handles {
			last = last && other.proc != h.proc
		}
		s.mu.Unlock()
		for i := 0; last && i < 3; i++ { // nobody can ask for its pipes any more: the process sees them broken
			_ = h.proc.room.CloseStd(i)
		}
		return
	}
	if sys == nil {
		s.mu.Unlock()
		return
	}
	delete(sys.handles, h)
	last := len(sys.handles) == 0
	if last && sys.state == stateStopped {
		s.forget(sys)
	}
	end := last && sys.terminateOnClose && sys.state != stateStopped
	s.mu.Unlock()
	if end {
		s.stop(sys, "ForcedExit", ok)
	}
}

// machines is a Machine that knows its VMs; it waits for those that are ending.
type machines interface{ Machines() []string }

// Close ends everything that runs, and returns when nothing is left.
func (s *Service) Close() error { return s.close(nil) }

// close leaves the connection of who asked for it.
func (s *Service) close(but *connection) error {
	s.mu.Lock()
	var all []*system
	for _, sys := range s.systems {
		all = append(all, sys)
	}
	s.mu.Unlock()
	var errs []error
	for _, sys := range all {
		errs = append(errs, s.stop(sys, "ForcedExit", ok))
	}
	if m, has := s.machine.(machines); has {
		if left := m.Machines(); len(left) > 0 {
			errs = append(errs, fmt.Errorf("machines are left: %v", left))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.connections {
		if conn != but {
			conn.rw.Close()
		}
	}
	return errors.Join(errs...)
}
