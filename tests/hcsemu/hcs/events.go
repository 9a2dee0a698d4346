package hcs

import (
	"encoding/json"
	"sync"

	"wrun/tests/hcsemu/wire"
)

// This file brings events to callbacks: v1's notifications, with the completions
// of its asynchronous calls, and v2's events.

// Event and notification types (windows-hcs.md §1.2, §1.3).
const (
	eventSystemExited      = 1
	eventProcessExited     = 0x10000
	eventServiceDisconnect = 0x02000000 // v2; v1 has 0x01000000

	noteCreated            = 2
	noteStarted            = 3
	notePaused             = 4
	noteResumed            = 5
	noteServiceDisconnect1 = 0x01000000
)

// listener is one registered callback: a queue that its connection drains.
type listener struct {
	v1    bool
	mu    sync.Mutex
	queue []*wire.Event
	ended bool
	wake  chan struct{} // of capacity 1
}

func (l *listener) push(e *wire.Event) {
	l.mu.Lock()
	l.queue = append(l.queue, e)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// last pushes an event without data after which the stream ends.
func (l *listener) last(kind uint32) {
	if l.v1 {
		kind = noteServiceDisconnect1
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.push(&wire.Event{Type: kind})
}

// register is HcsSetXxxCallback and HcsRegisterXxxCallback: its connection
// becomes the stream of the callback's events until it is closed.
func register(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.handles[c.Handle]
	if h == nil || h.system == nil {
		return nil, fail(invalidHandle, "%s: no such handle", c.Function)
	}
	// That a handle has one callback only is the DLL's to see: the end of the
	// last one's connection may come later than the next callback.
	l := &listener{v1: c.v1, wake: make(chan struct{}, 1)}
	h.listeners[l] = true
	h.registered = true
	for _, e := range h.waiting {
		l.push(e)
	}
	h.waiting = nil
	// Who comes after the end is told at once.
	switch {
	case h.proc != nil && h.proc.exited():
		l.push(h.proc.exitEvent(c.v1))
	case h.proc == nil && h.system.state == stateStopped:
		l.push(h.system.exitEvent(c.v1))
	}
	c.after = func() { s.stream(c.conn, h, l) }
	return nil, nil
}

func (s *Service) stream(conn *connection, h *handle, l *listener) {
	defer func() {
		s.mu.Lock()
		delete(h.listeners, l)
		s.mu.Unlock()
	}()
	closed := make(chan struct{})
	go func() { // the client writes nothing more; a read ends when it closes
		var one [1]byte
		_, _ = conn.rw.Read(one[:])
		close(closed)
	}()
	for {
		select {
		case <-closed:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		queue, ended := l.queue, l.ended
		l.queue = nil
		l.mu.Unlock()
		for _, e := range queue {
			if wire.WriteEvent(conn.rw, e) != nil {
				return
			}
		}
		if ended {
			conn.rw.Close()
			return
		}
	}
}

// unregister is v1's, which tells the service; v2 only closes the stream.
func unregister(*Service, *call) (*wire.Answer, error) { return nil, nil }

// tell sends an event to the callbacks of one handle; s.mu is held.
func (h *handle) tell(event func(v1 bool) *wire.Event) {
	for l := range h.listeners {
		l.push(event(l.v1))
	}
}

// complete tells v1's caller how an asynchronous call has ended.
func (s *Service) complete(h *handle, kind uint32, err error) {
	e := &wire.Event{Type: kind}
	if err != nil {
		a := refusal(err, true)
		e.Status, e.Data = a.HR, a.Result
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.registered {
		h.waiting = append(h.waiting, e)
		return
	}
	for l := range h.listeners {
		l.push(e)
	}
}

func data(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the service's own structs
	}
	s := string(b)
	return &s
}

func value(v any) *wire.Answer { return &wire.Answer{Value: data(v)} }
