package uvm

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDisconnectLeavesOthers: by the time of delete, the path of a namespace may
// lead to another one, or nowhere. Neither is an error, and nothing is done there.
func TestDisconnectLeavesOthers(t *testing.T) {
	const own = "/proc/self/ns/net"
	id, err := namespaceID(own)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*handle{
		"none":              {},
		"another namespace": {Network: own, NetworkID: id + "0"},
		"no namespace":      {Network: file, NetworkID: id},
		"nothing":           {Network: file + ".gone", NetworkID: id},
	} {
		if err := h.disconnect(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
