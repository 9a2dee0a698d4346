package uvm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/wire"
)

// link is one end of a unix socket between two processes of wrun's: JSON in
// frames of a length of four bytes, the first of which may carry descriptors.
type link int

// maxDescriptors is how many go with a frame: three streams.
const maxDescriptors = 3

// newLink makes both ends; they are close-on-exec.
func newLink() (ours, theirs link, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	return link(pair[0]), link(pair[1]), nil
}

func (l link) close() { unix.Close(int(l)) }

// patience bounds every later wait of l, for the other end to read or to write;
// 0 is for ever.
func (l link) patience(d time.Duration) error {
	t := unix.NsecToTimeval(d.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(int(l), unix.SOL_SOCKET, option, &t); err != nil {
			return fmt.Errorf("set a deadline: %w", err)
		}
	}
	return nil
}

func (l link) send(v any, fds ...int) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for len(frame) > 0 {
		n, err := unix.SendmsgN(int(l), frame, rights, nil, unix.MSG_NOSIGNAL)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("send: %w", timedOut(err))
		}
		frame, rights = frame[n:], nil
	}
	return nil
}

// receive reads one frame into v. io.EOF when the other end is gone.
func (l link) receive(v any) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
			fds = nil
		}
	}()
	var size [4]byte
	rights := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	for got := 0; got < len(size); {
		n, m, flags, _, err := unix.Recvmsg(int(l), size[got:], rights, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fds, fmt.Errorf("receive: %w", timedOut(err))
		case n == 0:
			return fds, io.EOF
		}
		got += n
		if m > 0 {
			more, err := descriptors(rights[:m])
			if fds = append(fds, more...); err != nil {
				return fds, fmt.Errorf("receive: %w", err)
			}
		}
		if flags&unix.MSG_CTRUNC != 0 || len(fds) > maxDescriptors {
			return fds, errors.New("receive: more descriptors than belong to a message")
		}
	}
	length := binary.LittleEndian.Uint32(size[:])
	if length > wire.MaxCall {
		return fds, fmt.Errorf("receive: a message of %d bytes", length)
	}
	data := make([]byte, length)
	for got := 0; got < len(data); {
		n, err := unix.Read(int(l), data[got:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fds, fmt.Errorf("receive: %w", timedOut(err))
		case n == 0:
			return fds, io.ErrUnexpectedEOF
		}
		got += n
	}
	return fds, json.Unmarshal(data, v)
}

func timedOut(err error) error {
	if err == unix.EAGAIN {
		return unix.ETIMEDOUT
	}
	return err
}

func descriptors(rights []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for i := range messages {
		more, bad := unix.ParseUnixRights(&messages[i])
		if fds = append(fds, more...); bad != nil {
			err = bad
		}
	}
	return fds, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
