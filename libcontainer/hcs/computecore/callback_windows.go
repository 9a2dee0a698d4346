package computecore

// This file connects computecore.dll's events to watch.go: the one callback of
// this process, and what a system and a process have in common in being
// watched.

import (
	"context"
	"sync"
	"syscall"
)

/*
hcsEvent is

	typedef struct HCS_EVENT {
		HCS_EVENT_TYPE Type;
		PCWSTR EventData;
		HCS_OPERATION Operation;
	} HCS_EVENT;

24 bytes on amd64 and arm64.
*/
type hcsEvent struct {
	kind      uint32
	data      *uint16
	operation hcsOperation
}

// watches is the registry behind the one callback of this process.
var watches registry

var (
	callbackOnce sync.Once
	callbackAddr uintptr
)

// callback is the HCS_EVENT_CALLBACK of every watch. The Go runtime never frees
// a callback and has room for 2000, so there is one, and the context tells the
// watches apart.
func callback() uintptr {
	callbackOnce.Do(func() { callbackAddr = syscall.NewCallback(onEvent) })
	return callbackAddr
}

/*
void CALLBACK HCS_EVENT_CALLBACK(

	_In_ HCS_EVENT* event,
	_In_opt_ void* context);
*/
func onEvent(event *hcsEvent, context uintptr) uintptr {
	if event != nil {
		watches.deliver(context, event.kind, stringAt(event.data))
	}
	return 0
}

// watched is the part of a System or a Process that learns of its end.
type watched struct {
	mu      sync.Mutex
	watch   *watch
	key     uintptr
	certain bool // the exit cannot have happened before the callback was set
}

// begin sets the callback, once; set is HcsSet…Callback.
func (s *watched) begin(ctx context.Context, op, object string, in *hold, p *proc, set func(context, callback uintptr) uint32) error {
	if err := need(op, object, p); err != nil {
		return err
	}
	s.mu.Lock()
	if s.watch != nil {
		s.mu.Unlock()
		return nil
	}
	w := newWatch()
	key := watches.add(w)
	s.watch, s.key = w, key
	s.mu.Unlock()

	r := bounded(ctx, limits, in, nil, func() (uint32, []byte) { return set(key, callback()), nil })
	err := r.err(op, object)
	if err != nil {
		watches.remove(key)
		w.end(nil, r.hresult)
		s.mu.Lock()
		s.watch = nil
		s.mu.Unlock()
	}
	return err
}

// current is the watch, nil before begin, and whether the caller has to look
// once whether the exit had happened before; it is told so once.
func (s *watched) current() (w *watch, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look = s.watch != nil && !s.certain
	s.certain = true
	return s.watch, look
}

// unsure has the next wait look again.
func (s *watched) unsure() {
	s.mu.Lock()
	s.certain = false
	s.mu.Unlock()
}

// alive says that something has just been done that only a running system or
// process can do: with a callback set, its exit will be an event.
func (s *watched) alive() {
	s.mu.Lock()
	s.certain = s.watch != nil
	s.mu.Unlock()
}

// end has no event delivered any more, and wakes who waits.
func (s *watched) end() {
	s.mu.Lock()
	w, key := s.watch, s.key
	s.mu.Unlock()
	if w == nil {
		return
	}
	watches.remove(key)
	w.end(nil, hrClosed)
}
