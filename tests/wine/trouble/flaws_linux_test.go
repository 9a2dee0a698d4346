package trouble

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/wine/rig"
)

// This file holds wrun against the faults that were seen in runhcs, Microsoft's
// own command line for HCS, each in a test of its own. The numbers are those of
// the list in the project's reference; the fault is the first line.

// TestFlaw01DeadAtHead: no container could be created any more, of either kind.
func TestFlaw01DeadAtHead(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		if r := t.Bundle(kind, "echo", "alive").Run(); r.Code != 0 || r.Stdout != "alive\n" {
			t.Errorf("run: %s", r)
		}
	})
}

// TestFlaw02DeleteLeaks: delete left the layers mounted and the namespace made.
func TestFlaw02DeleteLeaks(t *testing.T) {
	x := site.New(t)
	endpoint := x.Endpoint()
	b := x.Bundle(rig.Silo, "sleep", "1000")
	b.Spec.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{endpoint}}
	b.Started()
	x.OK("kill", x.ID, "KILL")
	x.Becomes(x.ID, specs.StateStopped)
	calls := x.Since(func() { x.OK("delete", x.ID) }).Good()
	for _, op := range []string{"UnprepareLayer", "DeactivateLayer", "HcnDeleteNamespace"} {
		if len(calls.Named(op)) != 1 {
			x.Errorf("delete did not call %s: %s", op, calls)
		}
	}
	if left := x.Left(); len(left.Layers) != 0 || len(left.Namespaces) != 0 {
		x.Errorf("left: %+v", left)
	}
}

// TestFlaw03KillCreated: kill of a created container said "container is stopped".
func TestFlaw03KillCreated(t *testing.T) {
	x := site.New(t)
	x.Bundle(rig.Silo, "sleep", "1000").Create()
	x.OK("kill", x.ID, "TERM")
	x.Becomes(x.ID, specs.StateStopped)
	x.OK("delete", x.ID)
}

// TestFlaw04DeleteForceUnknown: delete --force of an unknown id failed.
func TestFlaw04DeleteForceUnknown(t *testing.T) {
	x := site.New(t)
	x.OK("delete", "--force", "nosuch")
	x.Refused([]string{"container does not exist"}, "delete", "nosuch")
}

// TestFlaw05SignalNames: kill ID SIGTERM was an "invalid signal value".
func TestFlaw05SignalNames(t *testing.T) {
	x := site.New(t)
	x.Bundle(rig.Silo, "sleep", "1000").Started()
	x.OK("kill", x.ID, "SIGTERM")
	x.Becomes(x.ID, specs.StateStopped)
	x.OK("delete", x.ID)
}

// TestFlaw06ExecCommandLine: exec ran the container's process.commandLine again
// instead of its own command.
func TestFlaw06ExecCommandLine(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind)
		b.Spec.Process.CommandLine = "sleep 1000"
		b.Started()
		if r := t.Wrun("exec", t.ID, "echo", "EXECED"); r.Code != 0 || r.Stdout != "EXECED\n" {
			t.Errorf("exec: %s", r)
		}
	})
}

// TestFlaw07EmptyVariable: EMPTY= was dropped from the environment.
func TestFlaw07EmptyVariable(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "probe", "env")
		b.Spec.Process.Env = []string{"EMPTY=", "FULL=x"}
		r := b.Run()
		if all := rig.Lines(r.Stdout); !slices.Contains(all, "EMPTY=") || !slices.Contains(all, "FULL=x") {
			t.Errorf("environment: %q", all)
		}
	})
}

// TestFlaw08Hooks: hooks were ignored in silence. What hooks do: TestHooks.
func TestFlaw08Hooks(t *testing.T) {
	x := site.New(t)
	file := x.Dir + `\hooks`
	b := x.Bundle(rig.Silo, "true")
	b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: rig.Probe, Args: []string{"probe", "append", file, "createRuntime"}}}}
	b.Create()
	if said := x.Read(file); !strings.HasPrefix(said, "createRuntime {") {
		x.Errorf("the hook wrote %q", said)
	}
}

// TestFlaw09Dropped: servicing and ignoreFlushesDuringBoot vanished on the way to
// schema v2. The one is refused, the other is a hint and is warned of; schema v1
// has both.
func TestFlaw09Dropped(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	b.Spec.Windows.Servicing = true
	x.Refused([]string{"windows.servicing"}, b.Args("create")...)
	b = x.Bundle(rig.Silo, "true")
	b.Spec.Windows.IgnoreFlushesDuringBoot = true
	b.Create()
	if log := x.Log(); !strings.Contains(log, "windows.ignoreFlushesDuringBoot") {
		x.Errorf("no warning: %s", log)
	}
	x.OK("delete", "--force", x.ID)
	before := len(x.Journal(x.ID))
	b = x.Bundle(rig.V1, "true")
	b.Spec.Windows.Servicing, b.Spec.Windows.IgnoreFlushesDuringBoot = true, true
	b.Create()
	document := x.Document(x.Journal(x.ID)[before:], "HcsCreateComputeSystem")
	if x.Field(document, "Servicing") != true || x.Field(document, "IgnoreFlushesDuringBoot") != true {
		x.Errorf("document: %s", document)
	}
}

// TestFlaw10NotValidated: config.json was not checked, not even its version.
func TestFlaw10NotValidated(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	b.Spec.Version = "9.9.9"
	b.Spec.Process.Cwd = "relative"
	x.Refused([]string{"ociVersion", "process.cwd"}, b.Args("create")...)
}

// TestFlaw11Pids: the state's pid was the shim's, ps had others, and to resize a
// terminal one had to know which shim was which. wrun's state has both pids.
func TestFlaw11Pids(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "sleep", "1000")
	b.Spec.Process.Terminal = true
	b.Started()
	s := x.State(x.ID)
	if x.Image(s.Pid) != "wrun.exe" {
		x.Errorf("the state's pid %d is a %q", s.Pid, x.Image(s.Pid))
	}
	all := x.Pids()
	if len(all) != 1 || s.Annotations[libcontainer.AnnotationInit] == "" || x.Text(all[0]) != s.Annotations[libcontainer.AnnotationInit] {
		x.Errorf("ps %v, state %v", all, s.Annotations)
	}
	x.OK("resize-tty", x.ID, "100", "30")
	x.OK("resize-tty", "--pid", s.Annotations[libcontainer.AnnotationInit], x.ID, "100", "30")
}

// TestFlaw12ShutdownHangs: a shutdown that was accepted and never came to its end
// kept the shim for ever. The monitor gives it 30 s, here 3 s, and then terminates.
func TestFlaw12ShutdownHangs(t *testing.T) {
	x := site.New(t)
	x.UseFaultBuild()
	x.Env = append(x.Env, "WRUN_TEST_HURRY=10")
	x.Fault("op=HcsShutDownComputeSystem", "hr=0x80370117") // HCS_E_OPERATION_PENDING, and nothing follows
	begin := time.Now()
	x.Bundle(rig.Silo, "true").Started()
	x.Becomes(x.ID, specs.StateStopped)
	for x.Images("wrun-fault.exe") > 0 {
		if time.Since(begin) > time.Minute {
			x.Fatal("the monitor is still there after a minute")
		}
		time.Sleep(200 * time.Millisecond)
	}
	if calls := x.Journal(x.ID).Named("HcsTerminateComputeSystem"); len(calls) == 0 {
		x.Errorf("nobody terminated it: %s", x.Journal(x.ID))
	}
	x.Mend()
	x.OK("delete", x.ID)
}

// TestFlaw13SignalInPod: kill of the second container of a pod looked for the
// wrong system and terminated instead of signalling.
func TestFlaw13SignalInPod(t *testing.T) {
	x := site.New(t)
	_, member := x.Pod("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
	x.OK("start", member)
	x.Until("it listens", func() bool { return strings.Contains(x.Outputs(), "ready") })
	x.OK("kill", member, "TERM")
	x.Becomes(member, specs.StateStopped)
	if got := x.State(member).Annotations[libcontainer.AnnotationExitCode]; got != "5" {
		x.Errorf("exit code %q, want the trap's 5", got)
	}
}

// TestFlaw14VMKeeperDies: with the process that kept a utility VM's books, all
// its containers were lost. wrun keeps the books on disk: with every monitor
// dead, a further container joins the VM, and all are removed.
func TestFlaw14VMKeeperDies(t *testing.T) {
	x := site.New(t)
	sandbox, member := x.Pod("sleep", "1000")
	x.OK("start", member)
	for _, id := range []string{sandbox, member} {
		x.Terminate(x.State(id).Pid)
	}
	third := x.ID + "-third"
	b := x.Bundle(rig.V2, "sleep", "1000")
	b.InPod(sandbox, "container")
	b.CreateAs(third)
	x.OK("start", third)
	x.Is(third, specs.StateRunning)
	for _, id := range []string{third, member, sandbox} {
		x.OK("delete", "--force", id)
	}
}

// TestFlaw15NoRightsForHelp: every command, --help too, wrote to the registry of
// the machine. wrun leaves no trace before create.
func TestFlaw15NoRightsForHelp(t *testing.T) {
	x := site.New(t)
	calls := x.Since(func() {
		x.OK("--help")
		x.OK("list")
		x.OK("features")
		x.Refused([]string{"does not exist"}, "state", "nosuch")
	})
	if len(calls) != 0 {
		x.Errorf("the service was asked: %s", calls)
	}
	if _, err := os.Stat(x.Host.Unix(x.Root)); err == nil {
		x.Error("reading commands made the state's folder")
	}
}

// TestFlaw16Concurrency: two commands on one container did as they liked.
func TestFlaw16Concurrency(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		args := b.Args("create")
		var running []*rig.Running
		for range 4 {
			running = append(running, t.Go(t.Command(args...)))
		}
		won := 0
		for _, r := range running {
			result, err := r.Wait()
			t.Must(err)
			if result.Code == 0 {
				won++
			} else if !strings.Contains(result.Stderr, "already exists") {
				t.Errorf("a create that lost: %s", result)
			}
		}
		if won != 1 {
			t.Errorf("%d of 4 creates of one id succeeded", won)
		}
		running = nil
		for range 4 {
			running = append(running, t.Go(t.Command("start", t.ID)))
		}
		won = 0
		for _, r := range running {
			if result, err := r.Wait(); err == nil && result.Code == 0 {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d of 4 starts succeeded", won)
		}
		if n := len(t.Journal(t.ID).Good().Named("HcsCreateProcess")); n != 1 {
			t.Errorf("%d programs were started", n)
		}
	})
}

// TestFlaw17HalfCreated: a create that failed left its id behind, or a crash
// between two writes did.
func TestFlaw17HalfCreated(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Fault("op=HcsCreateComputeSystem", "hr=0x80370109")
		b := t.Bundle(kind, "true")
		t.Refused([]string{"0370109"}, b.Args("create")...)
		t.Mend()
		if ids := strings.TrimSpace(t.OK("list", "-q").Stdout); ids != "" {
			t.Errorf("list has %q", ids)
		}
		b.Create()
	})
}
