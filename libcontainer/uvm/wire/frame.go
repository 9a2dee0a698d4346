// Package wire is what the host and the agent in a utility VM say to each other
// over one byte pipe, a virtio-serial port: calls in both directions and byte
// streams with flow control, in frames. It trusts nothing that arrives: what
// breaks its rules ends the connection.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is a header of nine bytes, little endian, and its payload:
//
//	u32 length of the payload | u8 kind | u32 number of the call or stream
const headerSize = 9

type kind uint8

const (
	kindCall   kind = iota // JSON of call; the number is the caller's
	kindAnswer             // JSON of answer, for the call of that number
	kindData               // bytes of a stream
	kindEnd                // no more bytes come on this stream
	kindCredit             // u32: that many more may be sent on this stream
	kindStop               // nobody wants this stream's bytes any more
	kinds                  // how many there are
)

const (
	// Window is how many bytes of a stream may be under way, unread.
	Window = 256 << 10
	// maxData bounds the payload of a data frame: small enough for a call not to
	// wait long behind it.
	maxData = 32 << 10
	// MaxCall bounds a call and an answer: a Spec with the largest seccomp
	// profile and environment that the kernel takes fits twice.
	MaxCall = 4 << 20
)

// errBroken says that the peer does not keep to the protocol.
var errBroken = errors.New("broken frame")

type header struct {
	length uint32
	kind   kind
	number uint32
}

func (h header) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = append(b, byte(h.kind))
	return binary.LittleEndian.AppendUint32(b, h.number)
}

// readFrame reads one frame into buf, which it grows as needed and returns.
func readFrame(r io.Reader, buf []byte) (header, []byte, error) {
	var raw [headerSize]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return header{}, buf, err
	}
	h := header{binary.LittleEndian.Uint32(raw[:]), kind(raw[4]), binary.LittleEndian.Uint32(raw[5:])}
	if err := h.check(); err != nil {
		return h, buf, err
	}
	if uint32(cap(buf)) < h.length {
		buf = make([]byte, h.length)
	}
	buf = buf[:h.length]
	_, err := io.ReadFull(r, buf)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return h, buf, err
}

// check knows how long each kind may be.
func (h header) check() error {
	least, most := uint32(0), uint32(0)
	switch h.kind {
	case kindCall, kindAnswer:
		least, most = 2, MaxCall
	case kindData:
		least, most = 1, maxData
	case kindCredit:
		least, most = 4, 4
	case kindEnd, kindStop:
	default:
		return fmt.Errorf("%w: of kind %d, which there is not", errBroken, h.kind)
	}
	if h.length < least || h.length > most {
		return fmt.Errorf("%w: of kind %d with %d bytes", errBroken, h.kind, h.length)
	}
	return nil
}
