package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// spy looks at every frame on its way and counts what of each stream is under
// way: sent by one end, and not yet granted anew by the other.
type spy struct {
	t  *testing.T
	mu sync.Mutex
	// out is per stream and sender.
	out   map[[2]uint32]int
	most  int
	calls int
}

func (s *spy) wrap(p pipe, sender uint32) pipe {
	to := p.Writer
	p.Writer = writer(func(b []byte) (int, error) {
		s.see(sender, b)
		return to.Write(b)
	})
	return p
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (s *spy) see(sender uint32, b []byte) {
	h, payload, err := readFrame(bytes.NewReader(b), nil)
	if err != nil || len(b) != headerSize+len(payload) {
		s.t.Errorf("what is written at once is no frame: %+v, %v", h, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h.kind {
	case kindData:
		s.out[[2]uint32{h.number, sender}] += len(payload)
	case kindCredit:
		s.out[[2]uint32{h.number, 1 - sender}] -= int(binary.LittleEndian.Uint32(payload))
	case kindCall:
		s.calls++
	}
	for at, n := range s.out {
		if s.most = max(s.most, n); n < 0 || n > Window {
			s.t.Errorf("of stream %d %d bytes are under way", at[0], n)
		}
	}
}

// pour writes size bytes that seed decides, in chunks of odd sizes, ends the
// stream and returns their checksum.
func pour(s *Stream, seed uint64, size int) (uint64, error) {
	sum, random := crc64.New(crc64.MakeTable(crc64.ECMA)), rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, 100<<10)
	for i := range buf {
		buf[i] = byte(random.Uint32())
	}
	for left := size; left > 0; {
		n := min(left, 1+random.IntN(len(buf)))
		if random.IntN(4) == 0 {
			n = min(left, 1+random.IntN(9))
		}
		buf[random.IntN(len(buf))]++
		chunk := buf[len(buf)-n:]
		sum.Write(chunk)
		if got, err := s.Write(chunk); err != nil || got != n {
			return 0, fmt.Errorf("%d of %d bytes written: %w", got, n, err)
		}
		left -= n
	}
	return sum.Sum64(), s.CloseWrite()
}

// drink reads all with buffers of odd sizes.
func drink(s *Stream, seed uint64) (sum uint64, size int, err error) {
	h, random := crc64.New(crc64.MakeTable(crc64.ECMA)), rand.New(rand.NewPCG(seed, 2))
	buf := make([]byte, 150<<10)
	for {
		n, err := s.Read(buf[:1+random.IntN(len(buf))])
		h.Write(buf[:n])
		if size += n; err == io.EOF {
			return h.Sum64(), size, nil
		} else if err != nil {
			return 0, size, err
		}
	}
}

// TestStreamsCarryAll: 10 MB each way on one stream, beside another one and
// calls, arrive whole, and never is more under way than the window.
func TestStreamsCarryAll(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		s := &spy{t: t, out: map[[2]uint32]int{}}
		x, y := connect(s.wrap(a, 0), s.wrap(b, 1), echo, echo)
		const size = 10_000_019
		var all sync.WaitGroup
		for number, size := range map[uint32]int{1: size, 0xffffffff: size / 10} {
			sx, sy := x.Stream(number), y.Stream(number)
			for i, way := range [][2]*Stream{{sx, sy}, {sy, sx}} {
				sent := make(chan uint64, 1)
				all.Go(func() {
					sum, err := pour(way[0], uint64(number)+uint64(i), size)
					if err != nil {
						t.Error(err)
					}
					sent <- sum
				})
				all.Go(func() {
					sum, n, err := drink(way[1], uint64(i))
					if err != nil || n != size || sum != <-sent {
						t.Errorf("stream %d, direction %d: %d bytes of %d, or others: %v", number, i, n, size, err)
					}
				})
			}
		}
		all.Go(func() {
			for i := range 20 {
				var got int
				if err := x.Call(t.Context(), "echo", i, &got); err != nil || got != i {
					t.Errorf("a call beside the streams: %d, %v", got, err)
				}
			}
		})
		all.Wait()
		if s.most == 0 || s.calls != 20 {
			t.Errorf("at most %d bytes were under way, and %d calls: the spy was blind", s.most, s.calls)
		}
	})
}

// TestWindowHoldsTheWriter: a writer sends a window and not a byte more, then
// just what it is granted.
func TestWindowHoldsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipes["without a buffer"](t)
		x := New(a, refuse)
		run(x)
		s := x.Stream(5)
		go func() { _, _ = s.Write(make([]byte, 4*Window)) }()
		p := newPeer(t, b)
		var got int
		go func() {
			for {
				h, payload, err := readFrame(p.r, nil)
				if err != nil {
					return
				}
				if h.kind != kindData || h.number != 5 || len(payload) > maxData {
					t.Errorf("a frame %+v", h)
				}
				got += len(payload)
			}
		}()
		want := Window
		for _, n := range []uint32{0, 1, 3, maxData, maxData + 1, Window - 7, Window} {
			if n > 0 {
				p.send(credit(5, n))
				want += int(n)
			}
			synctest.Wait()
			if got != want {
				t.Fatalf("%d bytes came, %d were granted", got, want)
			}
		}
		b.close()
		synctest.Wait()
	})
}

// TestUnreadStreamHoldsUpNothing: a stream nobody reads stands still alone.
func TestUnreadStreamHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipes["without a buffer"](t)
		x, y := connect(a, b, refuse, echo)
		stuck, unread := x.Stream(1), y.Stream(1)
		wrote := make(chan int, 1)
		go func() { n, _ := stuck.Write(make([]byte, 2*Window)); wrote <- n }()
		synctest.Wait()
		if len(unread.in) != Window {
			t.Fatalf("%d bytes wait", len(unread.in))
		}
		var got string
		if err := x.Call(t.Context(), "echo", "through", &got); err != nil || got != "through" {
			t.Errorf("a call: %q, %v", got, err)
		}
		from, to := x.Stream(2), y.Stream(2)
		go func() { _, _ = pour(from, 1, 3*Window) }()
		if _, n, err := drink(to, 1); n != 3*Window || err != nil {
			t.Errorf("another stream: %d bytes, %v", n, err)
		}
		select {
		case n := <-wrote:
			t.Errorf("%d bytes of 2 windows fit into one", n)
		default:
		}
		if _, n, err := take(unread, 2*Window); n != 2*Window || err != nil {
			t.Errorf("at last: %d bytes, %v", n, err)
		}
		if n := <-wrote; n != 2*Window {
			t.Errorf("%d bytes were written", n)
		}
		a.close()
		b.close()
	})
}

// take reads n bytes.
func take(s *Stream, size int) ([]byte, int, error) {
	b := make([]byte, size)
	n, err := io.ReadFull(s, b)
	return b, n, err
}

// TestEndOfStream: CloseWrite ends one direction, behind all that was written.
func TestEndOfStream(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		x, y := connect(a, b, refuse, refuse)
		sx, sy := x.Stream(9), y.Stream(9)
		if _, err := sx.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // once is enough, twice does no harm
			if err := sx.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := sx.Write([]byte("more")); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writing behind the end: %d, %v", n, err)
		}
		if got, err := io.ReadAll(sy); string(got) != "last words" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if n, err := sy.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("and again: %d, %v", n, err)
		}
		if _, err := sy.Write([]byte("the other way")); err != nil {
			t.Errorf("the other direction has ended too: %v", err)
		}
		if got, _, err := take(sx, len("the other way")); string(got) != "the other way" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestStopEndsTheWriter: at once, whether it waits for the window or comes later.
func TestStopEndsTheWriter(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		x, y := connect(a, b, refuse, echo)
		sx, sy := x.Stream(4), y.Stream(4)
		failed := make(chan error, 1)
		go func() { _, err := sx.Write(make([]byte, 2*Window)); failed <- err }()
		if _, _, err := take(sy, 10); err != nil {
			t.Fatal(err)
		}
		if err := sy.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "the writer's end", failed); !errors.Is(err, ErrStopped) {
			t.Errorf("%v, want ErrStopped", err)
		}
		if n, err := sx.Write([]byte{1}); n != 0 || !errors.Is(err, ErrStopped) {
			t.Errorf("a later write: %d, %v", n, err)
		}
		if err := sx.CloseWrite(); err != nil {
			t.Errorf("CloseWrite: %v", err)
		}
		if _, err := sy.Write([]byte("back")); err != nil {
			t.Errorf("the other direction: %v", err)
		}
		if got, _, err := take(sx, 4); string(got) != "back" || err != nil {
			t.Errorf("the other direction: %q, %v", got, err)
		}
		if rest, err := io.ReadAll(sy); err != nil || len(rest) > Window {
			t.Errorf("what was under way: %d bytes, %v", len(rest), err)
		}
	})
}

// TestCloseForgets: whoever waits on the stream fails, and what still comes for
// it is dropped without harm.
func TestCloseForgets(t *testing.T) {
	over(t, func(t *testing.T, a, b pipe) {
		x := New(a, refuse)
		run(x)
		p := newPeer(t, b)
		s := x.Stream(6)
		failed := make(chan error, 2)
		go func() { _, err := s.Read(make([]byte, 1)); failed <- err }()
		go func() { _, err := s.Write(make([]byte, Window+1)); failed <- err }()
		for got := 0; got < Window; {
			_, payload := p.next()
			got += len(payload)
		}
		s.Close()
		s.Close()
		for range 2 {
			if err := within(t, "the failure", failed); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}
		// Twice the window, behind an end, and credit without end: nobody counts.
		p.send(frame(kindEnd, 6, nil), frame(kindStop, 6, nil), credit(6, 0xffffffff))
		for range 2 * Window / maxData {
			p.send(frame(kindData, 6, make([]byte, maxData)))
		}
		answered := make(chan error, 1)
		go func() { answered <- x.Call(t.Context(), "alive", nil, nil) }()
		h, _ := p.next()
		p.send(frame(kindAnswer, h.number, []byte(`{}`)))
		if err := within(t, "an answer", answered); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if len(x.streams) != 0 {
			t.Errorf("%d streams are remembered", len(x.streams))
		}
	})
}

// TestSmallReadsCostFewFrames: the window is given back in large pieces.
func TestSmallReadsCostFewFrames(t *testing.T) {
	a, b := pipes["with a buffer"](t)
	defer a.close()
	defer b.close()
	credits, granted := 0, 0
	to := b.Writer
	b.Writer = writer(func(f []byte) (int, error) {
		if kind(f[4]) == kindCredit {
			credits++
			granted += int(binary.LittleEndian.Uint32(f[headerSize:]))
		}
		return to.Write(f)
	})
	x, y := connect(a, b, refuse, refuse)
	sx, sy := x.Stream(1), y.Stream(1)
	const size = 2 * Window
	go func() { _, _ = pour(sx, 3, size) }()
	buf := make([]byte, 3)
	for {
		if _, err := sy.Read(buf); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if credits > size/(maxData/2) || granted < size-Window {
		t.Errorf("%d bytes are granted in %d frames", granted, credits)
	}
}
