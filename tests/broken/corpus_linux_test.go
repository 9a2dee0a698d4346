package broken

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpus: each configuration that the check must refuse is refused by the
// whole binary, too. What the errors say is the bundle package's own test.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("../testdata/bundles/bad/*.json")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v; at least 60 are promised", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			data, err := os.ReadFile(file)
			p.must(err)
			p.must(os.WriteFile(filepath.Join(p.Dir, "config.json"), data, 0o644))
			p.whole = true
			p.ready()
			text := p.oneError(1, "run", "--bundle", p.Dir, p.id)
			want, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".want")
			p.must(err)
			for line := range strings.Lines(string(want)) {
				if line = strings.TrimSuffix(line, "\n"); !strings.Contains(text, line) {
					t.Errorf("the error is\n%q, want in it\n%q", text, line)
				}
			}
		})
	}
}
