package systemd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"wrun/libcontainer/silo/cgroup"
)

// TestHandshake: the server has read BEGIN before a message comes, and what it
// sends right after its last line is a message.
func TestHandshake(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "private"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	m, err := Client{}.Connect(t.Context(), "unix:path="+filepath.Join(dir, "private"))
	if err == nil {
		m.Close()
		t.Fatal("a message bus without Hello")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// serve shakes hands as systemd does that is slow: all that has come is read at
// once. Then it answers one message with an error.
func serve(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	read := func() string {
		time.Sleep(50 * time.Millisecond)
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		return string(b[:n])
	}
	if first := read(); first != "\x00AUTH\r\n" {
		return fmt.Errorf("first came %q", first)
	}
	fmt.Fprint(c, "REJECTED EXTERNAL\r\n")
	if rest := read(); rest != "AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n" {
		return fmt.Errorf("then came %q", rest)
	}
	signal := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/a")), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("C"),
	}}
	early := bytes.NewBufferString("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n")
	if err := signal.EncodeTo(early, binary.LittleEndian); err != nil {
		return err
	}
	if _, err := early.WriteTo(c); err != nil {
		return err
	}
	hello, err := dbus.DecodeMessage(bufio.NewReader(c))
	if err != nil {
		return err
	}
	if name := hello.Headers[dbus.FieldMember].Value(); name != "Hello" {
		return fmt.Errorf("the first message is %v", name)
	}
	answer := &dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(hello.Serial()), dbus.FieldErrorName: dbus.MakeVariant("a.b.D"),
	}}
	return answer.EncodeTo(c, binary.LittleEndian)
}

func TestUserAddresses(t *testing.T) {
	for _, c := range []struct{ dir, bus, want string }{
		{"", "", ""},
		{"/run/user/1", "", "unix:path=/run/user/1/systemd/private unix:path=/run/user/1/bus"},
		{"/run/u ser", "unix:abstract=a,guid=1;unix:path=/b", "unix:path=/run/u%20ser/systemd/private unix:abstract=a,guid=1 unix:path=/b"},
		{"", "unix:path=/b", "unix:path=/b"},
	} {
		got := userAddresses(func(name string) string {
			return map[string]string{"XDG_RUNTIME_DIR": c.dir, "DBUS_SESSION_BUS_ADDRESS": c.bus}[name]
		})
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q and %q: %q", c.dir, c.bus, got)
		}
	}
}

// TestNoSocket: what is no socket, or one that nobody listens at, is no systemd.
func TestNoSocket(t *testing.T) {
	for _, address := range []string{"unixexec:path=/bin/true", "tcp:host=localhost,port=1", "unix:", "unix:path=/nowhere", "unix:path=/dev/null", "unix:abstract=nowhere", "unix:path=%zz"} {
		m, err := Client{}.Connect(t.Context(), address)
		if err == nil {
			m.Close()
		}
		if wrong := strings.HasSuffix(address, "%zz"); err == nil || !wrong && !errors.Is(err, cgroup.ErrNoSystemd) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
