package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen: it is only ever used
// up by a test that fails.
const patience = 20 * time.Second

// pipe is one end of what a connection runs over.
type pipe struct {
	io.Reader
	io.Writer
	close func()
}

// pipes are the kinds of connection that every promise is held over: one that
// holds nothing, so that a writer waits for its reader, and one with a buffer.
var pipes = map[string]func(t *testing.T) (a, b pipe){
	"without a buffer": func(*testing.T) (pipe, pipe) {
		a, b := net.Pipe()
		return pipe{a, a, func() { a.Close() }}, pipe{b, b, func() { b.Close() }}
	},
	"with a buffer": func(t *testing.T) (pipe, pipe) {
		fromA, toB, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fromB, toA, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return pipe{fromB, toB, func() { toB.Close() }}, pipe{fromA, toA, func() { toA.Close() }}
	},
}

// over runs test over each kind of pipe.
func over(t *testing.T, test func(t *testing.T, a, b pipe)) {
	for name, make := range pipes {
		t.Run(name, func(t *testing.T) {
			a, b := make(t)
			t.Cleanup(func() { a.close(); b.close() })
			test(t, a, b)
		})
	}
}

// run runs c; what comes is what Run returned.
func run(c *Conn) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- c.Run() }()
	return ended
}

// connect makes both ends of a running connection.
func connect(a, b pipe, serveA, serveB Serve) (*Conn, *Conn) {
	x, y := New(a, serveA), New(b, serveB)
	run(x)
	run(y)
	return x, y
}

func refuse(op string, _ json.RawMessage) (any, error) { return nil, errors.New("no " + op) }

func echo(_ string, in json.RawMessage) (any, error) { return in, nil }

// within has what comes from a channel, and fails when nothing does.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: still not after %v", what, patience)
		panic("unreachable")
	}
}

// peer is the other end of a connection without any manners: it writes what
// frames it likes.
type peer struct {
	t  *testing.T
	to io.Writer
	r  *bufio.Reader
}

func newPeer(t *testing.T, p pipe) *peer { return &peer{t, p, bufio.NewReader(p)} }

// frame is the bytes of one, whether or not there may be such a one.
func frame(k kind, number uint32, payload []byte) []byte {
	return append(header{uint32(len(payload)), k, number}.append(nil), payload...)
}

func credit(number, n uint32) []byte {
	return frame(kindCredit, number, binary.LittleEndian.AppendUint32(nil, n))
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	for _, f := range frames {
		if _, err := p.to.Write(f); err != nil {
			p.t.Fatal(err)
		}
	}
}

// next is the next frame; its payload is the caller's.
func (p *peer) next() (header, []byte) {
	p.t.Helper()
	h, payload, err := readFrame(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return h, payload
}
