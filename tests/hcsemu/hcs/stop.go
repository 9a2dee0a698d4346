package hcs

import (
	"errors"
	"time"

	"wrun/tests/hcsemu/wire"
)

// This file ends systems, whoever asks for it: a call, the last handle, the
// death of a VM. Everything that ends comes through stop.

// How long a shutdown waits for processes that handle its signal, and a stop
// for the ends of processes that were ended.
const (
	shutdownGrace = 2 * time.Second
	endsGrace     = 5 * time.Second
)

// Exit codes of processes that were ended. What the real service gives is not
// known here.
const (
	terminatedCode = 1067       // ERROR_PROCESS_ABORTED
	controlCode    = 0xC000013A // STATUS_CONTROL_C_EXIT
)

func terminate(s *Service, c *call) (*wire.Answer, error) {
	return s.end(c, func(y *system) error { return nil }, func(y *system) error {
		return s.stop(y, "ForcedExit", ok)
	})
}

func shutdown(s *Service, c *call) (*wire.Answer, error) {
	var o shutdownOptions
	if err := decodeOptional(c.Arg(0), &o); err != nil {
		return nil, err
	}
	return s.end(c, func(y *system) error {
		if y.state != stateRunning {
			return fail(invalidState, "%s is %s", y.id, y.state)
		}
		return nil
	}, func(y *system) error {
		s.askToEnd(y)
		return s.stop(y, "GracefulExit", ok)
	})
}

// end is a call that ends a system. v1 only sees the exit event.
func (s *Service) end(c *call, allowed func(y *system) error, do func(y *system) error) (*wire.Answer, error) {
	s.mu.Lock()
	_, y, err := s.systemOf(c)
	if err == nil && y.ending {
		err = fail(systemStopped, "%s has stopped", y.id)
	}
	if err == nil {
		err = allowed(y)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.v1 {
		c.after = func() { go func() { _ = do(y) }() }
		return &wire.Answer{HR: uint32(pending)}, nil
	}
	return nil, do(y)
}

// askToEnd sends CtrlShutdown to the processes that have asked for it, and
// waits for them, as Windows does before it shuts down.
func (s *Service) askToEnd(y *system) {
	for _, guest := range s.hostedBy(y) {
		s.askToEnd(guest)
	}
	deadline := time.NewTimer(shutdownGrace)
	defer deadline.Stop()
	for _, p := range s.living(y) {
		if handled, err := p.room.Signal("CtrlShutdown"); err != nil || !handled {
			continue
		}
		select {
		case <-p.done:
		case <-deadline.C:
			return
		}
	}
}

func (s *Service) living(y *system) []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*process
	for _, p := range y.procs {
		if !p.exited() {
			list = append(list, p)
		}
	}
	return list
}

// stop ends a system, the systems that it hosts first, and returns when it is
// stopped. Who comes second waits for the first.
func (s *Service) stop(y *system, exitType string, status Result) error {
	s.mu.Lock()
	if y.ending {
		s.mu.Unlock()
		<-y.done
		return nil
	}
	y.ending, y.exitType, y.status = true, exitType, status
	idle := y.idle
	if y.busy != "" {
		close(y.cancel)
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle // a boot that is on its way takes back what it made
	}
	s.mu.Lock()
	room, machine := y.room, y.vm
	s.mu.Unlock()

	var errs []error
	for _, guest := range s.hostedBy(y) {
		errs = append(errs, s.stop(guest, "UnexpectedExit", unexpectedExit))
	}
	if room != nil {
		errs = append(errs, room.Terminate(y.endCode()))
	}
	deadline := time.Now().Add(endsGrace)
	for _, p := range s.living(y) {
		select {
		case <-p.done:
		case <-time.After(time.Until(deadline)):
		}
	}
	if room != nil {
		errs = append(errs, room.Close())
	}
	if machine != nil {
		errs = append(errs, machine.Close())
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range y.procs { // who was not told of in time
		s.exited(p, y.endCode())
	}
	y.state = stateStopped
	for h := range y.handles {
		h.tell(y.exitEvent)
	}
	close(y.done)
	if len(y.handles) == 0 {
		s.forget(y)
	}
	return errors.Join(errs...)
}

func (y *system) endCode() uint32 {
	if y.linux {
		return 128 + 9
	}
	return terminatedCode
}

// exitEvent: v1 has the status beside the data, v2 in it.
func (y *system) exitEvent(v1 bool) *wire.Event {
	e := &wire.Event{Type: eventSystemExited, Data: y.exitDocument()}
	if v1 {
		e.Status = uint32(y.status.v1())
	}
	return e
}

func (y *system) exitDocument() *string {
	return data(struct {
		Status   int32
		ExitType string
	}{int32(y.status), y.exitType})
}

// waitSystem is HcsWaitForComputeSystemExit: the number is milliseconds, all
// ones for ever.
func waitSystem(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	_, y, err := s.systemOf(c)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.await(c, y.done); err != nil {
		return nil, err
	}
	return &wire.Answer{Value: y.exitDocument()}, nil
}

func (s *Service) await(c *call, done <-chan struct{}) error {
	var late <-chan time.Time
	if c.Number < 0xffffffff {
		t := time.NewTimer(time.Duration(c.Number) * time.Millisecond)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-done:
		return nil
	case <-late:
		return fail(operationTimeout, "%s: not within %d ms", c.Function, c.Number)
	case <-s.quit:
		return fail(serviceNotAvailable, "the service stops")
	}
}
