package life

import (
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/wine/rig"
)

// TestSignalNames: with and without SIG, in any case, and as numbers, each
// becomes the console control event or the end that HCS knows.
func TestSignalNames(t *testing.T) {
	names := []struct{ signal, event string }{
		{"TERM", "CtrlShutdown"}, {"SIGTERM", "CtrlShutdown"}, {"sigterm", "CtrlShutdown"}, {"15", "CtrlShutdown"},
		{"CTRLSHUTDOWN", "CtrlShutdown"}, {"6", "CtrlShutdown"}, {"", "CtrlShutdown"},
		{"INT", "CtrlC"}, {"CTRLC", "CtrlC"}, {"0", "CtrlC"},
		{"CTRLBREAK", "CtrlBreak"}, {"1", "CtrlBreak"},
		{"CTRLCLOSE", "CtrlClose"}, {"2", "CtrlClose"},
		{"CTRLLOGOFF", "CtrlLogOff"}, {"5", "CtrlLogOff"},
	}
	site.Of(t, []rig.Kind{rig.Silo, rig.V2}, func(t *rig.Test, kind rig.Kind) {
		if kind == rig.V2 {
			names = names[:1] // each costs a boot
		}
		for _, n := range names {
			// Whatever the event, nobody in there handles it: the program ends, and
			// each signal needs a program of its own.
			b := t.Bundle(kind, "sleep", "1000")
			b.Started()
			args := []string{"kill", t.ID}
			if n.signal != "" {
				args = append(args, n.signal)
			}
			calls := t.Since(func() { t.OK(args...) })
			if got := t.Field(t.Document(calls, "HcsSignalProcess"), "Signal"); got != n.event {
				t.Errorf("kill %q sends %v, want %s", n.signal, got, n.event)
			}
			t.OK("delete", "--force", t.ID)
		}
	})
}

// TestSignalV1: schema v1 has no signals. Whatever is not KILL shuts the
// container down, as with Docker.
func TestSignalV1(t *testing.T) {
	x := site.New(t)
	for _, signal := range []string{"TERM", "CTRLBREAK"} {
		x.Bundle(rig.V1, "sleep", "1000").Started()
		calls := x.Since(func() { x.OK("kill", x.ID, signal) })
		if len(calls.Named("HcsShutdownComputeSystem")) != 1 {
			x.Errorf("kill %s: %s", signal, calls)
		}
		x.Becomes(x.ID, specs.StateStopped)
		x.OK("delete", x.ID)
	}
}

// TestKill: KILL and 9 end the program without asking it.
func TestKill(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		signals := []string{"KILL", "SIGKILL", "9"}
		if kind != rig.Silo {
			signals = signals[:1] // each costs a boot
		}
		for _, signal := range signals {
			t.Bundle(kind, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done").Started()
			calls := t.Since(func() { t.OK("kill", t.ID, signal) })
			if len(calls.Named("HcsTerminateProcess")) != 1 || len(calls.Named("HcsSignalProcess")) != 0 {
				t.Errorf("kill %s: %s", signal, calls)
			}
			t.Becomes(t.ID, specs.StateStopped)
			t.OK("delete", t.ID)
		}
	})
}

// TestGracefulEnd: TERM lets the program end in its own way, with its own exit
// code, and run returns that.
func TestGracefulEnd(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
		out := b.Started()
		t.Until("it is ready", func() bool { return rig.Last(out.Later()) == "ready" })
		t.OK("kill", t.ID, "TERM")
		t.Becomes(t.ID, specs.StateStopped)
		if got := t.State(t.ID).Annotations[libcontainer.AnnotationExitCode]; got != "5" {
			t.Errorf("exit code %q, want the trap's 5", got)
		}
		t.OK("delete", t.ID)
	})
}

// TestKillUnheard: a program that does not handle TERM ends as Windows ends it,
// with STATUS_CONTROL_C_EXIT.
func TestKillUnheard(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V2}, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		t.OK("kill", t.ID)
		t.Becomes(t.ID, specs.StateStopped)
		if got := t.State(t.ID).Annotations[libcontainer.AnnotationExitCode]; got != "3221225786" {
			t.Errorf("exit code %q, want 3221225786", got)
		}
		t.OK("delete", t.ID)
	})
}

// TestKillCreated: a container that waits for start can be killed, as
// runtime.md wants: "created" is a state kill is allowed in.
func TestKillCreated(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		for _, signal := range []string{"TERM", "KILL"} {
			if kind == rig.V2 && signal == "KILL" {
				continue // each costs a boot
			}
			t.Bundle(kind, "sleep", "1000").Create()
			t.OK("kill", t.ID, signal)
			t.Becomes(t.ID, specs.StateStopped)
			t.Refused([]string{"stopped"}, "start", t.ID)
			t.OK("delete", t.ID)
		}
	})
}

// TestKillUnknownSignal: refused, with the names that there are.
func TestKillUnknownSignal(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V1}, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		for _, signal := range []string{"HUP", "3", "77", "nonsense"} {
			t.Refused([]string{signal}, "kill", t.ID, signal)
		}
		t.Is(t.ID, specs.StateRunning)
	})
}

// TestKillAll: every process of the container, also those that exec made and
// those that a process made by itself.
func TestKillAll(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		out := t.Bundle(kind, "probe", "family").Started()
		t.OK("exec", "--detach", t.ID, "sleep", "1000")
		t.Until("the family is complete", func() bool { return len(t.Pids()) == 3 && out.Later() != "" })
		t.OK("kill", "--all", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("kill", "--all", t.ID, "KILL") // engines send it after the end, too
		t.OK("delete", t.ID)
	})
}

// TestOrphansEnd: what a program started ends with the container.
func TestOrphansEnd(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		out := t.Bundle(kind, "probe", "family").Started()
		t.Until("the family is complete", func() bool { return len(t.Pids()) == 2 && out.Later() != "" })
		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
	})
}

// TestRunInterrupted: who ends `wrun run` as the Task Manager does leaves the
// container running, as with runc, and the rest can be removed.
func TestRunInterrupted(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		run := t.Go(t.Command(t.Bundle(kind, "sleep", "1000").Args("run")...))
		t.Becomes(t.ID, specs.StateRunning)
		run.Kill()
		if _, err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Is(t.ID, specs.StateRunning)
		t.OK("delete", "--force", t.ID)
	})
}

// TestMonitorKilled: the container goes on without its monitor; every command
// finds it by its name at the service, and its end is seen.
func TestMonitorKilled(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		monitor := t.State(t.ID).Pid
		t.Terminate(monitor)
		t.Is(t.ID, specs.StateRunning)
		t.Equal("exec", t.OK("exec", t.ID, "echo", "alive").Stdout, "alive\n")
		if len(t.Pids()) != 1 {
			t.Errorf("processes: %v", t.Pids())
		}
		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
	})
}

// TestMonitorKilledBeforeStart: such a container can never run and says so.
func TestMonitorKilledBeforeStart(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Create()
		t.Terminate(t.State(t.ID).Pid)
		t.Becomes(t.ID, specs.StateStopped)
		t.Refused([]string{"stopped"}, "start", t.ID)
		t.OK("delete", t.ID)
	})
}

// TestOneResidentProcess: a container has one process of wrun's beside its own.
func TestOneResidentProcess(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V1}, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		var wruns []string
		for _, p := range t.Processes() {
			if p.Image == "wrun.exe" {
				wruns = append(wruns, strconv.Itoa(p.Pid))
			}
		}
		if len(wruns) != 1 || wruns[0] != strconv.Itoa(t.State(t.ID).Pid) {
			t.Errorf("processes of wrun: %v, state's pid %d", wruns, t.State(t.ID).Pid)
		}
	})
}
