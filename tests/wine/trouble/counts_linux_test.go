package trouble

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestCallCounts: how many calls of the Host Compute Service a silo's commands
// cost, the monitor's included, against runhcs's counts, measured with v0.11.8:
// create 6, state 6, start 10, kill 11, delete 1 (and it unmounted nothing).
func TestCallCounts(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "sleep", "1000")
	count := func(name string, most int, f func()) {
		t.Helper()
		calls := x.Since(f).HCS()
		// Behind the program's end the monitor takes the system down, in its own
		// time; runhcs's shim needs 6 more calls for that.
		if i := slices.Index(calls.Names(), "HcsTerminateProcess"); i >= 0 {
			calls = calls[:i+1]
		}
		t.Logf("%s: %d calls of HCS: %s", name, len(calls), calls)
		if len(calls) > most {
			t.Errorf("%s: %d calls of HCS, want at most %d: %s", name, len(calls), most, calls)
		}
		if len(calls) == 0 && name != "delete" { // whose system its monitor has seen end
			t.Errorf("%s: no calls of HCS: the journal was not read", name)
		}
	}
	create := b.Args("create")
	count("create", 4, func() { x.OK(create...) })
	count("state of a created one", 3, func() { x.OK("state", x.ID) })
	count("start", 6, func() { x.OK("start", x.ID) })
	count("state of a running one", 3, func() { x.OK("state", x.ID) })
	count("kill", 4, func() { x.OK("kill", x.ID, "KILL") })
	x.Becomes(x.ID, specs.StateStopped)
	x.Until("the monitor has gone", func() bool { return x.Images("wrun.exe") == 0 })
	count("delete", 4, func() { x.OK("delete", x.ID) })
}
