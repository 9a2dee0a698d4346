package computecore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeOperation is an HCS_OPERATION whose submission and completion the test
// decides. It fails the test when it is used after it was closed, or closed
// while something is using it.
type fakeOperation struct {
	t          *testing.T
	openResult uint32
	submitted  uint32
	document   string
	hangSubmit chan struct{} // submit returns when it is closed
	complete   chan uint32   // the operation's result
	onCancel   func(*fakeOperation)

	users   atomic.Int32
	closed  atomic.Bool
	cancels atomic.Int32
}

func (o *fakeOperation) use() func() {
	o.users.Add(1)
	if o.closed.Load() {
		o.t.Error("the operation is used after it was closed")
	}
	return func() { o.users.Add(-1) }
}

func (o *fakeOperation) open() uint32 { return o.openResult }

func (o *fakeOperation) submit() uint32 {
	defer o.use()()
	if o.hangSubmit != nil {
		<-o.hangSubmit
	}
	return o.submitted
}

func (o *fakeOperation) wait(d time.Duration) (uint32, []byte) {
	defer o.use()()
	select {
	case hr := <-o.complete:
		return hr, []byte(o.document)
	case <-time.After(d):
		return hrTimeout, nil
	}
}

func (o *fakeOperation) result() []byte { defer o.use()(); return []byte(o.document) }

func (o *fakeOperation) cancel() {
	defer o.use()()
	o.cancels.Add(1)
	if o.onCancel != nil {
		o.onCancel(o)
	}
}

func (o *fakeOperation) close() {
	if o.users.Load() != 0 {
		o.t.Error("the operation is closed while it is in use")
	}
	if o.closed.Swap(true) {
		o.t.Error("the operation is closed twice")
	}
}

// handle is a hold that knows whether it was closed.
func handle() (*hold, *atomic.Bool) {
	var closed atomic.Bool
	return newHold(func() { closed.Store(true) }), &closed
}

var quick = bounds{call: 300 * time.Millisecond, grace: 100 * time.Millisecond, close: 100 * time.Millisecond}

func completed(hr uint32) chan uint32 {
	c := make(chan uint32, 1)
	c <- hr
	return c
}

func TestRunCompletes(t *testing.T) {
	for _, test := range []struct {
		name       string
		op         *fakeOperation
		want       string // of the error, "" for success
		notSubmits bool
	}{
		{"success", &fakeOperation{complete: completed(0), document: `{"State":"Created"}`}, "", false},
		{"accepted as pending", &fakeOperation{submitted: 0x80370117, complete: completed(0)}, "", false},
		{"accepted as pending, old family", &fakeOperation{submitted: 0xC0370103, complete: completed(0)}, "", false},
		{"refused", &fakeOperation{submitted: 0x80370105, document: `{"ErrorMessage":"not now"}`},
			"start c1: HCS_E_INVALID_STATE (0x80370105): not now", false},
		{"failed", &fakeOperation{complete: completed(0xC0370101)},
			"start c1: HCS_E_IMAGE_MISMATCH (0xC0370101): the container's operating system does not match the host's", false},
		{"E_FAIL with the number in the document", &fakeOperation{complete: completed(0x80004005), document: `{"Error":-1070137075,"ErrorMessage":"bad"}`},
			"start c1: HCS_E_INVALID_JSON (0xC037010D): bad", false},
		{"the operation's own timeout, before ours", &fakeOperation{complete: completed(hrTimeout)},
			"start c1: HCS_E_OPERATION_TIMEOUT (0x80370118): the operation did not complete in time", false},
		{"no operation", &fakeOperation{openResult: 0x8007000E},
			"start c1: E_OUTOFMEMORY (0x8007000E): the host has no memory left for this", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			op := test.op
			op.t = t
			h, closed := handle()
			r := run(t.Context(), quick, h, op, func() { t.Error("late, with a caller that waits") })
			got := ""
			if err := r.err("start", "c1"); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("error %q, want %q", got, test.want)
			}
			if op.closed.Load() == test.notSubmits {
				t.Errorf("operation closed: %v", op.closed.Load())
			}
			if n := op.cancels.Load(); n != 0 {
				t.Errorf("cancelled %d times", n)
			}
			if !h.close(time.Second) || !closed.Load() {
				t.Error("the handle is not closed")
			}
		})
	}
}

// An operation that ends because it was cancelled is closed, and so is its
// handle; the error says who gave up.
func TestRunCancelled(t *testing.T) {
	answers := func(o *fakeOperation) { o.complete <- 0x80004004 }
	for _, test := range []struct {
		name   string
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		is     error
		code   Code
		within time.Duration
	}{
		{"deadline", func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(c, 30*time.Millisecond)
		}, context.DeadlineExceeded, ErrTimeout, 250 * time.Millisecond},
		{"default deadline", func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithCancel(c)
		}, context.DeadlineExceeded, ErrTimeout, 550 * time.Millisecond},
		{"cancelled", func(c context.Context) (context.Context, context.CancelFunc) {
			c, cancel := context.WithCancel(c)
			time.AfterFunc(20*time.Millisecond, cancel)
			return c, cancel
		}, context.Canceled, 0x000704C7, 250 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			op := &fakeOperation{t: t, complete: make(chan uint32, 1), onCancel: answers}
			h, closed := handle()
			ctx, cancel := test.ctx(t.Context())
			defer cancel()
			begin := time.Now()
			err := run(ctx, quick, h, op, nil).err("start", "c1")
			if took := time.Since(begin); took > test.within {
				t.Errorf("it took %v", took)
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, test.is) || !errors.Is(err, test.code) || e.InFlight {
				t.Errorf("error %v", err)
			}
			if !strings.Contains(err.Error(), "it then ended with") {
				t.Errorf("%v does not say how the operation ended", err)
			}
			if n := op.cancels.Load(); n != 1 {
				t.Errorf("cancelled %d times", n)
			}
			if !op.closed.Load() {
				t.Error("the operation is not closed")
			}
			if !h.close(time.Second) || !closed.Load() {
				t.Error("the handle is not closed")
			}
		})
	}
}

// What HCS did counts, also when it was after the deadline.
func TestRunSucceedsWhileCancelled(t *testing.T) {
	op := &fakeOperation{t: t, complete: make(chan uint32, 1), onCancel: func(o *fakeOperation) { o.complete <- 0 }}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := run(ctx, quick, nil, op, nil).err("start", "c1"); err != nil {
		t.Error(err)
	}
}

// The documented HcsCancelOperation does nothing: the caller is free after the
// grace, and neither the operation nor its handle is ever closed.
func TestRunLeaksWhatNeverCompletes(t *testing.T) {
	op := &fakeOperation{t: t, complete: make(chan uint32)}
	h, closed := handle()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := run(ctx, quick, h, op, func() { t.Error("late, though nothing completed") }).err("start", "c1")
	if took := time.Since(begin); took > 400*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	var e *Error
	if !errors.As(err, &e) || !e.InFlight || !errors.Is(err, ErrTimeout) {
		t.Fatalf("error %v", err)
	}
	if !strings.HasSuffix(err.Error(), "; the call is still in flight, its handles stay open") {
		t.Errorf("error %v", err)
	}
	if h.close(quick.close) || closed.Load() || op.closed.Load() {
		t.Error("something was closed under a call in flight")
	}
	if r := run(t.Context(), quick, h, &fakeOperation{t: t}, nil); r.hresult != hrClosed {
		t.Errorf("a call after close: 0x%08X", r.hresult)
	}
}

// A submission that hangs keeps its goroutine; when it comes back the operation
// is cancelled or taken, what it made is closed, and then the handle.
func TestRunSubmissionHangs(t *testing.T) {
	op := &fakeOperation{t: t, hangSubmit: make(chan struct{}), complete: completed(0)}
	h, closed := handle()
	late := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	begin := time.Now()
	err := run(ctx, quick, h, op, func() { close(late) }).err("create", "c1")
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if !errors.Is(err, context.Canceled) || !inFlightOf(err) {
		t.Errorf("error %v", err)
	}
	if h.close(quick.close) || closed.Load() {
		t.Error("the handle was closed under the submission")
	}
	close(op.hangSubmit)
	select {
	case <-late:
	case <-time.After(5 * time.Second):
		t.Fatal("what was created late is not closed")
	}
	select {
	case <-h.closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the handle is not closed by the last call")
	}
	if !op.closed.Load() || !closed.Load() {
		t.Error("the operation stays open")
	}
}

func inFlightOf(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.InFlight
}

// A cancelling that hangs does not hold up the caller, nor is the operation
// closed under it.
func TestRunCancellingHangs(t *testing.T) {
	release := make(chan struct{})
	op := &fakeOperation{t: t, complete: make(chan uint32, 1)}
	op.onCancel = func(o *fakeOperation) { o.complete <- 0x80004004; <-release }
	h, _ := handle()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := run(ctx, quick, h, op, nil).err("start", "c1")
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if !inFlightOf(err) || op.closed.Load() {
		t.Errorf("error %v, operation closed %v", err, op.closed.Load())
	}
	close(release)
	if !h.close(5*time.Second) || !op.closed.Load() {
		t.Error("nothing is closed after the cancelling came back")
	}
}

func TestRunWithEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := &fakeOperation{t: t, submitted: 0x80004005}
	err := run(ctx, quick, nil, op, nil).err("start", "c1")
	if !errors.Is(err, context.Canceled) || op.closed.Load() {
		t.Errorf("error %v, operation used %v", err, op.closed.Load())
	}
}

func TestBounded(t *testing.T) {
	t.Run("answers", func(t *testing.T) {
		r := bounded(t.Context(), quick, nil, nil, func() (uint32, []byte) { return 0, []byte("x") })
		if err := r.err("query", ""); err != nil || string(r.document) != "x" {
			t.Errorf("%q, %v", r.document, err)
		}
	})
	t.Run("a timeout of HCS's own is an answer", func(t *testing.T) {
		r := bounded(t.Context(), quick, nil, nil, func() (uint32, []byte) { return hrTimeout, nil })
		if err := r.err("query", ""); !errors.Is(err, ErrTimeout) || inFlightOf(err) {
			t.Error(err)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		h, closed := handle()
		release, late := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := bounded(ctx, quick, h, func() { close(late) }, func() (uint32, []byte) { <-release; return 0, nil }).err("open", "c1")
		if !errors.Is(err, ErrTimeout) || !inFlightOf(err) {
			t.Error(err)
		}
		if h.close(20*time.Millisecond) || closed.Load() {
			t.Error("closed under the call")
		}
		close(release)
		<-late
		if !h.close(5 * time.Second) {
			t.Error("not closed after the call")
		}
	})
}

// Under many callers that give up at random moments nothing is used after it
// was closed, and everything is closed that may be.
func TestRunRaces(t *testing.T) {
	h, closed := handle()
	b := bounds{call: 50 * time.Millisecond, grace: 20 * time.Millisecond}
	var all sync.WaitGroup
	for i := range 200 {
		all.Add(1)
		go func() {
			defer all.Done()
			op := &fakeOperation{t: t, complete: make(chan uint32, 2), onCancel: func(o *fakeOperation) { o.complete <- 0x80004004 }}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Duration(i%20)*time.Millisecond, cancel)
			time.AfterFunc(time.Duration(i%7)*3*time.Millisecond, func() { op.complete <- 0 })
			run(ctx, b, h, op, nil)
		}()
	}
	all.Wait()
	if !h.close(5*time.Second) || !closed.Load() {
		t.Error("the handle is not closed")
	}
}

func TestLimits(t *testing.T) {
	if limits.call <= 0 || limits.grace <= 0 || limits.close <= 0 || limits.refusal <= 0 {
		t.Errorf("a wait without a bound: %+v", limits)
	}
}

// BenchmarkRun is what a call costs beside HCS's own work.
func BenchmarkRun(b *testing.B) {
	op := &benchOperation{}
	h, _ := handle()
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if r := run(ctx, limits, h, op, nil); r.hresult != 0 {
			b.Fatalf("0x%08X", r.hresult)
		}
	}
}

type benchOperation struct{}

func (benchOperation) open() uint32                        { return 0 }
func (benchOperation) submit() uint32                      { return 0 }
func (benchOperation) wait(time.Duration) (uint32, []byte) { return 0, nil }
func (benchOperation) result() []byte                      { return nil }
func (benchOperation) cancel()                             {}
func (benchOperation) close()                              {}
