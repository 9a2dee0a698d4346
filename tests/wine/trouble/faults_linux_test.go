package trouble

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// failing are the functions whose failure a command cannot pass over.
var failing = []string{
	"HcsEnumerateComputeSystems", "HcsCreateComputeSystem", "HcsOpenComputeSystem", "HcsStartComputeSystem", "HcsCreateProcess",
	"HcsSignalProcess", "HcsTerminateProcess", "HcsModifyComputeSystem", "HcsPauseComputeSystem", "HcsResumeComputeSystem",
	"HcsGetComputeSystemProperties", "HcsGrantVmAccess", "ActivateLayer", "PrepareLayer", "GetLayerMountPath",
}

// step is a command in a container's life, and what leads to it.
type step struct {
	name   string
	before func(t *rig.Test, b *rig.Bundle)
	args   func(t *rig.Test, b *rig.Bundle) []string
}

func nothing(*rig.Test, *rig.Bundle)     {}
func created(_ *rig.Test, b *rig.Bundle) { b.Create() }
func started(_ *rig.Test, b *rig.Bundle) { b.Started() }
func of1(args ...string) func(*rig.Test, *rig.Bundle) []string {
	return func(t *rig.Test, _ *rig.Bundle) []string {
		out := make([]string, len(args))
		for i, a := range args {
			out[i] = strings.ReplaceAll(a, "ID", t.ID)
		}
		return out
	}
}

var steps = []step{
	{"create", nothing, func(_ *rig.Test, b *rig.Bundle) []string { return b.Args("create") }},
	{"start", created, of1("start", "ID")},
	{"run", nothing, func(_ *rig.Test, b *rig.Bundle) []string { return b.Args("run", "--detach") }},
	{"exec", started, of1("exec", "ID", "true")},
	{"kill", started, of1("kill", "ID", "KILL")},
	{"ps", started, of1("ps", "--format", "json", "ID")},
	{"events", started, of1("events", "--stats", "ID")},
	{"pause", started, of1("pause", "ID")},
	{"state", started, of1("state", "ID")},
	{"delete", created, of1("delete", "--force", "ID")},
}

// TestEachCallFails lets every call that a command makes of the service fail,
// one command and one function after the other. The command ends, fails with
// HCS's name of it, and once the service is well again delete --force
// removes everything.
func TestEachCallFails(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		for _, s := range steps {
			// A boot takes its time: what has nothing to do with the virtual machine
			// is shown with a silo.
			if kind == rig.Silo && s.name == "pause" || kind != rig.Silo && !slices.Contains([]string{"create", "start", "pause", "delete"}, s.name) {
				continue
			}
			t.Run(s.name, func(sub *testing.T) {
				x := t.In(sub)
				b := x.Bundle(kind, "sleep", "1000")
				s.before(x, b)
				calls := x.Since(func() { x.OK(s.args(x, b)...) })
				x.OK("delete", "--force", x.ID)
				for _, op := range once(calls.Named(failing...).Names()) {
					s.before(x, b)
					x.Fault("op="+op, "hr=0x80370109") // HCS_E_CONNECTION_TIMEOUT
					r := x.Wrun(s.args(x, b)...)
					x.Mend()
					if r.Took > 30*time.Second {
						x.Errorf("with %s failing it took %v", op, r.Took)
					}
					switch {
					case r.Code == 0 && s.name == "delete":
						// Whatever fails, what is to go may have gone by another way.
					case r.Code == 0:
						x.Errorf("%s failed and %s says nothing: %s", op, s.name, r)
					case !strings.Contains(r.Stderr, op) && !strings.Contains(r.Stderr, "HCS_E_") && !strings.Contains(r.Stderr, "0370109"):
						x.Errorf("%s failed, and the error does not say what failed: %s", op, r)
					case strings.Count(r.Stderr, "wrun: ") != 1:
						x.Errorf("%s failed: more than one error: %s", op, r)
					}
					x.OK("delete", "--force", x.ID)
					x.Is(x.ID, "")
					if !x.Nothing() {
						x.Errorf("… when %s had failed", op)
					}
				}
			})
		}
	})
}

// TestSlowService: a service that takes its time is waited for.
func TestSlowService(t *testing.T) {
	x := site.New(t)
	x.Fault("op=HcsCreateComputeSystem", "delay=2s")
	x.Fault("op=HcsStartComputeSystem", "delay=2s")
	b := x.Bundle(rig.Silo, "echo", "late")
	if r := b.Run(); r.Code != 0 || r.Stdout != "late\n" || r.Took < 4*time.Second {
		x.Errorf("in %v: %s", r.Took, r)
	}
}

// TestServiceVanishes has the service go for good at each call of create and
// start, and before each other command.
func TestServiceVanishes(t *testing.T) {
	x := site.New(t)
	hurried(x)
	for _, s := range steps {
		if s.name == "pause" {
			continue
		}
		x.Run(s.name, func(sub *testing.T) {
			x := x.In(sub)
			b := x.Bundle(rig.Silo, "sleep", "1000")
			ops := []string{""}
			if s.name == "create" || s.name == "start" {
				s.before(x, b)
				ops = once(x.Since(func() { x.OK(s.args(x, b)...) }).Named(failing...).Names())
				x.OK("delete", "--force", x.ID)
			}
			for _, op := range ops {
				s.before(x, b)
				x.Fault(strings.Fields("op=" + op + " vanish")...)
				r := x.Wrun(s.args(x, b)...)
				x.Mend()
				if r.Code == 0 || strings.Count(r.Stderr, "wrun: ") != 1 || r.Took > 30*time.Second {
					x.Errorf("the service went at %q, and after %v: %s", op, r.Took, r)
				}
				x.OK("delete", "--force", x.ID)
				if !x.Nothing() {
					x.Errorf("… when the service had gone at %q", op)
				}
			}
		})
	}
}

// TestServiceRestarts: the service goes away under running containers and comes
// back, with its systems, as after a crash of vmcompute.exe.
func TestServiceRestarts(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		hurried(t)
		t.Bundle(kind, "sleep", "1000").Started()
		t.Fault("vanish")
		r := t.Wrun("exec", t.ID, "true")
		if r.Code != 255 || r.Stderr == "" || r.Took > 30*time.Second {
			t.Errorf("exec without a service took %v: %s", r.Took, r)
		}
		t.Mend()
		if s := t.Status(t.ID); s != specs.StateRunning && s != specs.StateStopped {
			t.Errorf("the container is %q", s)
		}
		t.OK("delete", "--force", t.ID)
	})
}
