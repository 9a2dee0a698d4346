package seccomp

import (
	"encoding/json"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engineProfile has the shape of the profile engines send: some 350 allowed
// names, a few with conditions, three architectures.
func engineProfile(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	data, err := os.ReadFile("testdata/engine.json")
	if err != nil {
		t.Fatal(err)
	}
	s := new(specs.LinuxSeccomp)
	if err := json.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func BenchmarkEngineProfile(b *testing.B) {
	s := engineProfile(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Compile(s, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
