package image

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// lz4Magic starts a frame of LZ4's first ("legacy") form, the one that
// `lz4 -l` writes and the kernel's build uses.
const lz4Magic = 0x184C2102

// lz4Block is how much a block of a legacy frame can hold when unpacked.
const lz4Block = 8 << 20

var errLZ4 = errors.New("the lz4 data is damaged")

// unlz4 unpacks a legacy frame. Debian's kernel is packed so, Debian's base
// system has no lz4, and the format is a page: hence our own.
//
// A frame is the magic number, then blocks, each behind its length. A magic
// number instead of a length starts a further frame.
func unlz4(data []byte) ([]byte, error) {
	if len(data) < 4 || binary.LittleEndian.Uint32(data) != lz4Magic {
		return nil, fmt.Errorf("%w: it does not begin with a frame", errLZ4)
	}
	var out []byte
	for rest := data[4:]; len(rest) > 0; {
		if len(rest) < 4 {
			return nil, fmt.Errorf("%w: it ends within a length", errLZ4)
		}
		size := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		if size == lz4Magic {
			continue
		}
		if uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: a block of %d bytes has only %d", errLZ4, size, len(rest))
		}
		var err error
		if out, err = unlz4Block(out, rest[:size]); err != nil {
			return nil, err
		}
		rest = rest[size:]
	}
	return out, nil
}

// unlz4Block appends what a block holds. It is a list of: a token, literal
// bytes, and a distance back to bytes that come again. The token's halves are
// the number of literals and of repeated bytes over 4; the last has no repeat.
func unlz4Block(out, block []byte) ([]byte, error) {
	start := len(out)
	for at := 0; at < len(block); {
		token := block[at]
		at++
		literals, at2, err := lz4Length(block, at, int(token>>4))
		if err != nil {
			return nil, err
		}
		at = at2
		if literals > len(block)-at || len(out)-start+literals > lz4Block {
			return nil, fmt.Errorf("%w: %d literal bytes are too many", errLZ4, literals)
		}
		out = append(out, block[at:at+literals]...)
		if at += literals; at == len(block) {
			return out, nil
		}
		if len(block)-at < 2 {
			return nil, fmt.Errorf("%w: a block ends within a distance", errLZ4)
		}
		back := int(binary.LittleEndian.Uint16(block[at:]))
		repeat, at2, err := lz4Length(block, at+2, int(token&15))
		if err != nil {
			return nil, err
		}
		at = at2
		repeat += 4
		if back == 0 || back > len(out)-start || len(out)-start+repeat > lz4Block {
			return nil, fmt.Errorf("%w: %d bytes from %d before cannot come again", errLZ4, repeat, back)
		}
		// A repeat may reach into itself: 1 back, 100 long is one byte 100 times.
		for repeat > 0 {
			n := min(repeat, back)
			out = append(out, out[len(out)-back:len(out)-back+n]...)
			repeat -= n
		}
	}
	return nil, fmt.Errorf("%w: a block does not end with literal bytes", errLZ4)
}

// lz4Length reads a length that started in a token's half: 15 goes on in the
// bytes that follow, until one is not 255.
func lz4Length(block []byte, at, n int) (length, next int, err error) {
	if n < 15 {
		return n, at, nil
	}
	for at < len(block) {
		b := block[at]
		at++
		if n += int(b); b != 255 {
			return n, at, nil
		}
		if n > lz4Block {
			break
		}
	}
	return 0, 0, fmt.Errorf("%w: a length has no end", errLZ4)
}
