// Package wire is the Go side of the frames between the stub DLLs and the
// emulated service; dll/wire.h describes them. It knows nothing of what a call
// means.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
)

// PipeName is where the service listens.
const PipeName = `\\.\pipe\hcsemu`

const (
	noString     = 0xffffffff
	longestFrame = 64 << 20
)

// Request is one call of a client.
type Request struct {
	PID      uint32
	Handle   uint64 // what the call is about, 0 for none
	Fresh    uint64 // the client's name for the handle that the call makes
	Number   uint64
	DLL      string
	Function string
	Args     []*string // nil for a NULL
}

// Arg answers the argument, or "" where there is none or it is NULL.
func (r *Request) Arg(i int) string {
	if i >= len(r.Args) || r.Args[i] == nil {
		return ""
	}
	return *r.Args[i]
}

// Answer is what a call returns: an HRESULT, numbers (a truth value, a pid,
// three standard handles), what was asked for, and the error document.
type Answer struct {
	HR      uint32
	Numbers [5]uint64
	Value   *string
	Result  *string
}

// Event is one callback.
type Event struct {
	Type   uint32
	Status uint32
	Data   *string
}

// ReadRequest answers io.EOF when the connection has ended between requests.
func ReadRequest(r io.Reader) (*Request, error) {
	frame, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: frame}
	q := &Request{PID: d.u32(), Handle: d.u64(), Fresh: d.u64(), Number: d.u64()}
	n := int(d.u32())
	var strings []*string
	for i := 0; i < n && d.err == nil; i++ {
		strings = append(strings, d.string())
	}
	if d.err != nil {
		return nil, d.err
	}
	if len(strings) < 2 || strings[0] == nil || strings[1] == nil {
		return nil, fmt.Errorf("reading a request: no DLL and function in %d strings", len(strings))
	}
	q.DLL, q.Function, q.Args = *strings[0], *strings[1], strings[2:]
	return q, nil
}

// WriteRequest is what the DLLs do in C; the command line of the service uses
// it, too.
func WriteRequest(w io.Writer, q *Request) error {
	b := binary.LittleEndian.AppendUint32(nil, q.PID)
	b = binary.LittleEndian.AppendUint64(b, q.Handle)
	b = binary.LittleEndian.AppendUint64(b, q.Fresh)
	b = binary.LittleEndian.AppendUint64(b, q.Number)
	b = binary.LittleEndian.AppendUint32(b, uint32(2+len(q.Args)))
	b = appendString(b, &q.DLL)
	b = appendString(b, &q.Function)
	for _, s := range q.Args {
		b = appendString(b, s)
	}
	return writeFrame(w, b)
}

// ReadAnswer reads the answer to a request.
func ReadAnswer(r io.Reader) (*Answer, error) {
	frame, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: frame}
	a := &Answer{HR: d.u32()}
	for i := range a.Numbers {
		a.Numbers[i] = d.u64()
	}
	a.Value, a.Result = d.string(), d.string()
	return a, d.err
}

// WriteAnswer answers a request.
func WriteAnswer(w io.Writer, a *Answer) error {
	b := binary.LittleEndian.AppendUint32(nil, a.HR)
	for _, n := range a.Numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = appendString(b, a.Value)
	return writeFrame(w, appendString(b, a.Result))
}

// ReadEvent reads an event of a callback.
func ReadEvent(r io.Reader) (*Event, error) {
	frame, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: frame}
	e := &Event{Type: d.u32(), Status: d.u32(), Data: d.string()}
	return e, d.err
}

// WriteEvent sends an event to a callback.
func WriteEvent(w io.Writer, e *Event) error {
	b := binary.LittleEndian.AppendUint32(nil, e.Type)
	b = binary.LittleEndian.AppendUint32(b, e.Status)
	return writeFrame(w, appendString(b, e.Data))
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > longestFrame {
		return nil, fmt.Errorf("reading a frame: %d bytes are too many", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// writeFrame writes once, because a half written frame is a broken connection.
func writeFrame(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func appendString(b []byte, s *string) []byte {
	if s == nil {
		return binary.LittleEndian.AppendUint32(b, noString)
	}
	units := utf16.Encode([]rune(*s))
	b = binary.LittleEndian.AppendUint32(b, uint32(2*len(units)))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// decoder takes a frame apart; err is set by the first thing that is missing.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		d.err = fmt.Errorf("reading a frame: %w", io.ErrUnexpectedEOF)
		return make([]byte, min(n, 8))
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) string() *string {
	n := d.u32()
	if n == noString || d.err != nil {
		return nil
	}
	b := d.take(int(n))
	if d.err != nil {
		return nil
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	s := string(utf16.Decode(units))
	return &s
}
