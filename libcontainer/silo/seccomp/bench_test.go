package seccomp

import (
	"encoding/json"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/bpf"
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

// TestCost holds what does not depend on the machine: three architectures of
// the engine's profile fit a tenth of the kernel's limit, and a call is
// answered within 20 instructions, personality(2) with its five values included.
func TestCost(t *testing.T) {
	s := engineProfile(t)
	f, _, err := Compile(s, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Program) > maxInstructions/10 {
		t.Errorf("%d instructions", len(f.Program))
	}
	most := 0
	for number := range uint32(600) {
		_, steps, err := bpf.Run(f.Program, bpf.Call{Number: number, Arch: auditX86_64, Args: [6]uint64{5}})
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, steps)
	}
	if most > 20 {
		t.Errorf("a call takes %d instructions", most)
	}
	if allocs := testing.AllocsPerRun(10, func() { _, _, _ = Compile(s, "amd64") }); allocs > 150 {
		t.Errorf("%v allocations", allocs)
	}
}
