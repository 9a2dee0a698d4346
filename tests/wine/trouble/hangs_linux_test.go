package trouble

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"wrun/tests/wine/rig"
)

// hurry divides wrun's deadlines in these tests: 2 minutes for a call of the
// service become 4 s (libcontainer/hcs/waits_fault.go).
const hurry = 30

// hurried has the test call a wrun with short deadlines.
func hurried(t *rig.Test) {
	t.UseFaultBuild()
	t.Env = append(t.Env, fmt.Sprintf("WRUN_TEST_HURRY=%d", hurry))
}

// TestHangs has the service answer too late, one call of one command in each of
// several containers at once. Every command gives up within its deadline, says
// what it waited for, and delete --force removes what is left once the service
// answers again.
func TestHangs(t *testing.T) {
	x := site.New(t)
	hurried(x)
	cases := []struct {
		kind    rig.Kind
		op      string
		command string // what hangs
		system  string // suffix of the system's name
	}{
		{rig.Silo, "HcsCreateComputeSystem", "create", ""},
		{rig.Silo, "HcsStartComputeSystem", "start", ""},
		{rig.Silo, "HcsCreateProcess", "start", ""},
		{rig.Silo, "HcsCreateProcess", "exec", ""},
		{rig.Silo, "HcsTerminateProcess", "kill", ""},
		{rig.Silo, "HcsGetComputeSystemProperties", "ps", ""},
		{rig.Silo, "HcsGetComputeSystemProperties", "events", ""},
		{rig.V1, "HcsCreateComputeSystem", "create", ""},
		{rig.V1, "HcsStartComputeSystem", "start", ""},
		{rig.V1, "HcsCreateProcess", "exec", ""},
		{rig.V2, "HcsCreateComputeSystem", "create", "@vm"},
		{rig.V2, "HcsStartComputeSystem", "create", "@vm"},
		{rig.V2, "HcsCreateProcess", "exec", ""},
	}
	calls := make([][]string, len(cases))
	for i, c := range cases {
		id := fmt.Sprintf("%s-%d", x.ID, i)
		b := x.Bundle(c.kind, "sleep", "1000")
		calls[i] = map[string][]string{
			"create": {"create", "--bundle", b.Save(), id}, "start": {"start", id}, "exec": {"exec", id, "true"},
			"kill": {"kill", id, "KILL"}, "ps": {"ps", id}, "events": {"events", "--stats", id},
		}[c.command]
		if c.command != "create" {
			b.CreateAs(id)
			if c.command != "start" {
				x.OK("start", id)
			}
		}
		x.Fault("op="+c.op, "system="+id+c.system, "delay=40s", "hr=0x80370118")
	}
	running := make([]*rig.Running, len(cases))
	for i := range cases {
		running[i] = x.Go(x.Command(calls[i]...))
	}
	for i, c := range cases {
		r, err := running[i].Wait()
		x.Must(err)
		name := fmt.Sprintf("%s: %s with %s hanging", c.kind, c.command, c.op)
		// A create waits for its monitor, takes back what it did and waits for that.
		if r.Took > 30*time.Second {
			t.Errorf("%s took %v: %s", name, r.Took, r)
		}
		if r.Code == 0 || strings.Count(r.Stderr, "wrun: ") != 1 {
			t.Errorf("%s: want one error: %s", name, r)
		}
		x.Logf("%s: %.1f s: %s", name, r.Took.Seconds(), r.Stderr)
	}
	x.Mend()
	for i := range cases {
		x.OK("delete", "--force", fmt.Sprintf("%s-%d", x.ID, i))
	}
}

// TestEnumerateHangs: every command's first question to the service.
func TestEnumerateHangs(t *testing.T) {
	x := site.New(t)
	hurried(x)
	x.Bundle(rig.Silo, "sleep", "1000").Started()
	b := x.Bundle(rig.Silo, "sleep", "1000")
	x.Fault("op=HcsEnumerateComputeSystems", "delay=40s", "hr=0x80370118")
	commands := [][]string{
		{"state", x.ID}, {"exec", x.ID, "true"}, {"kill", x.ID, "KILL"}, {"ps", x.ID}, {"create", "--bundle", b.Save(), x.ID + "-b"},
	}
	var running []*rig.Running
	for _, args := range commands {
		running = append(running, x.Go(x.Command(args...)))
	}
	for i, r := range running {
		result, err := r.Wait()
		x.Must(err)
		if result.Took > 30*time.Second || result.Code == 0 || strings.Count(result.Stderr, "wrun: ") != 1 {
			t.Errorf("%v took %v: %s", commands[i], result.Took, result)
		}
	}
	x.Mend()
}
