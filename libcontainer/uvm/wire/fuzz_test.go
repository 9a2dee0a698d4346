package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
)

// hostile is a pipe whose peer says what was written beforehand. asked is closed
// when the first call has been written.
type hostile struct {
	io.Reader
	once  sync.Once
	asked chan struct{}
}

func (h *hostile) Write(b []byte) (int, error) {
	if kind(b[4]) == kindCall {
		h.once.Do(func() { close(h.asked) })
	}
	return len(b), nil
}

// FuzzConn: whatever a peer says, Run ends with it, nothing panics, all who wait
// learn of the end, and no stream holds or may send more than its window.
func FuzzConn(f *testing.F) {
	call := func(text string) []byte { return frame(kindCall, 1, []byte(text)) }
	answer := func(text string) []byte { return frame(kindAnswer, 1, []byte(text)) }
	data := func(number uint32, n int) []byte { return frame(kindData, number, bytes.Repeat([]byte{7}, n)) }
	for _, seed := range [][]byte{
		nil,
		call(`{"op":"echo","in":{"a":[1,"b",null]}}`),
		call(`{"op":"fail"}`),
		call(`{"op":"null","in":null}`),
		call(`null`),
		answer(`{"out":"right"}`),
		answer(`{"out":1}`),
		answer(`{}`),
		answer(`{"err":{"text":"t","hint":"h","code":-7,"is":"notRunning"}}`),
		answer(`{"err":{"text":"container not running","is":"notRunning"},"out":2}`),
		slices.Concat(data(1, 1), data(2, 100), data(3, 300), frame(kindEnd, 1, nil), frame(kindEnd, 2, nil), frame(kindEnd, 3, nil)),
		slices.Concat(credit(3, 1), frame(kindStop, 3, nil)),
		slices.Concat(frame(kindEnd, 1, nil), data(1, 1)),
		credit(1, 1),
		credit(2, 0xffffffff),
		slices.Concat(data(4, 5), credit(4, 9), frame(kindStop, 4, nil)),
		header{MaxCall, kindCall, 0}.append(nil),
		header{0xffffffff, kinds, 0xffffffff}.append(nil),
		frame(kindCall, 3, []byte(`{"op":"echo"}`))[:12],
		slices.Concat(call(`{"op":"echo"}`), answer(`{"out":"x"}`), data(2, 10), credit(3, 10), call(`{"op":"fail"}`)),
		bytes.Repeat(call(`{}`), maxCalls+1),
		slices.Concat(call(`{"op":"accept","in":2147483649}`), data(guests+1, 100), frame(kindEnd, guests+1, nil), credit(guests+1, 1)),
		slices.Concat(call(`{"op":"accept","in":2147483649}`), call(`{"op":"accept","in":2147483649}`), call(`{"op":"accept","in":2}`), data(2, 10)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		var users sync.WaitGroup
		pipe := &hostile{Reader: bytes.NewReader(said), asked: make(chan struct{})}
		var c *Conn
		c = New(pipe, func(op string, in json.RawMessage) (any, error) {
			switch op {
			case "echo":
				return in, nil
			case "null":
				return nil, nil
			case "accept":
				var number uint32
				if err := json.Unmarshal(in, &number); err != nil {
					return nil, err
				}
				_, err := c.Accept(number)
				return nil, err
			}
			return nil, errors.New(op)
		})
		idle, read, written := c.Stream(1), c.Stream(2), c.Stream(3)
		users.Go(func() {
			var out string
			if err := c.Call(t.Context(), "echo", nil, &out); err == nil && !bytes.Contains(said, []byte("out")) {
				t.Errorf("%q came from nowhere", out)
			}
		})
		users.Go(func() {
			if n, _ := io.Copy(io.Discard, struct{ io.Reader }{read}); n > int64(len(said)) {
				t.Errorf("of %d bytes %d came", len(said), n)
			}
		})
		users.Go(func() {
			granted := len(said) / len(credit(3, 0)) * Window
			if n, err := written.Write(make([]byte, 4*Window)); n > Window+granted {
				t.Errorf("%d bytes were written, of which at most %d were granted: %v", n, granted, err)
			}
		})
		<-pipe.asked
		err := c.Run()
		users.Wait()
		<-c.Done()
		if len(said) == 0 && err != nil {
			t.Errorf("silence is an error: %v", err)
		}
		c.mu.Lock()
		for number, s := range c.streams {
			s.mu.Lock()
			if len(s.in) > Window || cap(s.in) > 2*Window || s.window < 0 || s.window > Window || s.owed > Window {
				t.Errorf("stream %d: %d bytes in %d, window %d, owed %d", number, len(s.in), cap(s.in), s.window, s.owed)
			}
			s.mu.Unlock()
			if number < guests && s != idle && s != read && s != written {
				t.Errorf("the peer has stream %d, of our numbers", number)
			}
		}
		if c.streams[1] != idle || c.streams[2] != read || c.streams[3] != written || len(c.waiting) != 0 || c.serving > maxCalls+1 {
			t.Errorf("%d streams, %d waiting, %d served", len(c.streams), len(c.waiting), c.serving)
		}
		c.mu.Unlock()
		if err := c.Call(t.Context(), "late", nil, nil); err == nil {
			t.Error("a call behind the end was answered")
		}
	})
}
