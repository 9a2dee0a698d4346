package uvm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wrun/libcontainer/uvm/wire"
)

// TestPin: sockets are taken out of the shares, as many as a VM can have.
func TestPin(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "f")
	l, err := net.Listen("unix", socket)
	if err == nil {
		defer l.Close()
		err = os.WriteFile(file, nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	sockets := func(n int) (all []Share) {
		for i := range n {
			all = append(all, Share{Source: socket, Name: fmt.Sprint("m", i)})
		}
		return all
	}
	m := &monitor{}
	// asked is the agent's request for a container whose start was worked out.
	asked := func(id string) *wire.Create {
		c := &wire.Create{ID: id, Start: []byte("{}")}
		m.withSockets(c)
		return c
	}
	files, _, err := m.pin("a", append(sockets(mostSockets-2), Share{Source: file, Name: "f"}, Share{Source: file + "x", Name: "none"}))
	if err != nil || len(files) != 2 || files[0].Name != "f" || len(asked("a").Sockets) != mostSockets-2 {
		t.Errorf("%d sockets and %v, %v", len(asked("a").Sockets), files, err)
	}
	if asked("a").Start != nil {
		t.Error("a start that does not know of the agent's sockets is asked for")
	}
	if _, _, err := m.pin("b", sockets(3)); err == nil || !strings.Contains(err.Error(), "129 sockets") {
		t.Errorf("too many: %v", err)
	}
	m.unpin("a")
	if _, _, err := m.pin("b", sockets(mostSockets)); err != nil || asked("a").Sockets != nil {
		t.Errorf("when others have left: %v", err)
	}
	if _, _, err := m.pin("c", nil); err != nil || asked("c").Sockets != nil || asked("c").Start == nil {
		t.Errorf("none: %v", err)
	}
	m.unpin("b")
	m.unpin("c")
}
