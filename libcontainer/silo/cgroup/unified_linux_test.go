package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What is said in v2's own words is written as it stands.
func TestUnifiedSettings(t *testing.T) {
	g := create(t, realV2(t), nil, false)
	r := &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "5", "cgroup.max.descendants": "7"}}
	if err := g.Apply(r, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "", map[string]string{"cgroup.max.depth": "5", "cgroup.max.descendants": "7"})
}

// An engine in a container can give its own containers what its group has.
func TestAllControllers(t *testing.T) {
	l := real(t)
	if !l.Pure() {
		t.Skip("needs a machine with cgroup v2 only")
	}
	// Two levels, both new: nobody has handed anything down there.
	g := group(t, l, name()+"/below", nil, false)
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	machine, err := read(l.hierarchies[0].mount + "/cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, g, "", map[string]string{"cgroup.controllers": strings.TrimSpace(string(machine))})
}

// Where nobody else looks, a group has what its statistics need, and the rest when a
// limit wants it.
func TestSparing(t *testing.T) {
	l := real(t)
	if !l.Pure() {
		t.Skip("needs a machine with cgroup v2 only")
	}
	l.sparing = true
	g := group(t, l, name()+"/below", nil, false)
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "", map[string]string{"cgroup.controllers": "memory pids"})
	shares := uint64(512)
	if err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}}, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "", map[string]string{"cgroup.controllers": "cpu memory pids", "cpu.weight": "59"})
	own := Own("/sys/fs/cgroup")
	given := func() string {
		b, err := read(own.hierarchies[0].mount + "/cgroup.subtree_control")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := given()
	just := create(t, own, nil, false)
	if err := just.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, just, "", map[string]string{"cgroup.controllers": strings.TrimSpace(before)})
	all := group(t, l, name()+"/all", nil, true)
	if all.sparing {
		t.Error("a container that sees its group gets only some controllers")
	}
}

// A container with a writable cgroup mount may divide its group, as an engine
// in a container does: then no process fits into the group itself.
func TestEntrance(t *testing.T) {
	l := real(t)
	if !l.Pure() {
		t.Skip("needs a machine with cgroup v2 only")
	}
	g := create(t, l, nil, false)
	if err := g.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	dir := g.dir(&g.Dirs[0])
	init := start(t, g, "exec sleep 100").Process.Pid
	enter := func(want string) {
		t.Helper()
		e, err := g.Entrance(init)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.dir(&e.Dirs[0]); got != want {
			t.Fatalf("a further process joins %s, want %s", got, want)
		}
		pid := start(t, e, "exec sleep 100").Process.Pid
		if in, err := processes(nil, want); err != nil || !slices.Contains(in, pid) {
			t.Errorf("%s holds %v, not %d (%v)", want, in, pid, err)
		}
		if all, err := g.Processes(); err != nil || !slices.Contains(all, pid) {
			t.Errorf("the container has %v, not %d (%v)", all, pid, err)
		}
	}
	enter(dir)
	inner := filepath.Join(dir, "a/inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := g.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range all {
		if err := add(&Group{Path: g.Path + "/a/inner", Dirs: g.Dirs}, pid); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(inner)} {
		if err := write(d+"/cgroup.subtree_control", "+memory +pids"); err != nil {
			t.Fatal(err)
		}
	}
	enter(inner)
}

// Below a group with processes nothing is enabled: not in vain, and not so that
// the group changes its type.
func TestOccupiedParent(t *testing.T) {
	l := realV2(t)
	parent := create(t, l, nil, false)
	dir := parent.dir(&parent.Dirs[0])
	start(t, parent, "exec sleep 100")
	g, err := l.Group(parent.Path+"/below", "id", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := g.Apply(nil, nil); err != nil {
		t.Errorf("no limit was asked for: %v", err)
	}
	start(t, g, "exec sleep 100")
	expect(t, parent, "", map[string]string{"cgroup.type": "domain", "cgroup.subtree_control": ""})
	if !l.Pure() || !strings.Contains(read1(t, parent, "", "cgroup.controllers"), "pids") {
		return
	}
	err = g.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}, nil)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a limit below an occupied group: %v", err)
	}
}

// A threaded sub-group does not list its processes; the group above it does.
func TestThreadedSubgroup(t *testing.T) {
	g := create(t, realV2(t), nil, false)
	dir := g.dir(&g.Dirs[0])
	pid := start(t, g, "exec sleep 100").Process.Pid
	if err := os.Mkdir(dir+"/threads", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := write(dir+"/threads/cgroup.type", "threaded"); err != nil {
		t.Fatal(err)
	}
	if in, err := g.Processes(); err != nil || !slices.Equal(in, []int{pid}) {
		t.Errorf("processes %v (%v), want %d", in, err, pid)
	}
}
