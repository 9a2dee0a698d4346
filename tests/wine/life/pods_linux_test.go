package life

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestPod: the containers of a pod share one utility VM, which ends with the
// sandbox.
func TestPod(t *testing.T) {
	x := site.New(t)
	sandbox, member := x.Pod("sleep", "1000")
	x.OK("start", member)
	if n := x.Images("vmwp.exe"); n != 1 {
		x.Errorf("%d virtual machines, want 1", n)
	}
	if got := x.Field(x.Document(x.Journal(member), "HcsCreateComputeSystem"), "HostingSystemId"); got != sandbox+"@vm" {
		x.Errorf("the member is hosted by %v", got)
	}
	x.Equal("exec", x.OK("exec", member, "echo", "in the pod").Stdout, "in the pod\n")
	x.OK("kill", member, "KILL")
	x.Becomes(member, specs.StateStopped)
	x.OK("delete", member)
	x.Is(sandbox, specs.StateRunning)
	x.OK("delete", "--force", sandbox)
	if n := x.Images("vmwp.exe"); n != 0 {
		x.Errorf("%d virtual machines are left", n)
	}
}

// TestPodSandboxFirst: a sandbox that goes takes its members' VM with it; they
// are stopped and can be deleted.
func TestPodSandboxFirst(t *testing.T) {
	x := site.New(t)
	sandbox, member := x.Pod("sleep", "1000")
	x.OK("start", member)
	x.OK("delete", "--force", sandbox)
	x.Becomes(member, specs.StateStopped)
	x.OK("delete", member)
}

// TestPodWithoutSandbox: a member whose sandbox is not there is refused.
func TestPodWithoutSandbox(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.V2, "true")
	b.InPod("nosuch", "container")
	x.Refused([]string{"nosuch", "sandbox"}, b.Args("create")...)
	x.Is(x.ID, "")
}

// TestTen: ten containers at once, each with its own output and exit code.
func TestTen(t *testing.T) {
	site.Of(t, []rig.Kind{rig.Silo, rig.V1}, func(t *rig.Test, kind rig.Kind) {
		var all []*rig.Running
		for i := range 10 {
			b := t.Bundle(kind, "sh", "-c", fmt.Sprintf("echo I am %d; sleep 0.2; exit %d", i, 10+i))
			c := t.Command("run", "--bundle", b.Save(), fmt.Sprintf("%s-%d", t.ID, i))
			all = append(all, t.Go(c))
		}
		for i, r := range all {
			result, err := r.Wait()
			t.Must(err)
			if result.Code != 10+i || result.Stdout != fmt.Sprintf("I am %d\n", i) {
				t.Errorf("container %d: %s", i, result)
			}
		}
	})
}

// TestCommandsAtOnce: whatever the order in which commands reach one container,
// each ends, and the container is in a state afterwards.
func TestCommandsAtOnce(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Bundle(kind, "sleep", "1000").Started()
		var all []*rig.Running
		for _, args := range [][]string{
			{"state", t.ID}, {"exec", t.ID, "echo", "x"}, {"ps", t.ID}, {"kill", t.ID, "KILL"}, {"delete", "--force", t.ID}, {"delete", "--force", t.ID}, {"list"},
		} {
			all = append(all, t.Go(t.Command(args...)))
		}
		for i, r := range all {
			result, err := r.Wait()
			t.Must(err)
			// The program of exec may be ended, and says nothing then.
			if i != 1 && result.Code != 0 && !strings.Contains(result.Stderr, "wrun: ") {
				t.Errorf("failed without a word: %s", result)
			}
		}
		t.OK("delete", "--force", t.ID)
		t.Is(t.ID, "")
	})
}
