package computecore

// This file owns what HCS's events tell: which watch a callback belongs to, and
// what has been learnt so far about the end of a system or a process. It is
// pure; callback_windows.go connects it to computecore.dll.

import (
	"context"
	"sync"
	"time"
)

const hrDisconnect = 0x8037011E // HCS_E_SERVICE_DISCONNECT

// HCS_EVENT_TYPE, those that wrun acts on.
const (
	eventSystemExited         = 0x0000_0001
	eventSystemCrashInitiated = 0x0000_0002
	eventSystemCrashReport    = 0x0000_0003
	eventProcessExited        = 0x0001_0000
	eventServiceDisconnect    = 0x0200_0000
)

// registry finds the watch for the integer that HCS hands to a callback as its
// context. Integers are never used twice, so a late callback finds nothing.
type registry struct {
	mu   sync.Mutex
	last uintptr
	all  map[uintptr]*watch
}

func (r *registry) add(w *watch) uintptr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[uintptr]*watch{}
	}
	r.last++
	r.all[r.last] = w
	return r.last
}

// remove ends deliveries for key: none is under way when it returns, because
// deliver works under the lock, and none follows.
func (r *registry) remove(key uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, key)
}

// deliver is what the callback does. It never blocks: HCS calls from threads of
// its own, and one that waits would hold up the events of everybody.
func (r *registry) deliver(key uintptr, kind uint32, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.all[key]; w != nil {
		w.deliver(kind, data)
	}
}

// watch is what has been told about the end of one system or process.
type watch struct {
	mu    sync.Mutex
	over  bool
	exit  []byte // the document of the exit event
	lost  uint32 // the HRESULT why no exit event will come, 0
	crash []byte
	done  chan struct{} // closed at the end
}

func newWatch() *watch { return &watch{done: make(chan struct{})} }

func (w *watch) deliver(kind uint32, data []byte) {
	switch kind {
	case eventSystemExited, eventProcessExited:
		w.end(data, 0)
	case eventServiceDisconnect:
		w.end(nil, hrDisconnect)
	case eventSystemCrashInitiated, eventSystemCrashReport:
		w.mu.Lock()
		w.crash = data
		w.mu.Unlock()
	}
}

// end notes the first end that is told, and wakes who waits for it.
func (w *watch) end(exit []byte, lost uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over, w.exit, w.lost = true, exit, lost
	close(w.done)
}

// told is the end so far; it is final when over.
func (w *watch) told() (exit, crash []byte, lost uint32, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.exit, w.crash, w.lost, w.over
}

// within waits for the end, at most for d: an event may be on its way when a
// query already knows of it.
func (w *watch) within(d time.Duration) bool {
	select {
	case <-w.done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.done:
		return true
	case <-timer.C:
		return false
	}
}

// until is ctx, ended by the end as well.
func (w *watch) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-w.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
