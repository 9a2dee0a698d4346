package systemd

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// socket is a D-Bus connection that brings the handshake to its end in one go.
// A server of systemd's reads more than the handshake where it can, but then
// waits for more to read before it looks at that: who sends a message right
// after BEGIN, as godbus does, may wait in vain for the answer. When it has
// answered what came together with BEGIN, it has read BEGIN.
type socket struct {
	file *os.File
	in   *bufio.Reader
	over bool // the handshake is; messages follow
}

// Write sends the rest of the handshake with the mechanism's name, and nothing
// when its turn comes.
func (s *socket) Write(p []byte) (int, error) {
	switch line := string(p); {
	case s.over:
	case line == external:
		_, err := s.file.WriteString(external + data + begin)
		return len(p), err
	case line == data:
		return len(p), nil
	case line == begin:
		s.over = true
		return len(p), nil
	}
	return s.file.Write(p)
}

// The handshake's lines, after the mechanisms were asked for.
const (
	external = "AUTH EXTERNAL\r\n"
	data     = "DATA\r\n" // of no name
	begin    = "BEGIN\r\n"
)

// Read reads a line of the handshake at a time: the first message may be there
// already, and is not godbus's to read ahead.
func (s *socket) Read(p []byte) (int, error) {
	if s.over {
		return s.in.Read(p)
	}
	line, err := s.in.ReadSlice('\n')
	return copy(p, line), err
}

// Close ends the connection.
func (s *socket) Close() error { return s.file.Close() }

// dial connects to a D-Bus address of the form unix:path=… or unix:abstract=….
// Nothing else is taken: who reads an address that somebody else has saved must
// not execute what it says ("unixexec:").
func dial(address string) (*socket, error) {
	options, ok := strings.CutPrefix(address, "unix:")
	name := ""
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		value, err := dbus.UnescapeBusAddressValue(value)
		switch {
		case err != nil:
			return nil, err
		case key == "path":
			name = value
		case key == "abstract":
			name = "@" + value
		}
	}
	if !ok || name == "" {
		return nil, fmt.Errorf("the address names no socket: %w", unix.EAFNOSUPPORT)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// A connect that blocks waits for its turn where many call at once.
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err == nil {
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	return &socket{file: f, in: bufio.NewReader(f)}, nil
}
