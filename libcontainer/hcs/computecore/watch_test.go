package computecore

import (
	"context"
	"sync"
	"testing"
	"time"
)

func TestWatchKeepsTheFirstEnd(t *testing.T) {
	var r registry
	w := newWatch()
	key := r.add(w)
	r.deliver(key, eventSystemCrashReport, []byte("crash"))
	r.deliver(key, 4, []byte("rdp"))
	r.deliver(key+1, eventSystemExited, []byte("of another"))
	if _, crash, _, over := w.told(); over || string(crash) != "crash" {
		t.Fatalf("over %v, crash %q", over, crash)
	}
	r.deliver(key, eventSystemExited, []byte("exit"))
	r.deliver(key, eventServiceDisconnect, nil)
	exit, _, lost, over := w.told()
	if string(exit) != "exit" || lost != 0 || !over || !w.within(0) {
		t.Errorf("exit %q, lost 0x%08X, over %v", exit, lost, over)
	}
}

func TestWatchServiceDisconnect(t *testing.T) {
	var r registry
	w := newWatch()
	r.deliver(r.add(w), eventServiceDisconnect, nil)
	if _, _, lost, over := w.told(); !over || CodeOf(lost) != ErrServiceDisconnect {
		t.Errorf("lost 0x%08X, over %v", lost, over)
	}
}

// No event is delivered once remove has returned, whatever threads HCS calls
// from meanwhile.
func TestRegistryDrains(t *testing.T) {
	var r registry
	var callers sync.WaitGroup
	defer callers.Wait()
	for range 50 {
		w := newWatch()
		key := r.add(w)
		stop := make(chan struct{})
		for range 4 {
			callers.Add(1)
			go func() {
				defer callers.Done()
				for {
					select {
					case <-stop:
						return
					default:
						r.deliver(key, eventSystemCrashReport, []byte("x"))
					}
				}
			}()
		}
		for { // until deliveries are under way
			if _, crash, _, _ := w.told(); crash != nil {
				break
			}
		}
		r.remove(key)
		w.mu.Lock()
		w.crash = nil
		w.mu.Unlock()
		time.Sleep(time.Millisecond)
		if _, crash, _, _ := w.told(); crash != nil {
			t.Error("an event was delivered after remove returned")
		}
		close(stop)
	}
}

func TestWatchWithin(t *testing.T) {
	w := newWatch()
	if w.within(5 * time.Millisecond) {
		t.Error("it is over")
	}
	time.AfterFunc(5*time.Millisecond, func() { w.end([]byte("x"), 0) })
	if !w.within(5 * time.Second) {
		t.Error("it is not over")
	}
}

func TestWatchUntil(t *testing.T) {
	w := newWatch()
	ctx, cancel := w.until(t.Context())
	defer cancel()
	if ctx.Err() != nil {
		t.Error(ctx.Err())
	}
	w.end(nil, 0)
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("the context does not end with the watch")
	}
	if ctx.Err() != context.Canceled {
		t.Error(ctx.Err())
	}
}
