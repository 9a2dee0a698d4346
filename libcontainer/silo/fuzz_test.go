package silo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
)

// FuzzCompile: whatever config.json says, compiling it never panics and every
// plan is sound. What bundle.Check guarantees and Compile builds upon is all
// that is asked of the input: a root, and arguments where there is a process.
func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"good/*.json", "bad/*.json"} {
		files, err := filepath.Glob(filepath.Join("../../tests/testdata/bundles", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, uint16(len(data)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, machine uint16) {
		b, err := bundle.Parse("/bundle", data)
		if err != nil || b.Spec.Root == nil || b.Spec.Process != nil && len(b.Spec.Process.Args) == 0 {
			return
		}
		in := &Input{ID: "fuzz", Bundle: "/bundle", Spec: b.Spec, Facts: TypicalFacts()}
		bit := func(n int) bool { return machine&(1<<n) != 0 }
		if bit(0) {
			v1(in)
		}
		in.NoPivot, in.NoNewKeyring, in.Hooks, in.DenySetgroups = bit(1), bit(2), bit(3), bit(4)
		in.Streams, in.Preserve = [3]bool{bit(5), bit(6), bit(7)}, int(machine>>14)
		in.Facts.AppArmor = bit(8)
		if bit(9) {
			in.Facts.Grantable = 0
		}
		in.Facts.Resolved, in.Facts.NotDir = map[string]string{}, map[string]bool{}
		for _, m := range b.Spec.Mounts {
			if bit(10) {
				in.Facts.NotDir[m.Source] = true
			}
			if bit(11) {
				in.Facts.Resolved[m.Destination] = "/else" + m.Destination
			}
		}
		if p, err := Compile(in); err == nil {
			checkPlan(t, p)
		}
		if b.Spec.Process == nil {
			return
		}
		if p, err := CompileExec(in, b.Spec.Process); err == nil {
			checkPlan(t, p)
		}
		if h := b.Spec.Hooks; h != nil {
			for _, hook := range append(h.StartContainer, specs.Hook{}) {
				checkPlan(t, CompileHook(in, hook))
			}
		}
	})
}
