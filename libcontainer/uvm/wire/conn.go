package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxCalls bounds the calls of the peer that are being served at once.
const maxCalls = 256

// Serve answers one call of the peer. A non-nil error is what Call returns there.
type Serve func(op string, in json.RawMessage) (out any, err error)

// Conn is one end of a connection.
type Conn struct {
	pipe  io.ReadWriter
	serve Serve

	writing sync.Mutex
	frame   []byte // what is being written; under writing

	mu      sync.Mutex
	last    uint32 // number of the last call made
	waiting map[uint32]chan answer
	streams map[uint32]*Stream
	opened  uint32 // number of the last stream that Open has numbered
	serving int
	err     error
	// trusting: the peer may have any number of calls served at once.
	trusting bool
	done     chan struct{}
}

type call struct {
	Op string          `json:"op"`
	In json.RawMessage `json:"in,omitempty"`
}

type answer struct {
	Out json.RawMessage `json:"out,omitempty"`
	Err *Error          `json:"err,omitempty"`
}

// New makes an end of a connection over pipe. Nothing happens before Run.
func New(pipe io.ReadWriter, serve Serve) *Conn {
	return &Conn{pipe: pipe, serve: serve, waiting: map[uint32]chan answer{}, streams: map[uint32]*Stream{}, done: make(chan struct{})}
}

// Run reads until the pipe ends, which is no error, or the peer breaks the
// rules. All calls and streams have failed when it returns.
func (c *Conn) Run() error {
	r := bufio.NewReaderSize(reader{c}, 64<<10)
	var buf []byte
	for {
		h, payload, err := readFrame(r, buf)
		if err == nil {
			buf = payload
			err = c.take(h, payload)
		}
		if err == nil {
			continue
		}
		if err == io.EOF {
			c.fail(io.ErrClosedPipe)
			return nil
		}
		c.fail(err)
		return err
	}
}

// reader is the pipe for reading. To make an io.Reader of an io.ReadWriter, the
// runtime builds a table.
type reader struct{ *Conn }

func (r reader) Read(b []byte) (int, error) { return r.pipe.Read(b) }

// Trust lifts the bound on the peer's calls: the host waits for as many processes
// as there are. It comes before Run.
func (c *Conn) Trust() { c.trusting = true }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	for _, s := range c.streams {
		s.fail(err)
	}
}

func (c *Conn) take(h header, payload []byte) error {
	switch h.kind {
	case kindCall:
		var in call
		if err := Decode(payload, &in); err != nil {
			return fmt.Errorf("%w: a call: %w", errBroken, err)
		}
		return c.begin(h.number, in)
	case kindAnswer:
		var a answer
		if err := json.Unmarshal(payload, &a); err != nil {
			return fmt.Errorf("%w: an answer: %w", errBroken, err)
		}
		c.mu.Lock()
		waiting := c.waiting[h.number]
		delete(c.waiting, h.number)
		c.mu.Unlock()
		if waiting != nil { // nil: the caller has lost patience
			waiting <- a
		}
		return nil
	}
	c.mu.Lock()
	s := c.streams[h.number]
	c.mu.Unlock()
	if s == nil {
		return nil // closed here, and the peer did not know it yet
	}
	switch h.kind {
	case kindData:
		return s.arrive(payload)
	case kindEnd:
		s.arriveEnd()
	case kindCredit:
		return s.grant(binary.LittleEndian.Uint32(payload))
	case kindStop:
		s.arriveStop()
	}
	return nil
}

// begin serves a call beside the others.
func (c *Conn) begin(number uint32, in call) error {
	c.mu.Lock()
	c.serving++
	many := !c.trusting && c.serving > maxCalls
	c.mu.Unlock()
	if many {
		return fmt.Errorf("%w: more than %d calls at once", errBroken, maxCalls)
	}
	go func() {
		out, err := c.serve(in.Op, in.In)
		a := answer{Err: Pack(err)}
		if err == nil && out != nil {
			if a.Out, err = encode(out); err != nil {
				a.Err = Pack(fmt.Errorf("answering %s: %w", in.Op, err))
			}
		}
		_ = c.sendJSON(kindAnswer, number, a) // a peer that is gone needs none
		c.mu.Lock()
		c.serving-- // not before: a peer that reads no answers gets no more of them
		c.mu.Unlock()
	}()
	return nil
}

// Call has the peer serve op and reads its answer into out, nil for none.
func (c *Conn) Call(ctx context.Context, op string, in, out any) error {
	request := call{Op: op}
	if in != nil {
		var err error
		if request.In, err = json.Marshal(in); err != nil {
			return fmt.Errorf("asking for %s: %w", op, err)
		}
	}
	answered := make(chan answer, 1)
	c.mu.Lock()
	c.last++
	number := c.last
	c.waiting[number] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, number)
		c.mu.Unlock()
	}()
	// A peer that does not read must not hold whoever has a deadline.
	sent := make(chan error, 1)
	go func() { sent <- c.sendJSON(kindCall, number, request) }()
	for waiting := true; waiting; {
		select {
		case err := <-sent:
			if err != nil {
				return fmt.Errorf("asking for %s: %w", op, err)
			}
			sent = nil
		case a := <-answered:
			return a.read(op, out)
		case <-c.done:
			waiting = false
		case <-ctx.Done():
			return fmt.Errorf("the other end has not answered %q: %w", op, ctx.Err())
		}
	}
	select {
	case a := <-answered: // the last word before the end
		return a.read(op, out)
	default:
		return fmt.Errorf("asking for %s: %w", op, c.why())
	}
}

func (a answer) read(op string, out any) error {
	if a.Err != nil {
		return a.Err.Unpack()
	}
	if out == nil {
		return nil
	}
	if len(a.Out) == 0 {
		return fmt.Errorf("asking for %s: an answer without content", op)
	}
	if err := json.Unmarshal(a.Out, out); err != nil {
		return fmt.Errorf("asking for %s: %w", op, err)
	}
	return nil
}

func (c *Conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Conn) sendJSON(k kind, number uint32, v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	if len(data) > MaxCall {
		if k != kindAnswer {
			return fmt.Errorf("%d bytes are more than fit", len(data))
		}
		return c.sendJSON(k, number, answer{Err: Pack(errors.New("the answer is too large"))})
	}
	return c.send(k, number, data)
}

// send writes one frame whole.
func (c *Conn) send(k kind, number uint32, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	select {
	case <-c.done:
		return c.why()
	default:
	}
	c.frame = header{uint32(len(payload)), k, number}.append(c.frame[:0])
	c.frame = append(c.frame, payload...)
	_, err := c.pipe.Write(c.frame)
	return err
}
