package life

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// This file is about containers that run: looking at them, pausing them,
// changing their limits.

// TestProcessList: ids as JSON, init first, and a table that a person reads.
func TestProcessList(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		out := t.Bundle(kind, "probe", "family").Started()
		t.Until("the family is complete", func() bool { return strings.Contains(out.Later(), "\n") })
		family := strings.Fields(out.Later())
		all := t.Pids()
		if len(all) != 2 || strconv.Itoa(all[0]) != family[0] || strconv.Itoa(all[1]) != family[1] {
			t.Errorf("ps has %v, the container's processes are %v", all, family)
		}
		table := rig.Lines(t.OK("ps", t.ID).Stdout)
		if len(table) != 3 || !strings.Contains(table[0], "PID") {
			t.Fatalf("table: %q", table)
		}
		for i, pid := range family {
			if !strings.Contains(table[1+i], pid) || !strings.Contains(table[1+i], "probe.exe") {
				t.Errorf("process %s in the table: %q", pid, table[1+i])
			}
		}
	})
}

// TestProcessListOfStopped: empty, and no error.
func TestProcessListOfStopped(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "true").Started()
		t.Becomes(t.ID, specs.StateStopped)
		if all := t.Pids(); len(all) != 0 {
			t.Errorf("processes: %v", all)
		}
		t.OK("delete", t.ID)
	})
}

// TestPause: HCS pauses virtual machines.
func TestPause(t *testing.T) {
	site.Of(t, rig.HyperV, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		t.OK("pause", t.ID)
		t.Is(t.ID, "paused")
		t.Refused([]string{"paused"}, "exec", t.ID, "true")
		t.Refused([]string{"not running"}, "pause", t.ID)
		t.OK("resume", t.ID)
		t.Is(t.ID, specs.StateRunning)
		t.Equal("exec", t.OK("exec", t.ID, "echo", "on").Stdout, "on\n")
		t.Refused([]string{"not paused"}, "resume", t.ID)
		t.OK("pause", t.ID)
		t.OK("delete", "--force", t.ID) // also a paused one
	})
}

// TestPauseSilo: a silo cannot be paused; the error says why and changes nothing.
func TestPauseSilo(t *testing.T) {
	x := site.New(t)
	x.Bundle(rig.Silo, "sleep", "1000").Started()
	x.Refused([]string{"pausing container", "kernel"}, "pause", x.ID)
	x.Is(x.ID, specs.StateRunning)
}

// TestUpdate: new limits reach the living container.
func TestUpdate(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "sleep", "1000")
	b.Started()
	file := x.Write("limits.json", `{"memory":{"limit":209715200},"cpu":{"maximum":5000}}`)
	calls := x.Since(func() { x.OK("update", "--resources", file, x.ID) })
	var documents []string
	for _, c := range calls.Good().Named("HcsModifyComputeSystem") {
		documents = append(documents, c.Document)
	}
	all := strings.Join(documents, "\n")
	if !strings.Contains(all, `"Settings":200`) || !strings.Contains(all, `"Maximum":5000`) {
		x.Errorf("the service was asked: %s", all)
	}
	x.Refused([]string{"exclusive"}, "update", "--resources", x.Write("both.json", `{"cpu":{"maximum":5000,"shares":100}}`), x.ID)
}

// TestUpdateV1: the schema cannot change limits, and wrun says so.
func TestUpdateV1(t *testing.T) {
	x := site.New(t)
	x.Bundle(rig.V1, "sleep", "1000").Started()
	file := x.Write("limits.json", `{"memory":{"limit":209715200}}`)
	x.Refused([]string{"cannot change", "v1"}, "update", "--resources", file, x.ID)
	x.Is(x.ID, specs.StateRunning)
}

// TestEvents: one line of statistics in runc's shape.
func TestEvents(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		var event struct {
			Type, ID string
			Data     struct {
				CPU    struct{ Usage struct{ Total uint64 } }
				Memory struct{ Usage struct{ Usage uint64 } }
			}
		}
		out := t.OK("events", "--stats", t.ID).Stdout
		if err := json.Unmarshal([]byte(out), &event); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		if event.Type != "stats" || event.ID != t.ID || event.Data.Memory.Usage.Usage == 0 {
			t.Errorf("events: %s", out)
		}
	})
}

// TestResizeTTY: the console's new size reaches the process.
func TestResizeTTY(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V1}, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Process.Terminal = true
		b.Spec.Process.ConsoleSize = &specs.Box{Width: 80, Height: 24}
		b.Started()
		start := t.Document(t.Journal(t.ID), "HcsCreateProcess")
		if t.Field(start, "EmulateConsole") != true || t.Text(t.Field(start, "ConsoleSize")) != "[24,80]" {
			t.Errorf("process: %s", start)
		}
		calls := t.Since(func() { t.OK("resize-tty", t.ID, "132", "43") })
		got := t.Document(calls, "HcsModifyProcess")
		if size := t.Text(t.Field(got, "ConsoleSize")); size != `{"Height":43,"Width":132}` {
			t.Errorf("the service was asked: %s", got)
		}
	})
}

// TestState: what engines read, and wrun's own annotations beside the bundle's.
func TestState(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Annotate("com.example.key", "value with \"quotes\"")
		b.Started()
		s := t.State(t.ID)
		if s.Annotations["com.example.key"] != `value with "quotes"` || s.Annotations["org.wrun.host"] != "windows" {
			t.Errorf("annotations: %v", s.Annotations)
		}
		if all := t.Pids(); len(all) != 1 || s.Annotations["org.wrun.init-pid"] != strconv.Itoa(all[0]) {
			t.Errorf("init pid %s, ps %v", s.Annotations["org.wrun.init-pid"], all)
		}
	})
}
