package hcsemu

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestNothingIsLeft is the last by the name of its file.
func TestNothingIsLeft(t *testing.T) {
	var left struct{ Systems, Layers, Endpoints, Namespaces, Machines, Handles []any }
	text := ctl(t, "leftovers")
	if err := json.Unmarshal([]byte(text), &left); err != nil {
		t.Fatal(err)
	}
	if len(left.Systems)+len(left.Layers)+len(left.Endpoints)+len(left.Namespaces)+len(left.Machines)+len(left.Handles) > 0 {
		t.Errorf("left: %s", text)
	}
	if path := os.Getenv("HCSEMU_JOURNAL"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), `"op":"HcsCreateComputeSystem"`) {
			t.Errorf("the journal has no create: %v", err)
		}
	}
}
