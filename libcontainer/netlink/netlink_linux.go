package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// Message is a netlink message in the making.
type Message []byte

// New begins a message with the fixed part of its type.
func New(typ, flags uint16, fixed ...byte) Message {
	m := append(make(Message, 0, 256), make([]byte, unix.SizeofNlMsghdr)...)
	native.PutUint16(m[4:], typ)
	native.PutUint16(m[6:], flags|unix.NLM_F_REQUEST)
	return append(m, fixed...).padded()
}

func (m Message) padded() Message {
	for len(m)%unix.NLMSG_ALIGNTO != 0 {
		m = append(m, 0)
	}
	return m
}

// Attr adds an attribute.
func (m *Message) Attr(typ uint16, value []byte) {
	*m = native.AppendUint16(*m, uint16(unix.SizeofRtAttr+len(value)))
	*m = native.AppendUint16(*m, typ)
	*m = append(*m, value...).padded()
}

// Attr32 adds an attribute of 32 bits.
func (m *Message) Attr32(typ uint16, value uint32) { m.Attr(typ, native.AppendUint32(nil, value)) }

// AttrString adds a string, with its end.
func (m *Message) AttrString(typ uint16, s string) { m.Attr(typ, append([]byte(s), 0)) }

// Nest puts what inner adds into an attribute.
func (m *Message) Nest(typ uint16, inner func()) {
	at := len(*m)
	m.Attr(typ|unix.NLA_F_NESTED, nil)
	inner()
	native.PutUint16((*m)[at:], uint16(len(*m)-at))
}

// Attributes calls each with the attributes in b, and ignores a broken rest: the
// kernel writes none.
func Attributes(b []byte, each func(typ uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		each(native.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n])
		b = b[min(aligned(n), len(b)):]
	}
}

func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// Number is an attribute's value as u32, 0 if it is shorter.
func Number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

// Conn is a socket of rtnetlink, in the network namespace of the thread that
// opened it.
type Conn struct {
	fd  int
	seq uint32
	buf []byte
}

// answerWait bounds the wait for the kernel, which answers while it is asked.
const answerWait = 10 // seconds

// Open opens a Conn that also hears of groups, RTMGRP_*.
func Open(groups uint32) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Only an old kernel has no words of its own for what is wrong.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerWait})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up a netlink socket: %w", err)
	}
	// The kernel fills up to 32 KiB with a dump; one entry may be longer.
	return &Conn{fd: fd, buf: make([]byte, 64<<10)}, nil
}

// Close closes the socket.
func (c *Conn) Close() { unix.Close(c.fd) }

// Patience bounds how long Receive waits, instead of 10 seconds.
func (c *Conn) Patience(most time.Duration) error {
	limit := unix.NsecToTimeval(int64(most))
	return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// Do has the kernel do what m asks for.
func (c *Conn) Do(m Message) error {
	_, _, err := c.Ask(m, unix.NLM_F_ACK)
	return err
}

// dumpTries is how often a list is asked for that changes while it is read.
const dumpTries = 10

// Dump returns the bodies of all that m asks for.
func (c *Conn) Dump(m Message) ([][]byte, error) {
	for range dumpTries {
		bodies, whole, err := c.Ask(m, unix.NLM_F_DUMP)
		if err != nil || whole {
			return bodies, err
		}
	}
	return nil, fmt.Errorf("it changed %d times while it was read", dumpTries)
}

// Ask sends m and reads the answer to its end. It is not whole when things
// changed meanwhile.
func (c *Conn) Ask(m Message, flags uint16) (bodies [][]byte, whole bool, err error) {
	c.seq++
	native.PutUint32(m, uint32(len(m)))
	native.PutUint16(m[6:], native.Uint16(m[6:])|flags)
	native.PutUint32(m[8:], c.seq)
	if err := unix.Sendto(c.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, false, err
	}
	whole = true
	for {
		b, err := c.Receive()
		if err != nil {
			return nil, false, err
		}
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(native.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return nil, false, ErrBroken
			}
			typ, flags, seq, body := native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[unix.SizeofNlMsghdr:n]
			b = b[min(aligned(n), len(b)):]
			if seq != c.seq {
				continue
			}
			if flags&unix.NLM_F_DUMP_INTR != 0 {
				whole = false
			}
			switch typ {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				return bodies, whole, failure(typ, flags, body)
			default:
				bodies = append(bodies, append([]byte(nil), body...))
			}
		}
	}
}

// ErrBroken is the error of an answer that cannot be read.
var ErrBroken = errors.New("the kernel's answer is cut off")

// Receive returns what the kernel sends next, in the Conn's buffer.
func (c *Conn) Receive() ([]byte, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(c.fd, c.buf, nil, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case flags&unix.MSG_TRUNC != 0:
			return nil, ErrBroken
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return c.buf[:n], nil
		}
	}
}

// failure is the error that ends an answer, nil for none, with the kernel's own
// words.
func failure(typ, flags uint16, body []byte) error {
	if len(body) < 4 {
		return nil
	}
	code := int32(native.Uint32(body))
	if code == 0 {
		return nil
	}
	err := error(unix.Errno(-code))
	if flags&unix.NLM_F_ACK_TLVS == 0 {
		return err
	}
	rest := body[4:]
	if typ == unix.NLMSG_ERROR && len(rest) >= unix.SizeofNlMsghdr { // what was asked comes first
		skip := unix.SizeofNlMsghdr
		if flags&unix.NLM_F_CAPPED == 0 {
			skip = aligned(int(native.Uint32(rest)))
		}
		rest = rest[min(max(skip, 0), len(rest)):]
	}
	Attributes(rest, func(typ uint16, value []byte) {
		if typ == unix.NLMSGERR_ATTR_MSG {
			err = fmt.Errorf("%w (%s)", err, Text(value))
		}
	})
	return err
}

// Text is a string of the kernel's without its end.
func Text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
