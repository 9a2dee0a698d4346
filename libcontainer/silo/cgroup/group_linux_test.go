package cgroup

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// layouts runs a test on the machine as it is and, where that is a hybrid, on
// its unified hierarchy alone.
func layouts(t *testing.T, f func(*testing.T, *Layout)) {
	t.Run("machine", func(t *testing.T) { f(t, real(t)) })
	t.Run("unified", func(t *testing.T) { f(t, realV2(t)) })
}

// The short way and the mount table tell the same.
func TestDetect(t *testing.T) {
	self, err := read("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	mountinfo, err := read("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	long, err := ParseLayout(mountinfo, self)
	if err != nil {
		t.Skip(err)
	}
	short := usualLayout(string(self), func(dir string, v2 bool) bool {
		owner, whole := wholeHierarchy(dir, v2)
		if whole && owner != 0 {
			t.Errorf("%s belongs to user %d", dir, owner)
		}
		return whole
	})
	if short == nil {
		t.Skip("cgroups are not mounted as usual here")
	}
	if !reflect.DeepEqual(short, long) {
		t.Errorf("usual places: %+v\nmount table:  %+v", short, long)
	}
}

func TestLife(t *testing.T) {
	layouts(t, func(t *testing.T, l *Layout) {
		g := create(t, l, nil, true)
		if err := g.Apply(nil, nil); err != nil {
			t.Fatal(err)
		}
		cmd := start(t, g, "exec sleep 100")
		pid := cmd.Process.Pid
		if pids, err := g.Processes(); err != nil || !reflect.DeepEqual(pids, []int{pid}) {
			t.Fatalf("processes %v %v, want %d", pids, err, pid)
		}
		other := exec.Command("sleep", "100")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { other.Process.Kill(); other.Wait() }()
		if err := add(g, other.Process.Pid); err != nil {
			t.Fatal(err)
		}
		where, err := os.ReadFile("/proc/" + strconv.Itoa(other.Process.Pid) + "/cgroup")
		if err != nil || strings.Count(string(where), g.Path+"\n") != len(g.Dirs) {
			t.Errorf("after Add: %s %v", where, err)
		}
		if f, err := g.Frozen(); f || err != nil {
			t.Errorf("frozen before Freeze: %v %v", f, err)
		}
		if err := g.Freeze(background(t)); err != nil {
			t.Fatal(err)
		}
		if f, err := g.Frozen(); !f || err != nil {
			t.Errorf("not frozen after Freeze: %v %v", f, err)
		}
		if err := g.Check(); err == nil || !strings.Contains(err.Error(), "container's cgroup is not empty: 2 process(es) found in ") {
			t.Errorf("a group in use: %v", err)
		}
		g.checked = false
		for i := range g.Dirs {
			g.Dirs[i].Made = 1 // Check has found them all there
		}
		if err := g.Thaw(background(t)); err != nil {
			t.Fatal(err)
		}
		if f, err := g.Frozen(); f || err != nil {
			t.Errorf("frozen after Thaw: %v %v", f, err)
		}
		if err := g.Freeze(background(t)); err != nil {
			t.Fatal(err)
		}
		// The processes are not waited for in between: zombies must not matter.
		if err := g.Kill(background(t)); err != nil {
			t.Fatal(err)
		}
		if err := g.Remove(background(t)); err != nil {
			t.Fatal(err)
		}
		for i := range g.Dirs {
			if there, _ := exists(g.dir(&g.Dirs[i])); there {
				t.Errorf("%s is still there", g.dir(&g.Dirs[i]))
			}
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("process: %v", err)
		}
		// All of it once more, on what is gone.
		if err := g.Kill(background(t)); err != nil {
			t.Errorf("kill of nothing: %v", err)
		}
		if err := g.Thaw(background(t)); err != nil {
			t.Errorf("thaw of nothing: %v", err)
		}
		if err := g.Remove(background(t)); err != nil {
			t.Errorf("remove of nothing: %v", err)
		}
		if pids, err := g.Processes(); err != nil || len(pids) > 0 {
			t.Errorf("processes of nothing: %v %v", pids, err)
		}
		if f, err := g.Frozen(); f || err != nil {
			t.Errorf("frozen nothing: %v %v", f, err)
		}
		if _, err := g.Stats(); err == nil {
			t.Error("stats of nothing: no error")
		}
	})
}

func TestRefusesFrozen(t *testing.T) {
	layouts(t, func(t *testing.T, l *Layout) {
		g := create(t, l, nil, false)
		if err := g.Freeze(background(t)); err != nil {
			t.Fatal(err)
		}
		second, err := l.Group(g.Path, "x", nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Create(); err == nil || !strings.Contains(err.Error(), "container's cgroup unexpectedly frozen: /") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatWasThereStays(t *testing.T) {
	layouts(t, func(t *testing.T, l *Layout) {
		outer := create(t, l, nil, false)
		// A parent that was there, two directories that were not.
		g, err := l.Group(outer.Path+"/a/b", "x", nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Create(); err != nil {
			t.Fatal(err)
		}
		if g.Dirs[0].Made != 2 {
			t.Errorf("made %d, want 2", g.Dirs[0].Made)
		}
		again, err := l.Group(outer.Path+"/a/b", "x", nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Create(); err != nil {
			t.Fatal(err)
		}
		if err := again.Remove(background(t)); err != nil {
			t.Fatal(err)
		}
		for i := range g.Dirs {
			if there, _ := exists(g.dir(&g.Dirs[i])); !there {
				t.Errorf("%s was there before and is gone", g.dir(&g.Dirs[i]))
			}
		}
		// The container's own sub-groups go with it.
		for i := range g.Dirs {
			if err := os.MkdirAll(g.dir(&g.Dirs[i])+"/own/deep", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Remove(background(t)); err != nil {
			t.Fatal(err)
		}
		for i := range g.Dirs {
			outer, gone := outer.dir(&outer.Dirs[i]), filepath.Dir(g.dir(&g.Dirs[i]))
			if there, _ := exists(gone); there {
				t.Errorf("%s is still there", gone)
			}
			if there, _ := exists(outer); !there {
				t.Errorf("%s was there before and is gone", outer)
			}
		}
	})
}

// A Create cut short is undone by what was recorded between Check and Create.
func TestRemoveAfterHalfACreate(t *testing.T) {
	l := real(t)
	g := group(t, l, name()+"/sub", nil, true)
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Dirs[:len(g.Dirs)/2] {
		if err := g.make(&g.Dirs[i]); err != nil {
			t.Fatal(err)
		}
	}
	var back Group
	if err := json.Unmarshal(record, &back); err != nil {
		t.Fatal(err)
	}
	if err := back.Remove(background(t)); err != nil {
		t.Fatal(err)
	}
	// group's clean-up looks whether anything is left.
}

func TestCreateUndoesItself(t *testing.T) {
	l := real(t)
	g := group(t, l, name(), nil, true)
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	last := &g.Dirs[len(g.Dirs)-1]
	if err := os.Mkdir(g.dir(last), 0o755); err != nil {
		t.Fatal(err)
	}
	defer unix.Rmdir(g.dir(last))
	if err := g.Create(); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
	for i := range g.Dirs {
		there, _ := exists(g.dir(&g.Dirs[i]))
		if there != (i == len(g.Dirs)-1) {
			t.Errorf("%s there: %v", g.dir(&g.Dirs[i]), there)
		}
	}
}

func TestKillForkingProcesses(t *testing.T) {
	layouts(t, func(t *testing.T, l *Layout) {
		g := create(t, l, nil, false)
		cmd := start(t, g, "f() { while :; do sleep 5 & sleep 0.01; done; }; f & f & f & wait")
		time.Sleep(50 * time.Millisecond)
		if err := g.Kill(background(t)); err != nil {
			t.Fatal(err)
		}
		if err := g.Remove(background(t)); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
	})
}

func TestRemoveGivesUp(t *testing.T) {
	l := real(t)
	g := create(t, l, nil, false)
	start(t, g, "exec sleep 100")
	ctx, cancel := contextIn(100 * time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := g.Remove(ctx)
	if err == nil || !strings.Contains(err.Error(), "still busy with 1 process") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestStats(t *testing.T) {
	l := realV1(t)
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(50))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}
	g := create(t, l, r, true)
	if err := g.Apply(r, nil); err != nil {
		t.Fatal(err)
	}
	start(t, g, "exec sleep 100")
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids != (Pids{1, 50}) {
		t.Errorf("pids %+v", s.Pids)
	}
	if s.Memory.Usage.Limit != 64<<20 || s.Memory.Usage.Usage == 0 || s.Memory.Usage.Max < s.Memory.Usage.Usage || s.Memory.Raw["hierarchical_memory_limit"] != 64<<20 {
		t.Errorf("memory %+v", s.Memory)
	}
	if s.CPU.Usage.Total == 0 || len(s.CPU.Usage.Percpu) == 0 || len(s.CPU.Usage.PercpuUser) != len(s.CPU.Usage.Percpu) {
		t.Errorf("cpu %+v", s.CPU)
	}
	if len(s.CPUSet.CPUs) == 0 || len(s.CPUSet.Mems) == 0 || s.CPUSet.SchedRelaxDomain != -1 {
		t.Errorf("cpuset %+v", s.CPUSet)
	}
}

// TestWithin: what is cloned within is born in the group, and who cloned it stays
// where it was.
func TestWithin(t *testing.T) {
	layouts(t, func(t *testing.T, l *Layout) {
		g := create(t, l, nil, true)
		if err := g.Apply(nil, nil); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "100")
		if err := l.Within(g, func(into int) error {
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: into >= 0, CgroupFD: max(into, 0)}
			return cmd.Start()
		}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		pids, err := g.Processes()
		if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
			t.Errorf("in the group: %v, %v, want %d", pids, err, cmd.Process.Pid)
		}
	})
}
