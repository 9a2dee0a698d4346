package uvm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	files, _, err := m.pin("a", append(sockets(mostSockets-2), Share{Source: file, Name: "f"}, Share{Source: file + "x", Name: "none"}))
	if err != nil || len(files) != 2 || files[0].Name != "f" || len(m.socketsOf("a")) != mostSockets-2 {
		t.Errorf("%d sockets and %v, %v", len(m.socketsOf("a")), files, err)
	}
	if _, _, err := m.pin("b", sockets(3)); err == nil || !strings.Contains(err.Error(), "129 sockets") {
		t.Errorf("too many: %v", err)
	}
	m.unpin("a")
	if _, _, err := m.pin("b", sockets(mostSockets)); err != nil || m.socketsOf("a") != nil {
		t.Errorf("when others have left: %v", err)
	}
	if _, _, err := m.pin("c", nil); err != nil || m.socketsOf("c") != nil {
		t.Errorf("none: %v", err)
	}
	m.unpin("b")
	m.unpin("c")
}
