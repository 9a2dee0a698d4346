package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// TestBrokenRulesEndTheConnection: nothing that a peer can write panics, holds
// anything up or is believed, and who waits for it learns why it ended.
func TestBrokenRulesEndTheConnection(t *testing.T) {
	data := func(n int) []byte { return frame(kindData, 1, make([]byte, n)) }
	window := bytes.Repeat(data(maxData), Window/maxData)
	raw := func(length uint32, k kind) []byte { return header{length, k, 1}.append(nil) }
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"unknown kind":                       {frame(kinds, 1, []byte("{}")), errBroken},
		"last unknown kind":                  {frame(255, 1, nil), errBroken},
		"call too short":                     {frame(kindCall, 1, []byte("1")), errBroken},
		"call without anything":              {frame(kindCall, 1, nil), errBroken},
		"call too long":                      {raw(MaxCall+1, kindCall), errBroken},
		"call longer than anything":          {raw(0xffffffff, kindCall), errBroken},
		"call that is no JSON":               {frame(kindCall, 1, []byte("{]")), errBroken},
		"call that is no object":             {frame(kindCall, 1, []byte("[1]")), errBroken},
		"call of a number":                   {frame(kindCall, 1, []byte(`{"op":1}`)), errBroken},
		"call of nothing but brackets":       {frame(kindCall, 1, bytes.Repeat([]byte("["), 1<<20)), errBroken},
		"answer too long":                    {raw(MaxCall+1, kindAnswer), errBroken},
		"answer too short":                   {raw(0, kindAnswer), errBroken},
		"answer that is no JSON":             {frame(kindAnswer, 1, []byte("no")), errBroken},
		"answer with an error of a text":     {frame(kindAnswer, 1, []byte(`{"err":"x"}`)), errBroken},
		"data without any":                   {raw(0, kindData), errBroken},
		"data too long":                      {raw(maxData+1, kindData), errBroken},
		"data behind the end":                {slices.Concat(data(1), frame(kindEnd, 1, nil), data(1)), errBroken},
		"a byte more than the window":        {slices.Concat(window, data(1)), errBroken},
		"a frame more than the window":       {slices.Concat(data(1), window), errBroken},
		"end with bytes":                     {raw(1, kindEnd), errBroken},
		"stop with bytes":                    {raw(1, kindStop), errBroken},
		"credit too short":                   {frame(kindCredit, 1, []byte{1, 0, 0}), errBroken},
		"credit too long":                    {frame(kindCredit, 1, []byte{1, 0, 0, 0, 0}), errBroken},
		"credit beyond the window":           {credit(1, 1), errBroken},
		"credit of more than a window":       {credit(1, Window+1), errBroken},
		"credit that a window overflows":     {credit(1, 0xffffffff-Window+1), errBroken},
		"credit that 31 bits do not hold":    {credit(1, 1<<31), errBroken},
		"credit that is as large as it gets": {credit(1, 0xffffffff), errBroken},
		"truncated header":                   {raw(2, kindCall)[:headerSize-1], io.ErrUnexpectedEOF},
		"header alone":                       {raw(2, kindCall), io.ErrUnexpectedEOF},
		"truncated call":                     {frame(kindCall, 1, []byte(`{"op":"x"}`))[:headerSize+3], io.ErrUnexpectedEOF},
		"truncated data":                     {data(100)[:headerSize+99], io.ErrUnexpectedEOF},
		"truncated behind good ones":         {slices.Concat(window, frame(kindEnd, 1, nil)[:4]), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipes["without a buffer"](t)
			defer a.close()
			x := New(a, refuse)
			x.Stream(1)
			ended := run(x)
			p := newPeer(t, b)
			failed := make(chan error, 1)
			go func() { failed <- x.Call(t.Context(), "never", nil, nil) }()
			p.next()
			written := make(chan struct{})
			go func() {
				defer close(written)
				// What it has not read by the end it never does.
				_, _ = b.Write(c.bytes)
				if errors.Is(c.want, io.ErrUnexpectedEOF) {
					b.close()
				}
			}()
			if err := within(t, "the end of Run", ended); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err := within(t, "the end of a call", failed); !errors.Is(err, c.want) {
				t.Errorf("a call ended by %v, want %v", err, c.want)
			}
			within(t, "Done", x.Done())
			a.close()
			within(t, "the peer", written)
		})
	}
}

// TestToleratedOddities: what a peer may do because it does not know yet, or
// because it harms nobody.
func TestToleratedOddities(t *testing.T) {
	end, stop := frame(kindEnd, 1, nil), frame(kindStop, 1, nil)
	for name, frames := range map[string][]byte{
		"answer to nobody":       frame(kindAnswer, 77, []byte("{}")),
		"answer with more in it": frame(kindAnswer, 77, []byte(`{"later":[1]}`)),
		"data for no stream":     frame(kindData, 2, []byte("x")),
		"end of no stream":       frame(kindEnd, 2, nil),
		"credit for no stream":   credit(2, 0xffffffff),
		"stop of no stream":      frame(kindStop, 2, nil),
		"no credit":              credit(1, 0),
		"end twice":              slices.Concat(end, end),
		"stop twice":             slices.Concat(stop, stop),
		"a window":               bytes.Repeat(frame(kindData, 1, make([]byte, maxData)), Window/maxData),
		"the longest answer":     frame(kindAnswer, 77, append(append([]byte(`{"later":"`), bytes.Repeat([]byte("x"), MaxCall-12)...), `"}`...)),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipes["without a buffer"](t)
			defer a.close()
			x := New(a, refuse)
			x.Stream(1)
			ended := run(x)
			p := newPeer(t, b)
			p.send(frames)
			// A call is still answered.
			p.send(frame(kindCall, 9, []byte(`{"op":"ping"}`)))
			if h, payload := p.next(); h.kind != kindAnswer || h.number != 9 || string(payload) != `{"err":{"text":"no ping"}}` {
				t.Errorf("%+v %s", h, payload)
			}
			b.close()
			if err := within(t, "the end", ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTooManyCalls: maxCalls at once are served, one more is the end.
func TestTooManyCalls(t *testing.T) {
	a, b := pipes["without a buffer"](t)
	defer a.close()
	gate, begun := make(chan struct{}), make(chan struct{}, maxCalls)
	x := New(a, func(string, json.RawMessage) (any, error) {
		begun <- struct{}{}
		<-gate
		return nil, nil
	})
	ended := run(x)
	p := newPeer(t, b)
	for i := range uint32(maxCalls) {
		p.send(frame(kindCall, i, []byte(`{"op":"wait"}`)))
	}
	for range maxCalls {
		within(t, "all allowed calls are served", begun)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended by %v", err)
	default:
	}
	p.send(frame(kindCall, maxCalls, []byte(`{"op":"wait"}`)))
	if err := within(t, "the end", ended); !errors.Is(err, errBroken) {
		t.Errorf("ended by %v", err)
	}
	if len(begun) != 0 {
		t.Error("one call more was served")
	}
	close(gate)
}

// TestCallsBecomeFree: calls that were answered do not count.
func TestCallsBecomeFree(t *testing.T) {
	a, b := pipes["without a buffer"](t)
	defer a.close()
	x := New(a, refuse)
	ended := run(x)
	p := newPeer(t, b)
	for i := range uint32(3 * maxCalls) {
		p.send(frame(kindCall, 5, []byte(`{"op":"x"}`))) // its numbers are the peer's affair
		if h, _ := p.next(); h.kind != kindAnswer || h.number != 5 {
			t.Fatalf("answer %d: %+v", i, h)
		}
	}
	b.close()
	if err := within(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

// failing is a pipe that breaks.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestBreakingPipe: its own error is what Run, calls and streams end with.
func TestBreakingPipe(t *testing.T) {
	why := fmt.Errorf("reset by %w", errors.New("QEMU"))
	x := New(failing{why}, refuse)
	s := x.Stream(1)
	if err := x.Call(t.Context(), "op", nil, nil); !errors.Is(err, why) {
		t.Errorf("a call before Run: %v", err)
	}
	if n, err := s.Write([]byte{1}); n != 0 || !errors.Is(err, why) {
		t.Errorf("a write before Run: %d, %v", n, err)
	}
	if err := x.Run(); err != why {
		t.Errorf("Run: %v", err)
	}
	if _, err := s.Read(make([]byte, 1)); err != why {
		t.Errorf("a read: %v", err)
	}
	if err := s.Stop(); err != why {
		t.Errorf("Stop: %v", err)
	}
}
