package sockets

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"wrun/libcontainer/uvm/wire"
)

// patience is used up by a test that fails only.
const patience = 20 * time.Second

// rig is a host and a guest in one process.
type rig struct {
	*testing.T
	host      *wire.Conn
	guest     *wire.Conn
	pinned    *Pinned
	listeners *Listeners
	source    string       // the host's socket
	path      string       // the guest's
	server    net.Listener // at source
	breakWire func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: the host connects as the user who connects in the guest")
	}
	r := &rig{T: t, pinned: Pin(), source: filepath.Join(t.TempDir(), "source")}
	var err error
	if r.server, err = net.Listen("unix", r.source); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(r.source, 12, 34); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.source, 0o760); err != nil {
		t.Fatal(err)
	}
	socket, err := r.pinned.Add("m3", r.source)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	r.host = wire.New(a, func(_ string, in json.RawMessage) (any, error) {
		var d wire.Dial
		if err := json.Unmarshal(in, &d); err != nil {
			return nil, err
		}
		return nil, r.pinned.Dial(r.host, d)
	})
	r.guest = wire.New(b, nil)
	r.breakWire = func() { a.Close(); b.Close() }
	go r.host.Run()  //nolint:errcheck // ends with the pipe
	go r.guest.Run() //nolint:errcheck // ends with the pipe
	if r.listeners, err = Listen(r.guest, "c", t.TempDir(), []wire.Socket{socket}); err != nil {
		t.Fatal(err)
	}
	r.path = r.listeners.Path("m3")
	t.Cleanup(func() {
		r.listeners.Close()
		r.pinned.Close()
		r.server.Close()
		r.breakWire()
	})
	return r
}

// accept is the server's end of the next connection.
func (r *rig) accept() *net.UnixConn {
	r.Helper()
	_ = r.server.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	c, err := r.server.Accept()
	if err != nil {
		r.Fatal(err)
	}
	return r.patient(c)
}

// dial is the client's end of a new one.
func (r *rig) dial() *net.UnixConn {
	r.Helper()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		r.Fatal(err)
	}
	return r.patient(c)
}

func (r *rig) patient(c net.Conn) *net.UnixConn {
	_ = c.SetDeadline(time.Now().Add(patience))
	r.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

// both are the two ends of one.
func (r *rig) both() (client, server *net.UnixConn) {
	r.Helper()
	client = r.dial()
	return client, r.accept()
}

func (r *rig) says(from, to *net.UnixConn, words string) {
	r.Helper()
	if _, err := io.WriteString(from, words); err != nil {
		r.Fatal(err)
	}
	got := make([]byte, len(words))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != words {
		r.Fatalf("%q arrived of %q: %v", got, words, err)
	}
}

// ends fails unless c brings its end next.
func (r *rig) ends(what string, c *net.UnixConn) {
	r.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		r.Fatalf("%s: %d bytes and %v, not the end", what, n, err)
	}
}

// freed waits until nothing is relayed any more, on either side.
func (r *rig) freed() {
	r.Helper()
	r.until("all connections are gone", func() bool { return len(r.pinned.slots) == 0 && len(r.listeners.slots) == 0 })
	r.empty()
}

// empty waits until neither side knows of a connection.
func (r *rig) empty() {
	r.Helper()
	for side, of := range map[string]*relays{"host": &r.pinned.relays, "guest": &r.listeners.relays} {
		r.until("the "+side+" forgets all", func() bool {
			of.mu.Lock()
			defer of.mu.Unlock()
			return len(of.live) == 0
		})
	}
}

func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			r.Fatalf("not within %v: %s", patience, what)
		}
	}
}
