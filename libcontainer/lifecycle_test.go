package libcontainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

func TestLifecycle(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	ctx := t.Context()
	o := r.options()
	o.PidFile = filepath.Join(t.TempDir(), "pid")
	r.ok("create", r.Create(ctx, "c1", o))
	r.status("c1", specs.StateCreated)
	r.fails("create again", r.Create(ctx, "c1", o), "container with given ID already exists")
	r.fails("delete", r.Delete(ctx, "c1", false), "cannot delete container c1 that is not stopped: created")

	// runtime.md: "Any updates to config.json after this step MUST NOT affect the container."
	r.ok("removing the bundle", os.RemoveAll(r.bundle))

	r.start("c1")
	r.status("c1", specs.StateRunning)
	r.fails("start again", r.Start(ctx, "c1"), "cannot start an already running container")
	s, err := r.State(ctx, "c1")
	r.ok("state", err)
	if pid, err := os.ReadFile(o.PidFile); err != nil || string(pid) != itoa(s.Pid) {
		t.Errorf("pid file %q, %v; state says %d", pid, err, s.Pid)
	}
	if s.Bundle != r.bundle || s.ID != "c1" || s.Version != specs.Version {
		t.Errorf("state %+v", s)
	}
	for k, v := range map[string]string{"org.example.key": "value", "org.wrun.isolation": "silo"} {
		if s.Annotations[k] != v {
			t.Errorf("annotation %s is %q", k, s.Annotations[k])
		}
	}

	r.fails("resume", r.Resume(ctx, "c1"), "container not paused")
	r.ok("pause", r.Pause(ctx, "c1"))
	r.status("c1", libcontainer.StatusPaused)
	r.fails("pause again", r.Pause(ctx, "c1"), "container not running")
	r.fails("start paused", r.Start(ctx, "c1"), "cannot start a container in the paused state")
	r.ok("resume", r.Resume(ctx, "c1"))
	r.status("c1", specs.StateRunning)

	limit := int64(5)
	r.ok("update", r.Update(ctx, "c1", func(l *libcontainer.Limits) error {
		if !reflect.DeepEqual(l, &libcontainer.Limits{Linux: &specs.LinuxResources{}}) {
			t.Errorf("update starts from %+v", l)
		}
		l.Linux.Pids = &specs.LinuxPids{Limit: &limit}
		return nil
	}))
	if u := r.fake.Updates(); len(u) != 1 || *u[0].Pids.Limit != 5 {
		t.Errorf("the host was told %v", u)
	}
	if err := r.Update(ctx, "c1", func(*libcontainer.Limits) error { return errInjected }); !errors.Is(err, errInjected) || len(r.fake.Updates()) != 1 {
		t.Errorf("refused update: %v", err)
	}
	if v, err := r.Stats(ctx, "c1"); err != nil || v == nil {
		t.Errorf("stats %v, %v", v, err)
	}
	if pids, err := r.Processes(ctx, "c1"); err != nil || !slices.Equal(pids, []int{s.Pid}) {
		t.Errorf("processes %v, %v", pids, err)
	}

	r.stopped("c1")
	before, err := r.State(ctx, "c1")
	r.ok("state", err)
	if err := r.Kill(ctx, "c1", "15", false); !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Errorf("kill stopped: %v", err)
	}
	r.ok("kill --all stopped", r.Kill(ctx, "c1", "9", true))
	if after, err := r.State(ctx, "c1"); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("kill of a stopped container changed its state: %+v, %v", after, err)
	}
	if pids, err := r.Processes(ctx, "c1"); err != nil || pids == nil || len(pids) != 0 {
		t.Errorf("ps stopped: %v, %v", pids, err)
	}
	if _, err := r.Stats(ctx, "c1"); !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Errorf("stats stopped: %v", err)
	}
	r.fails("start stopped", r.Start(ctx, "c1"), "cannot start a container that has stopped")
	r.ok("delete", r.Delete(ctx, "c1", false))
	r.clean("after delete")
	r.ok("delete --force after delete", r.Delete(ctx, "c1", true))
	if len(r.warnings) > 0 {
		t.Errorf("warnings: %v", r.warnings)
	}
}

func TestUnknownContainer(t *testing.T) {
	r := newRig(t, "true")
	ctx := t.Context()
	_, stateErr := r.State(ctx, "c1")
	_, psErr := r.Processes(ctx, "c1")
	_, statsErr := r.Stats(ctx, "c1")
	_, execErr := r.Exec(ctx, "c1", libcontainer.ExecOptions{})
	for what, err := range map[string]error{
		"state": stateErr, "ps": psErr, "stats": statsErr, "exec": execErr,
		"start": r.Start(ctx, "c1"), "kill": r.Kill(ctx, "c1", "9", false), "kill --all": r.Kill(ctx, "c1", "9", true),
		"delete": r.Delete(ctx, "c1", false), "pause": r.Pause(ctx, "c1"), "resume": r.Resume(ctx, "c1"),
		"update": r.Update(ctx, "c1", nil),
	} {
		if !errors.Is(err, libcontainer.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.ok("delete --force", r.Delete(ctx, "c1", true))
	if all, err := r.List(ctx); err != nil || all != nil {
		t.Errorf("list: %v, %v", all, err)
	}
	if err := r.Create(ctx, "../c1", r.options()); !errors.Is(err, libcontainer.ErrInvalidID) {
		t.Errorf("create ../c1: %v", err)
	}
	if err := r.Delete(ctx, "..", true); !errors.Is(err, libcontainer.ErrInvalidID) {
		t.Errorf("delete --force ..: %v", err)
	}
}

func TestPausedBeforeStart(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	ctx := t.Context()
	r.create("c1")
	r.ok("pause", r.Pause(ctx, "c1"))
	r.status("c1", libcontainer.StatusPaused)
	r.ok("resume", r.Resume(ctx, "c1"))
	r.status("c1", specs.StateCreated)
	r.start("c1")
	r.ok("delete --force running", r.Delete(ctx, "c1", true))
	r.clean("after delete --force")
}

func TestNoProcess(t *testing.T) {
	r := newRig(t)
	r.spec.Process = nil
	r.create("c1")
	r.fails("start", r.Start(t.Context(), "c1"), "cannot start container c1: its config.json has no process")
	r.status("c1", specs.StateCreated)
	r.ok("delete", r.Delete(t.Context(), "c1", true))
	r.clean("after delete")
}

func TestList(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	for _, id := range []string{"b", "a", "damaged"} {
		r.create(id)
	}
	r.start("a")
	r.ok("damaging", os.WriteFile(filepath.Join(r.Root, "damaged", "state.json"), nil, 0o600))
	r.ok("nothing", os.Mkdir(filepath.Join(r.Root, "nothing"), 0o700))
	all, err := r.List(t.Context())
	r.ok("list", err)
	if len(all) != 3 {
		t.Fatalf("list %+v", all)
	}
	a, b, d := all[0], all[1], all[2]
	if a.ID != "a" || a.Status != specs.StateRunning || a.Pid == 0 || a.Bundle != r.bundle ||
		a.Rootfs != filepath.Join(r.bundle, "rootfs") || time.Since(a.Created) > time.Hour || a.Annotations["org.example.key"] != "value" {
		t.Errorf("a: %+v", a)
	}
	if b.ID != "b" || b.Status != specs.StateCreated {
		t.Errorf("b: %+v", b)
	}
	if d.ID != "damaged" || d.Status != specs.StateStopped || d.Pid != 0 || !r.warned("damaged") {
		t.Errorf("damaged: %+v", d)
	}
	for _, id := range []string{"a", "b", "damaged", "nothing"} {
		r.ok("delete --force "+id, r.Delete(t.Context(), id, true))
	}
}

// TestListDoesNotQueue: a host that takes its time with one container does not
// keep list from the next; what is said comes in the order of the ids.
func TestListDoesNotQueue(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	ids := []string{"a", "b", "c"}
	for _, id := range append([]string{"z", "y"}, ids...) {
		r.create(id)
	}
	for _, id := range []string{"z", "y"} {
		r.ok("damaging", os.WriteFile(filepath.Join(r.Root, id, "state.json"), nil, 0o600))
	}
	var together sync.WaitGroup
	together.Add(len(ids))
	hosts := r.Hosts
	r.Hosts = func(i libcontainer.Isolation) (libcontainer.Host, error) {
		together.Done()
		met := make(chan struct{})
		go func() { together.Wait(); close(met) }()
		select {
		case <-met:
			return hosts(i)
		case <-time.After(10 * time.Second):
			return nil, errors.New("the others are not asked meanwhile")
		}
	}
	all, err := r.List(t.Context())
	r.ok("list", err)
	r.Hosts = hosts
	var got []string
	for _, s := range all {
		got = append(got, s.ID)
	}
	if want := []string{"a", "b", "c", "y", "z"}; !slices.Equal(got, want) {
		t.Errorf("list is %v, want %v", got, want)
	}
	if len(r.warnings) != 2 || !strings.Contains(r.warnings[0], "container y") || !strings.Contains(r.warnings[1], "container z") {
		t.Errorf("warnings %q", r.warnings)
	}
	for _, id := range got {
		r.ok("delete --force "+id, r.Delete(t.Context(), id, true))
	}
}

func TestRun(t *testing.T) {
	ctx := t.Context()
	r := newRig(t, "sh", "-c", "exit 42")
	code, err := r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options()})
	if code != 42 || err != nil {
		t.Errorf("run: %d, %v", code, err)
	}
	r.clean("after run")

	code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options(), Keep: true})
	if code != 42 || err != nil {
		t.Errorf("run --keep: %d, %v", code, err)
	}
	r.status("c1", specs.StateStopped)
	r.ok("delete", r.Delete(ctx, "c1", false))

	r.spec.Process.Args = []string{"sleep", "1000"}
	code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options(), Started: func(p libcontainer.Process) {
		r.status("c1", specs.StateRunning)
		r.ok("signal", p.Signal(15))
	}})
	if code != 128+15 || err != nil {
		t.Errorf("run with a signal: %d, %v", code, err)
	}
	r.clean("after a signal")

	// Somebody else deletes what we wait for.
	code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options(), Started: func(libcontainer.Process) {
		r.ok("delete --force", r.Delete(ctx, "c1", true))
	}})
	if code != 128+9 || err != nil {
		t.Errorf("run of what is deleted: %d, %v", code, err)
	}
	r.clean("after the foreign delete")

	// And makes a container of its own with that id, which is not ours to delete.
	code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options(), Started: func(libcontainer.Process) {
		r.ok("delete --force", r.Delete(ctx, "c1", true))
		r.create("c1")
	}})
	if code != 128+9 || err != nil {
		t.Errorf("run of what is replaced: %d, %v", code, err)
	}
	r.status("c1", specs.StateCreated)
	r.ok("delete --force", r.Delete(ctx, "c1", true))

	code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: r.options(), Detach: true})
	if code != 0 || err != nil {
		t.Errorf("run --detach: %d, %v", code, err)
	}
	r.status("c1", specs.StateRunning)
	r.ok("delete --force", r.Delete(ctx, "c1", true))

	r.spec.Process.Args = []string{"nosuchcmd"}
	o := r.options()
	o.PidFile = filepath.Join(t.TempDir(), "pid")
	if code, err = r.Runtime.Run(ctx, "c1", libcontainer.RunOptions{CreateOptions: o}); code != 1 || err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("run nosuchcmd: %d, %v", code, err)
	}
	if _, err := os.Stat(o.PidFile); err == nil {
		t.Error("the pid file of nothing was left")
	}
	r.clean("after run nosuchcmd")
}

func TestExec(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	ctx := t.Context()
	r.create("c1")
	exec := func(o libcontainer.ExecOptions, script string) (int, error) {
		t.Helper()
		o.Override = func(_ string, p *specs.Process) error {
			if !slices.Equal(p.Env, []string{"PATH=/bin", "A=1"}) || p.Cwd != "/" || !slices.Equal(p.Args, []string{"sleep", "1000"}) {
				t.Errorf("exec starts from %+v", p)
			}
			p.Env[0] = "changed"
			p.Args = []string{"sh", "-c", script}
			return nil
		}
		return r.Exec(ctx, "c1", o)
	}
	for _, started := range []bool{false, true} {
		if started {
			r.start("c1")
		}
		if code, err := exec(libcontainer.ExecOptions{}, "exit 42"); code != 42 || err != nil {
			t.Errorf("exec: %d, %v", code, err)
		}
	}
	own := &specs.Process{Args: []string{"sh", "-c", "exit 6"}, Cwd: "/"}
	if code, err := r.Exec(ctx, "c1", libcontainer.ExecOptions{Process: own}); code != 6 || err != nil {
		t.Errorf("exec --process: %d, %v", code, err)
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	var pid int
	code, err := exec(libcontainer.ExecOptions{PidFile: pidFile, Started: func(p libcontainer.Process) { pid = p.Pid() }}, "exit 0")
	data, _ := os.ReadFile(pidFile)
	if code != 0 || err != nil || pid == 0 || string(data) != itoa(pid) {
		t.Errorf("exec --pid-file: %d, %v, pid %d, file %q", code, err, pid, data)
	}
	if code, err := exec(libcontainer.ExecOptions{Detach: true}, "sleep 1000"); code != 0 || err != nil {
		t.Errorf("exec --detach: %d, %v", code, err)
	}

	fails := func(what string, code int, err error, text string) {
		t.Helper()
		if code != 255 || libcontainer.ExitCode(err) != 255 || err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: code %d, %v (its code %d), want 255 and %q", what, code, err, libcontainer.ExitCode(err), text)
		}
	}
	missing := filepath.Join(t.TempDir(), "pid")
	own.Args = []string{"nosuchcmd"}
	code, err = r.Exec(ctx, "c1", libcontainer.ExecOptions{Process: own, PidFile: missing})
	fails("exec nosuchcmd", code, err, "executable file not found")
	if _, err := os.Stat(missing); err == nil {
		t.Error("a pid file was written though nothing started: conmon takes it for a start")
	}
	code, err = r.Exec(ctx, "c1", libcontainer.ExecOptions{Override: func(string, *specs.Process) error { return errInjected }})
	fails("refusing override", code, err, "injected")
	before, _ := r.Processes(ctx, "c1")
	code, err = exec(libcontainer.ExecOptions{PidFile: filepath.Join(missing, "x")}, "sleep 1000")
	fails("unwritable pid file", code, err, "pid file")
	if after, _ := r.Processes(ctx, "c1"); len(after) != len(before) {
		t.Errorf("the process without a pid file still runs: %v, before %v", after, before)
	}

	r.ok("pause", r.Pause(ctx, "c1"))
	code, err = exec(libcontainer.ExecOptions{}, "exit 0")
	fails("exec paused", code, err, "cannot exec in a paused container (use --ignore-paused to override)")
	if code, err := exec(libcontainer.ExecOptions{IgnorePaused: true, Detach: true}, "exit 0"); code != 0 || err != nil {
		t.Errorf("exec --ignore-paused: %d, %v", code, err)
	}
	r.stopped("c1")
	code, err = exec(libcontainer.ExecOptions{}, "exit 0")
	fails("exec stopped", code, err, "cannot exec in a stopped container")
	r.ok("delete", r.Delete(ctx, "c1", false))
	r.clean("after delete")
}
