package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wrun/libcontainer"
)

func TestCallsGoBothWays(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		named := func(name string) Serve {
			return func(op string, in json.RawMessage) (any, error) {
				switch op {
				case "nothing":
					return nil, nil
				case "null":
					return json.RawMessage(nil), nil
				}
				return []string{name, op, string(in)}, nil
			}
		}
		x, y := connect(a, b, named("x"), named("y"))
		for _, c := range []struct {
			from *Conn
			op   string
			in   any
			want string
		}{
			{x, "greet", map[string]int{"n": 1}, `[y greet {"n":1}]`},
			{y, "greet", "<you> & me", `[x greet "\u003cyou\u003e \u0026 me"]`},
			{x, "without content", nil, `[y without content ]`},
			{y, "", nil, `[x  ]`},
			{x, "long", strings.Repeat("a", 1<<20), `[y long "` + strings.Repeat("a", 1<<20) + `"]`},
		} {
			var out []string
			if err := c.from.Call(t.Context(), c.op, c.in, &out); err != nil || fmt.Sprint(out) != c.want {
				t.Errorf("%s: %.80v, %v", c.op, out, err)
			}
		}
		if err := x.Call(t.Context(), "nothing", nil, nil); err != nil {
			t.Errorf("nothing was asked for and nothing came: %v", err)
		}
		if err := x.Call(t.Context(), "greet", nil, nil); err != nil {
			t.Errorf("an answer that is not looked at: %v", err)
		}
		var out []string
		if err := x.Call(t.Context(), "nothing", nil, &out); err == nil || !strings.Contains(err.Error(), "without content") {
			t.Errorf("an answer was wanted and none came: %v", err)
		}
		var number int
		if err := x.Call(t.Context(), "greet", nil, &number); err == nil || !strings.Contains(err.Error(), "asking for greet") {
			t.Errorf("an answer of another type: %v", err)
		}
		raw := json.RawMessage("unset")
		if err := x.Call(t.Context(), "null", nil, &raw); err != nil || string(raw) != "null" {
			t.Errorf("an answer of null: %s, %v", raw, err)
		}
	})
}

// TestManyCallsAtOnce: each gets its own answer, with both ends asking.
func TestManyCallsAtOnce(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		x, y := connect(a, b, echo, echo)
		var all sync.WaitGroup
		for i := range 100 {
			for _, c := range []*Conn{x, y} {
				all.Go(func() {
					for j := range 5 {
						var got int
						if err := c.Call(t.Context(), "echo", 5*i+j, &got); err != nil || got != 5*i+j {
							t.Errorf("%d, %v; want %d", got, err, 5*i+j)
						}
					}
				})
			}
		}
		all.Wait()
	})
}

// TestAnswersOutOfOrder: a call that takes its time holds up no other.
func TestAnswersOutOfOrder(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		const calls = 20
		var gates [calls]chan struct{}
		for i := range gates {
			gates[i] = make(chan struct{})
		}
		begun := make(chan int, calls)
		x, _ := connect(a, b, refuse, func(_ string, in json.RawMessage) (any, error) {
			var i int
			if err := json.Unmarshal(in, &i); err != nil {
				return nil, err
			}
			begun <- i
			<-gates[i]
			return i, nil
		})
		answers := make(chan int)
		for i := range calls {
			go func() {
				got := -1
				if err := x.Call(t.Context(), "op", i, &got); err != nil || got != i {
					t.Errorf("%d, %v; want %d", got, err, i)
				}
				answers <- got
			}()
		}
		for range calls {
			within(t, "all calls are served at once", begun)
		}
		for i := calls - 1; i >= 0; i-- {
			close(gates[i])
			if got := within(t, "an answer", answers); got != i {
				t.Errorf("%d answered, want %d", got, i)
			}
		}
	})
}

// TestErrorsTravel: what a caller tells errors apart by is the same at the other
// end.
func TestErrorsTravel(t *testing.T) {
	type is struct {
		sentinel error
		same     bool // not only wrapped: the very sentinel
		hint     string
		code     int
	}
	for name, c := range map[string]struct {
		err  error
		want is
	}{
		"plain":          {errors.New("it broke: \"so\"\n"), is{code: 1}},
		"not running":    {libcontainer.ErrNotRunning, is{sentinel: libcontainer.ErrNotRunning, same: true, code: 1}},
		"not paused":     {libcontainer.ErrNotPaused, is{sentinel: libcontainer.ErrNotPaused, same: true, code: 1}},
		"unsupported":    {libcontainer.ErrUnsupported, is{sentinel: libcontainer.ErrUnsupported, same: true, code: 1}},
		"stopped":        {ErrStopped, is{sentinel: ErrStopped, same: true, code: 1}},
		"wrapped":        {fmt.Errorf("container c1: %w", libcontainer.ErrNotRunning), is{sentinel: libcontainer.ErrNotRunning, code: 1}},
		"hint":           {libcontainer.WithHint(errors.New("no image"), "make uvm"), is{hint: "make uvm", code: 1}},
		"code":           {libcontainer.WithExitCode(errors.New("no program"), 255), is{code: 255}},
		"code 0":         {libcontainer.WithExitCode(errors.New("odd"), 0), is{code: 1}},
		"all of them":    {libcontainer.WithExitCode(libcontainer.WithHint(fmt.Errorf("x: %w", libcontainer.ErrNotPaused), "h"), 126), is{libcontainer.ErrNotPaused, false, "h", 126}},
		"deep in a text": {fmt.Errorf("a: %w", libcontainer.WithHint(libcontainer.WithExitCode(errors.New("b"), 7), "h")), is{hint: "h", code: 7}},
		"unknown":        {io.ErrClosedPipe, is{code: 1}},
		"empty":          {errors.New(""), is{code: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipes["without a buffer"](t)
			defer a.close()
			x, _ := connect(a, b, refuse, func(string, json.RawMessage) (any, error) { return "not seen", c.err })
			var out string
			err := x.Call(t.Context(), "op", nil, &out)
			if err == nil || err.Error() != c.err.Error() || out != "" {
				t.Fatalf("%v (and %q), want %v", err, out, c.err)
			}
			if s := c.want.sentinel; s != nil && !errors.Is(err, s) || c.want.same && err != s {
				t.Errorf("%#v is not %v", err, s)
			}
			for _, s := range known {
				if s != c.want.sentinel && errors.Is(err, s) {
					t.Errorf("%#v is %v", err, s)
				}
			}
			if hint, code := libcontainer.Hint(err), libcontainer.ExitCode(err); hint != c.want.hint || code != c.want.code {
				t.Errorf("hint %q and code %d, want %q and %d", hint, code, c.want.hint, c.want.code)
			}
		})
	}
	if Pack(nil) != nil || (*Error)(nil).Unpack() != nil {
		t.Error("no error became one")
	}
	if err := (&Error{Text: "t", Is: "invented by the peer"}).Unpack(); err.Error() != "t" || errors.Unwrap(err) != nil {
		t.Errorf("%#v", err)
	}
}

// TestLateAnswerIsNobodys: a caller that has lost patience is told so at once,
// and the answer that comes after all disturbs nothing.
func TestLateAnswerIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipes["without a buffer"](t)
		gate := make(chan struct{})
		x, _ := connect(a, b, refuse, func(op string, in json.RawMessage) (any, error) {
			if op == "slow" {
				<-gate
			}
			return in, nil
		})
		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		late, cancelLate := context.WithTimeout(t.Context(), time.Hour)
		defer cancelLate()
		for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
			var got string
			if err := x.Call(ctx, "slow", "late", &got); !errors.Is(err, want) || got != "" {
				t.Errorf("%v and %q, want %v", err, got, want)
			}
		}
		close(gate)
		synctest.Wait() // both answers have come
		var got string
		if err := x.Call(t.Context(), "quick", "now", &got); err != nil || got != "now" {
			t.Errorf("%q, %v", got, err)
		}
		if len(x.waiting) != 0 {
			t.Errorf("%d calls are still remembered", len(x.waiting))
		}
		a.close()
	})
}

// TestTooLargeToSay: what does not fit is an error of this one call.
func TestTooLargeToSay(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		huge := strings.Repeat("a", MaxCall)
		x, _ := connect(a, b, refuse, func(op string, in json.RawMessage) (any, error) {
			switch op {
			case "huge":
				return huge, nil
			case "huge error":
				return nil, errors.New(huge)
			case "not JSON":
				return func() {}, nil
			}
			return in, nil
		})
		for op, c := range map[string]struct {
			in   any
			want string
		}{
			"huge":       {nil, "the answer is too large"},
			"huge error": {nil, "the answer is too large"},
			"not JSON":   {nil, "answering not JSON: json: unsupported type"},
			"question":   {huge, "more than fit"},
			"function":   {func() {}, "asking for function: json: unsupported type"},
		} {
			if err := x.Call(t.Context(), op, c.in, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %.100v, want …%s…", op, err, c.want)
			}
		}
		var got int
		if err := x.Call(t.Context(), "echo", 7, &got); err != nil || got != 7 {
			t.Errorf("and then %d, %v", got, err)
		}
	})
}

// TestEndFailsAll: whoever waits for the peer learns that the pipe has ended,
// and whoever comes later too.
func TestEndFailsAll(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		x := New(a, refuse)
		ended := run(x)
		failed := make(chan error)
		const callers = 10
		for range callers {
			go func() { failed <- x.Call(t.Context(), "never", nil, nil) }()
		}
		p := newPeer(t, b)
		for range callers {
			if h, _ := p.next(); h.kind != kindCall {
				t.Fatalf("a frame of kind %d", h.kind)
			}
		}
		reading, writing := x.Stream(1), x.Stream(2)
		go func() { _, err := reading.Read(make([]byte, 1)); failed <- err }()
		go func() {
			n, err := writing.Write(make([]byte, Window+1))
			if n != Window {
				err = fmt.Errorf("%d bytes were written, and %w", n, err)
			}
			failed <- err
		}()
		for got := 0; got < Window; {
			h, payload := p.next()
			if h.kind != kindData || h.number != 2 {
				t.Fatalf("a frame %+v", h)
			}
			got += len(payload)
		}
		select {
		case <-x.Done():
			t.Fatal("it has ended already")
		default:
		}
		b.close()
		if err := within(t, "the end of Run", ended); err != nil {
			t.Errorf("the end of the pipe is an error: %v", err)
		}
		for range callers + 2 {
			if err := within(t, "the failure of all", failed); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}
		within(t, "Done", x.Done())
		if err := x.Call(t.Context(), "late", nil, nil); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a late call: %v", err)
		}
		s := x.Stream(3)
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("reading a late stream: %v", err)
		}
		if _, err := s.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writing a late stream: %v", err)
		}
		if err := s.CloseWrite(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("ending a late stream: %v", err)
		}
	})
}

// TestLastAnswerCounts: an answer directly before the end is an answer.
func TestLastAnswerCounts(t *testing.T) {
	for range 50 { // the order in which the caller sees both is the scheduler's
		a, b := pipes["with a buffer"](t)
		x := New(a, refuse)
		ended := run(x)
		answered := make(chan error, 1)
		go func() { answered <- x.Call(t.Context(), "op", nil, nil) }()
		p := newPeer(t, b)
		h, _ := p.next()
		p.send(frame(kindAnswer, h.number, []byte("{}")))
		b.close()
		if err := within(t, "the end", ended); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "the answer", answered); err != nil {
			t.Fatal(err)
		}
		a.close()
	}
}
