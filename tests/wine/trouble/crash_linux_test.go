package trouble

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/wine/rig"
)

// TestCrash ends wrun.exe as TerminateProcess does at every point of its way
// where something new is left behind. Afterwards state answers, delete --force
// removes everything, and the id can live again.
func TestCrash(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.UseFaultBuild()
		for _, point := range libcontainer.FaultPoints {
			if kind != rig.Silo && !slices.Contains(virtual, point) {
				continue
			}
			t.Run(point, func(sub *testing.T) {
				x := t.In(sub)
				b := hooked(x, kind)
				if !dies(x, b, point) {
					return
				}
				if s := x.Status(x.ID); !plausible(point, s) {
					x.Errorf("killed at %s, the container is %q", point, s)
				}
				x.OK("delete", "--force", x.ID)
				x.Is(x.ID, "")
				x.Nothing()
				x.OK("delete", "--force", x.ID)
				b.Started()
				x.Is(x.ID, specs.StateRunning)
				x.OK("delete", "--force", x.ID)
				x.Nothing()
			})
		}
	})
}

// virtual are the points that a container with a virtual machine is killed at: a
// boot takes its time, and the core is the same for all.
var virtual = []string{
	libcontainer.FaultCreateRecorded, libcontainer.FaultCreateBuilt, libcontainer.FaultCreateComplete,
	libcontainer.FaultStartReleased, libcontainer.FaultDeleteClosed,
}

// hooked is a bundle that passes every fault point there is on Windows.
func hooked(t *rig.Test, kind rig.Kind) *rig.Bundle {
	b := t.Bundle(kind, "sleep", "1000")
	hook := []specs.Hook{{Path: `C:\windows\system32\true.exe`, Args: []string{"true"}}}
	b.Spec.Hooks = &specs.Hooks{CreateRuntime: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
	return b
}

// dies leads a container's life until wrun is killed at point.
func dies(t *rig.Test, b *rig.Bundle, point string) bool {
	t.Helper()
	operation, _, _ := strings.Cut(point, ".")
	calls := [][]string{
		b.Args("create", "--pid-file", t.Dir+`\pid`),
		{"start", t.ID},
		{"exec", "--detach", "--pid-file", t.Dir + `\execpid`, t.ID, "sleep", "1000"},
		{"delete", "--force", t.ID},
	}
	for _, args := range calls {
		if args[0] != operation {
			t.OK(args...)
			continue
		}
		c := t.Command(args...)
		c.Env = append(c.Env, "WRUN_FAULT="+point)
		// TerminateProcess gives the code 1, as a failure does, but nobody is
		// left to say why.
		if r := t.Do(c); r.Code != 1 || r.Stderr != "" {
			t.Errorf("%s was not killed at %s: %s", operation, point, r)
			return false
		}
		return true
	}
	t.Errorf("no operation passes %s", point)
	return false
}

// plausible says what a container may be after a death at point. A monitor
// whose creator dies before its facts are complete ends by itself, a moment
// later.
func plausible(point string, s specs.ContainerState) bool {
	operation, _, _ := strings.Cut(point, ".")
	switch {
	case point == libcontainer.FaultCreateReserved || point == libcontainer.FaultCreateCopied || point == libcontainer.FaultDeleteForgotten:
		return s == ""
	case operation == "create":
		return s == specs.StateStopped || s == specs.StateCreating || point == libcontainer.FaultCreateComplete && s == specs.StateCreated
	case point == libcontainer.FaultStartLocked || point == libcontainer.FaultStartHooked:
		return s == specs.StateCreated
	case operation == "start" || operation == "exec" || point == libcontainer.FaultDeleteLocked:
		return s == specs.StateRunning
	}
	return s == specs.StateStopped
}

// TestServiceDropsOut: a create that dies between its calls of the service, at
// each of them in turn, leaves nothing that delete --force does not remove.
func TestServiceDropsOut(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		calls := t.Since(func() { b.Create() })
		t.OK("delete", "--force", t.ID)
		for _, op := range once(calls.HCS().Named(failing...).Names()) {
			t.Fault("op="+op, "drop")
			if r := t.Wrun(b.Args("create")...); r.Code == 0 {
				t.Errorf("create with every %s dropped: %s", op, r)
			}
			t.Mend()
			t.OK("delete", "--force", t.ID)
			if !t.Nothing() {
				t.Errorf("… when %s was dropped", op)
			}
		}
	})
}

// once keeps the first of each.
func once(all []string) []string {
	var some []string
	for _, s := range all {
		if !slices.Contains(some, s) {
			some = append(some, s)
		}
	}
	return some
}
