package life

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestIsolationModes is the experiment of Microsoft's page "Isolation Modes":
// a container pings; in process isolation its ping is a process of the host,
// with the same id; under Hyper-V it is none of the host's, which shows the
// worker process of a virtual machine instead.
func TestIsolationModes(t *testing.T) {
	ping := []string{"ping", "-n", "100000", "localhost"} // Wine's has no -t
	t.Run("process", func(t *testing.T) {
		x := site.New(t)
		x.Bundle(rig.Silo, ping...).Started()
		inside := x.Pids()
		if len(inside) != 1 {
			x.Fatalf("processes in the container: %v", inside)
		}
		if image := x.Image(inside[0]); image != "ping.exe" {
			x.Errorf("on the host process %d is %q, want ping.exe", inside[0], image)
		}
		if x.Images("vmwp.exe") != 0 {
			x.Error("the host shows a virtual machine")
		}
	})
	for _, kind := range rig.HyperV {
		t.Run(string(kind), func(t *testing.T) {
			x := site.New(t)
			x.Bundle(kind, ping...).Started()
			if inside := x.Pids(); len(inside) != 1 {
				x.Errorf("processes in the container: %v", inside)
			}
			if n := x.Images("ping.exe"); n != 0 {
				x.Errorf("the host shows %d ping.exe", n)
			}
			if n := x.Images("vmwp.exe"); n != 1 {
				x.Errorf("the host shows %d worker processes, want 1", n)
			}
		})
	}
}

// TestWorkerKilled: a virtual machine that dies takes its container with it,
// and wrun says so.
func TestWorkerKilled(t *testing.T) {
	site.Of(t, rig.HyperV, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		all := t.Processes()
		i := slices.IndexFunc(all, func(p rig.Process) bool { return p.Image == "vmwp.exe" })
		if i < 0 {
			t.Fatalf("no worker process among %v", all)
		}
		t.Terminate(all[i].Pid)
		t.Becomes(t.ID, specs.StateStopped)
		t.Refused([]string{"stopped container"}, "exec", t.ID, "true")
		t.OK("delete", t.ID)
	})
}

// TestReboot: after a power failure no container runs, and each can be deleted.
func TestReboot(t *testing.T) {
	x := site.New(t)
	for i, kind := range rig.Kinds {
		id := x.ID + string(rune('a'+i))
		x.Bundle(kind, "sleep", "1000").CreateAs(id)
		if kind != rig.Silo {
			x.OK("start", id) // the silo is only created
		}
	}
	x.Must(x.Reboot())
	for i := range rig.Kinds {
		id := x.ID + string(rune('a'+i))
		x.Is(id, specs.StateStopped)
		if s := x.State(id); s.Pid != 0 {
			x.Errorf("after a reboot container %s has pid %d", id, s.Pid)
		}
		x.OK("delete", id)
	}
}
