package sockets

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wrun/libcontainer/uvm/wire"
)

// FuzzDial: whatever a guest asks for and sends, it reaches no socket but those
// that are mounted, and all that it was connected with ends with it.
func FuzzDial(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("not root: the host connects as the user who connects in the guest")
	}
	path := filepath.Join(f.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	// As package wire has frames.
	const call, data, end, credit, stop = 0, 2, 3, 4, 5
	frame := func(kind byte, number uint32, payload string) []byte {
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
		return append(binary.LittleEndian.AppendUint32(append(head, kind), number), payload...)
	}
	const first = 1<<31 | 1
	dial := frame(call, 1, `{"op":"dial","in":{"id":"c","name":"m1","stream":2147483649,"uid":1,"gid":2,"groups":[3]}}`)
	for _, seed := range [][]byte{
		nil,
		slices.Concat(dial, frame(data, first, "hello"), frame(end, first, "")),
		slices.Concat(dial, frame(stop, first, ""), frame(data, first, "hello")),
		slices.Concat(dial, dial, frame(credit, first, "\x01\x00\x00\x00")),
		slices.Concat(frame(data, first, "early"), dial, frame(end, first, ""), frame(data, first, "late")),
		slices.Concat(dial, frame(data, first, strings.Repeat("x", 32<<10)), frame(stop, first, ""), frame(end, first, "")),
		frame(call, 1, `{"op":"dial","in":{"name":"../../m1","stream":2147483649}}`),
		frame(call, 1, `{"op":"dial","in":{"name":"m1","stream":1,"uid":4294967295}}`),
		frame(call, 1, `{"op":"dial","in":{"name":"m1","stream":2147483650,"uid":-1,"groups":null}}`),
		bytes.Repeat(dial, 10),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		p := Pin()
		if _, err := p.Add("m1", path); err != nil {
			t.Fatal(err)
		}
		var c *wire.Conn
		c = wire.New(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(said), io.Discard}, func(_ string, in json.RawMessage) (any, error) {
			var d wire.Dial
			if err := json.Unmarshal(in, &d); err != nil {
				return nil, err
			}
			err := p.Dial(c, d)
			if err == nil && d.Name != "m1" {
				t.Errorf("the guest was connected with %q", d.Name)
			}
			return nil, err
		})
		_ = c.Run()
		p.Close()
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			live := len(p.live)
			p.mu.Unlock()
			if live == 0 && len(p.slots) == 0 {
				break
			}
			if time.Since(begun) > patience {
				t.Fatalf("%d connections stay, and %d slots", live, len(p.slots))
			}
		}
	})
}
