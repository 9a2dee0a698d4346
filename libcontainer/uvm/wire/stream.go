package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrStopped is the error of a Write whose bytes the peer does not want.
var ErrStopped = errors.New("the reader has gone")

// Stream is bytes in both directions, each with a window and an end of its own.
type Stream struct {
	c      *Conn
	number uint32

	mu      sync.Mutex
	changed sync.Cond
	in      []byte // arrived and unread: at most Window
	inEnd   bool   // no more arrive
	owed    int    // read and not yet granted to the peer anew
	window  int    // may be sent
	ended   bool   // CloseWrite was called
	stopped bool   // the peer does not want more
	err     error  // of the connection
}

// guests is where the numbers of streams begin that the guest has chosen.
const guests = 1 << 31

// Stream opens stream number. Both ends open it, and the host chooses numbers:
// whoever opens it later must do so before the other one sends.
func (c *Conn) Stream(number uint32) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open(number)
}

// Open opens a stream that the guest numbers. The host Accepts it.
func (c *Conn) Open() (number uint32, s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	number = guests | c.opened
	return number, c.open(number)
}

// Accept opens a stream that the guest has numbered.
func (c *Conn) Accept(number uint32) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number < guests {
		return nil, fmt.Errorf("stream %d is not of the guest's numbers", number)
	}
	if c.streams[number] != nil {
		return nil, fmt.Errorf("stream %d is open already", number)
	}
	return c.open(number), nil
}

func (c *Conn) open(number uint32) *Stream {
	s := &Stream{c: c, number: number, window: Window, err: c.err}
	s.changed.L = &s.mu
	c.streams[number] = s
	return s
}

// Close forgets the stream: what still arrives is dropped.
func (s *Stream) Close() {
	s.c.mu.Lock()
	if s.c.streams[s.number] == s {
		delete(s.c.streams, s.number)
	}
	s.c.mu.Unlock()
	s.fail(io.ErrClosedPipe)
}

func (s *Stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.changed.Broadcast()
}

func (s *Stream) arrive(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inEnd {
		return fmt.Errorf("%w: data behind the end of stream %d", errBroken, s.number)
	}
	if len(s.in)+s.owed+len(p) > Window {
		return fmt.Errorf("%w: stream %d holds more than its window", errBroken, s.number)
	}
	s.in = append(s.in, p...)
	s.changed.Broadcast()
	return nil
}

func (s *Stream) arriveEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inEnd = true
	s.changed.Broadcast()
}

func (s *Stream) arriveStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.changed.Broadcast()
}

func (s *Stream) grant(n uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > Window || s.window+int(n) > Window {
		return fmt.Errorf("%w: stream %d is granted more than its window", errBroken, s.number)
	}
	s.window += int(n)
	s.changed.Broadcast()
	return nil
}

// Read returns what has arrived, io.EOF behind the peer's CloseWrite.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	for len(s.in) == 0 && !s.inEnd && s.err == nil {
		s.changed.Wait()
	}
	if len(s.in) == 0 {
		defer s.mu.Unlock()
		if s.inEnd {
			return 0, io.EOF
		}
		return 0, s.err
	}
	n := copy(p, s.in)
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil // not for ever the largest it was
	}
	s.owed += n
	owed := 0
	// A frame for each small read would cost more than the bytes do.
	if s.owed >= Window/4 || len(s.in) == 0 && s.owed >= maxData/2 {
		owed, s.owed = s.owed, 0
	}
	s.mu.Unlock()
	if owed > 0 {
		// What has arrived is read also from a peer that is gone; the end comes then.
		_ = s.c.send(kindCredit, s.number, binary.LittleEndian.AppendUint32(nil, uint32(owed)))
	}
	return n, nil
}

// Write sends p as the window allows. ErrStopped when the peer stopped it.
func (s *Stream) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n, err := s.reserve(len(p))
		if err != nil {
			return sent, err
		}
		if err := s.c.send(kindData, s.number, p[:n]); err != nil {
			return sent, err
		}
		p, sent = p[n:], sent+n
	}
	return sent, nil
}

// reserve waits until at least a byte may be sent.
func (s *Stream) reserve(most int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.ended:
			return 0, io.ErrClosedPipe
		case s.stopped:
			return 0, ErrStopped
		case s.window > 0:
			n := min(most, s.window, maxData)
			s.window -= n
			return n, nil
		}
		s.changed.Wait()
	}
}

// Unwanted returns when nothing more can be written, because the peer wants no
// more or for another reason.
func (s *Stream) Unwanted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopped && !s.ended && s.err == nil {
		s.changed.Wait()
	}
}

// CloseWrite tells the peer that no more bytes come.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	s.changed.Broadcast()
	s.mu.Unlock()
	return s.c.send(kindEnd, s.number, nil)
}

// Stop tells the peer that its bytes are not wanted; what arrives is dropped.
func (s *Stream) Stop() error { return s.c.send(kindStop, s.number, nil) }
