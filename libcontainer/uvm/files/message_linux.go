package files

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is one message of the guest, found to have its operation's shape. All
// of it lies in the worker's buffer.
type request struct {
	*inHeader
	fixed []byte
	// names keep their NUL, so that they go to a system call as they are.
	names [2][]byte
	data  []byte
}

// The errors of a message that no kernel sends. They end the connection: its
// other end is not the guest kernel, or no longer in step.
var (
	errFrameLength = errors.New("length out of bounds")
	errFrameShape  = errors.New("message does not have the shape of its operation")
)

// frameLength returns the length a message announces, of which at least four
// bytes are there.
func frameLength(b []byte, header int) (int, error) {
	n := *view[uint32](b)
	if n < uint32(header) || n > maxFrame {
		return 0, fmt.Errorf("message of %d bytes: %w", n, errFrameLength)
	}
	return int(n), nil
}

// decode checks the message against its operation's shape and takes it apart.
func (r *request) decode(frame []byte) error {
	*r = request{inHeader: view[inHeader](frame)}
	if r.opcode >= uint32(len(shapes)) || !shapes[r.opcode].known {
		return nil
	}
	is := &shapes[r.opcode]
	rest := frame[inHeaderSize:]
	if uintptr(len(rest)) < is.fixed {
		return fmt.Errorf("operation %d of %d bytes: %w", r.opcode, len(frame), errFrameShape)
	}
	r.fixed, rest = rest[:is.fixed], rest[is.fixed:]
	for i := range is.names {
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return fmt.Errorf("operation %d, unterminated name: %w", r.opcode, errFrameShape)
		}
		r.names[i], rest = rest[:end+1], rest[end+1:]
	}
	if !is.data && len(rest) > 0 {
		return fmt.Errorf("operation %d, %d bytes too many: %w", r.opcode, len(rest), errFrameShape)
	}
	r.data = rest
	return nil
}

// in views the fixed part of the request as its struct. The buffer and the
// header are aligned to eight bytes, and decode compared the size.
func in[T any](r *request) *T { return view[T](r.fixed) }

func view[T any](b []byte) *T { return (*T)(unsafe.Pointer(&b[0])) }

func sizeOf[T any]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// out makes the reply one struct, and returns it to be filled in.
func out[T any](w *worker) *T {
	var zero T
	p := view[T](w.payload())
	*p = zero
	w.replied = sizeOf[T]()
	return p
}

// payload is the part of the reply behind its header.
func (w *worker) payload() []byte { return w.reply[outHeaderSize:] }

// component tells whether the name is one a file can have in a directory. It is
// what confines the guest: a name with a slash or a dot-dot would walk.
func component(name []byte) bool {
	text := name[:len(name)-1]
	switch {
	case len(text) == 0, len(text) == 1 && text[0] == '.', len(text) == 2 && text[0] == '.' && text[1] == '.':
		return false
	}
	return bytes.IndexByte(text, '/') < 0
}

// receive returns the next request's bytes, nil when the connection has ended.
// The worker holds the turn.
func (w *worker) receive() ([]byte, error) {
	s := w.server
	if s.ended {
		return nil, nil
	}
	n := copy(w.request, s.surplus)
	s.surplus = s.surplus[:0]
	for {
		if n >= 4 {
			length, err := frameLength(w.request, inHeaderSize)
			if err != nil {
				return nil, err
			}
			if n >= length {
				s.surplus = append(s.surplus, w.request[length:n]...)
				return w.request[:length], nil
			}
		}
		got, err := read(s.conn, w.request[n:])
		if got > 0 {
			n += got
			continue
		}
		// The end of QEMU, which cannot be told from the end of the guest, comes
		// as either; a message cut short by it is of no interest.
		if err == 0 || err == unix.ECONNRESET {
			return nil, nil
		}
		return nil, fmt.Errorf("receive from the guest: %w", err)
	}
}

// send replies to the request. Of an error only the number goes out.
func (w *worker) send(unique uint64, errno unix.Errno) error {
	if errno == unix.EMFILE {
		// The limit is the server's; to the guest's process it is the system's.
		errno = unix.ENFILE
	}
	if errno != 0 {
		w.replied = 0
	}
	n := outHeaderSize + w.replied
	*view[outHeader](w.reply) = outHeader{length: uint32(n), errno: -int32(errno), unique: unique}
	s := w.server
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := writeAll(s.conn, w.reply[:n]); err != 0 {
		return fmt.Errorf("reply to the guest: %w", err)
	}
	return nil
}
