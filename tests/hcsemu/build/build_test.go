package build

import (
	"os"
	"path/filepath"
	"testing"
)

// TestClone: links, but for the registry, which Wine writes into.
func TestClone(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.Mkdir(from, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"system.reg", "file"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clone(from, to); err != nil {
		t.Fatal(err)
	}
	for name, linked := range map[string]bool{"system.reg": false, "file": true} {
		a, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.Stat(filepath.Join(to, name))
		if err != nil || os.SameFile(a, b) != linked {
			t.Errorf("%s: the same file is %v, %v; want %v", name, os.SameFile(a, b), err, linked)
		}
	}
	if err := Clone(filepath.Join(from, "none"), filepath.Join(to, "x")); err == nil {
		t.Error("nothing was cloned")
	}
}

func TestSource(t *testing.T) {
	from, err := source()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries() {
		for _, s := range l.sources {
			if _, err := os.Stat(filepath.Join(from, "dll", s)); err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
		}
	}
}
