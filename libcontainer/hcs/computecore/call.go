package computecore

// This file owns time: how long a call of HCS may take, what happens when it
// takes longer, and when a handle may be closed. It knows HCS's functions only
// as the interface operation, so that it is tested on any operating system.
//
// Two facts decide its shape. Any function of computecore.dll may hang in the
// RPC to its service, submissions included, so each call runs in a goroutine of
// its own, the only one it costs. And a handle that is closed under a call in
// flight crashes computecore.dll (Microsoft's shim met it: hcsshim,
// internal/computecore/computecore.go), so whoever gives up on a call leaves
// the handles to the goroutine that is still in it.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// bounds are the waits that no caller's context limits.
type bounds struct {
	call  time.Duration // a call whose context has no deadline
	grace time.Duration // a cancelled operation, until it is complete
	close time.Duration // Close: calls in flight, and the closing itself

	refusal time.Duration // a call that is not waited for, until it may be taken as accepted
}

var limits = bounds{call: 2 * time.Minute, grace: 2 * time.Second, close: 10 * time.Second, refusal: 500 * time.Millisecond}

const (
	hrTimeout   = 0x80370118 // HCS_E_OPERATION_TIMEOUT
	hrCancelled = 0x800704C7 // HRESULT_FROM_WIN32(ERROR_CANCELLED)
	hrClosed    = 0x80070006 // HRESULT_FROM_WIN32(ERROR_INVALID_HANDLE)
)

func failed(hresult uint32) bool { return hresult>>31 == 1 }

// submitted tells whether HCS took a call on: HcsCreateOperation's
// documentation has functions return HCS_E_OPERATION_PENDING for it, too.
func submitted(hresult uint32) bool {
	return !failed(hresult) || CodeOf(hresult).class() == ErrPending
}

// operation is one HCS_OPERATION and the function that it tracks.
type operation interface {
	open() uint32                          // HcsCreateOperation
	submit() uint32                        // the function itself
	wait(d time.Duration) (uint32, []byte) // hrTimeout: not complete yet
	result() []byte                        // the document of a submission that was refused
	cancel()                               // HcsCancelOperation
	close()                                // HcsCloseOperation
}

// reply is what a call came to.
type reply struct {
	hresult  uint32
	document []byte
	// gaveUp is the context's error when it was not HCS that ended the call;
	// after is how long that took.
	gaveUp error
	after  time.Duration
	// inFlight: HCS has the call still.
	inFlight bool
}

// err is the reply as an error, nil after success.
func (r reply) err(op, object string) error {
	if r.gaveUp == nil && !failed(r.hresult) {
		return nil
	}
	e := &Error{Op: op, Object: object, HRESULT: r.hresult, InFlight: r.inFlight}
	named, message, events := parseResult(r.document)
	e.Message, e.Events = message, events
	if r.gaveUp == nil {
		// The document names the failure itself where the call only says that
		// there was one.
		if failed(named) && (e.Code() == 0x4005 || e.Code() == 0xFFFF) {
			e.HRESULT = named
		}
		return e
	}
	e.cause = r.gaveUp
	said := ""
	if failed(r.hresult) && r.hresult != hrTimeout {
		said = "; it then ended with " + CodeOf(r.hresult).Error()
	}
	if errors.Is(r.gaveUp, context.Canceled) {
		e.HRESULT, e.Message = hrCancelled, "cancelled by the caller"+said
	} else {
		e.HRESULT, e.Message = hrTimeout, fmt.Sprintf("no answer within %v%s", r.after.Round(time.Millisecond), said)
	}
	return e
}

// flight is a call under way, shared by its goroutine and by the caller that
// may give up on it.
type flight struct {
	done chan reply

	mu        sync.Mutex // never held in a call of HCS
	finished  bool
	abandoned bool

	cancelling sync.Mutex // held in HcsCancelOperation, which may hang; not for the caller
	pending    bool       // submitted and not complete: cancelling makes sense
	asked      bool       // the caller wants it cancelled
	sent       bool       // it was
}

// finish hands r over, or tells the goroutine that nobody waits any more.
func (f *flight) finish(r reply) (taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.abandoned {
		return false
	}
	f.finished = true
	f.done <- r
	return true
}

// abandon gives up on the flight, unless it has just finished.
func (f *flight) abandon() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = !f.finished
	return f.abandoned
}

// cancel cancels op, once and only while HCS has it: before that there is
// nothing to cancel, after it op is closed. The lock is kept during the
// cancelling for the same reason.
func (f *flight) cancel(op operation) {
	f.cancelling.Lock()
	defer f.cancelling.Unlock()
	f.asked = true
	if f.pending && !f.sent {
		f.sent = true
		op.cancel()
	}
}

// set notes whether HCS has the call, and tells whether the caller has asked
// for it to be cancelled.
func (f *flight) set(pending bool) (asked bool) {
	f.cancelling.Lock()
	defer f.cancelling.Unlock()
	f.pending = pending
	return f.asked
}

// run carries out op and waits for it: until ctx ends, at most b.call when ctx
// has no deadline, and then for the grace in which a cancelled operation may
// complete. in is the handle that op uses, nil for none; late runs when op
// completes after the caller has gone, to close what it created.
//
// HcsCancelOperation is documented as not implemented (E_NOTIMPL), so a call
// that hangs normally outlives its grace: operation and handle then stay open.
func run(ctx context.Context, b bounds, in *hold, op operation, late func()) reply {
	return launch(ctx, b, in, late, func(f *flight, deadline time.Time) reply {
		return f.track(b, op, deadline)
	}, func(f *flight) { f.cancel(op) })
}

// bounded carries out call, a function of HCS that no operation tracks, within
// ctx and b.call. There is no cancelling it: its goroutine stays behind in it.
func bounded(ctx context.Context, b bounds, in *hold, late func(), call func() (uint32, []byte)) reply {
	b.grace = 0
	return launch(ctx, b, in, late, func(*flight, time.Time) reply {
		hr, document := call()
		return reply{hresult: hr, document: document}
	}, nil)
}

func launch(ctx context.Context, b bounds, in *hold, late func(), call func(*flight, time.Time) reply, cancel func(*flight)) reply {
	if err := ctx.Err(); err != nil {
		return reply{hresult: hrCancelled, gaveUp: err}
	}
	if !in.enter() {
		return reply{hresult: hrClosed}
	}
	begin := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = begin.Add(b.call)
	}
	f := &flight{done: make(chan reply, 1)}
	go func() {
		r := call(f, deadline)
		if !f.finish(r) && !r.inFlight && late != nil {
			late()
		}
		// In flight for good: in is never left, and so never closed.
		if !r.inFlight {
			in.leave()
		}
	}()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	gaveUp := context.DeadlineExceeded
	select {
	case r := <-f.done:
		return r.at(begin)
	case <-ctx.Done():
		gaveUp = ctx.Err()
	case <-timer.C:
	}
	if cancel != nil {
		go cancel(f) // which may hang, as the call does
	}
	timer.Reset(2 * b.grace)
	select {
	case r := <-f.done:
		return r.overdue(gaveUp).at(begin)
	case <-timer.C:
	}
	if !f.abandon() {
		r := <-f.done
		return r.overdue(gaveUp).at(begin)
	}
	return reply{hresult: hrTimeout, gaveUp: gaveUp, inFlight: true}.at(begin)
}

// track submits op and waits for it; it may hang.
func (f *flight) track(b bounds, op operation, deadline time.Time) reply {
	if hr := op.open(); failed(hr) {
		return reply{hresult: hr}
	}
	if hr := op.submit(); !submitted(hr) {
		r := reply{hresult: hr, document: op.result()}
		op.close()
		return r
	}
	var r reply
	incomplete := f.set(true)
	if !incomplete {
		r.hresult, r.document = op.wait(time.Until(deadline))
		// Before the deadline the number is the operation's own result.
		incomplete = r.hresult == hrTimeout && time.Until(deadline) < 100*time.Millisecond
	}
	if incomplete {
		r.gaveUp = context.DeadlineExceeded
		f.cancel(op)
		if r.hresult, r.document = op.wait(b.grace); r.hresult == hrTimeout {
			r.inFlight = true
			return r
		}
		if !failed(r.hresult) {
			r.gaveUp = nil
		}
	}
	f.set(false)
	op.close()
	return r
}

// at notes how long the call took, for its error.
func (r reply) at(begin time.Time) reply {
	r.after = time.Since(begin)
	return r
}

// overdue is a reply that came after the caller's time was over. What HCS did
// all the same is what counts.
func (r reply) overdue(gaveUp error) reply {
	if r.gaveUp = nil; failed(r.hresult) {
		r.gaveUp = gaveUp
	}
	return r
}

// hold is a handle of HCS with the calls that are using it. It is closed when
// it is to be and the last of them has left, by whoever is last.
type hold struct {
	mu      sync.Mutex
	users   int
	closing bool
	release func() // HcsClose…, which may hang
	closed  chan struct{}
}

func newHold(release func()) *hold {
	return &hold{release: release, closed: make(chan struct{})}
}

// enter announces a call; false after close. A nil hold is always open.
func (h *hold) enter() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.users++
	return true
}

func (h *hold) leave() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.users--
	last := h.closing && h.users == 0
	h.mu.Unlock()
	if last {
		h.release()
		close(h.closed)
	}
}

// close lets no more calls in and waits, at most for limit, until those inside
// have left and the handle is closed; false when it is not yet. Doing it again
// is harmless.
func (h *hold) close(limit time.Duration) bool {
	h.mu.Lock()
	first := !h.closing
	h.closing = true
	idle := h.users == 0
	h.mu.Unlock()
	if first && idle {
		go func() {
			h.release()
			close(h.closed)
		}()
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-h.closed:
		return true
	case <-timer.C:
		return false
	}
}
