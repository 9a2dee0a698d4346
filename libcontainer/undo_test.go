package libcontainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hosttest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Whatever the host fails at, create leaves nothing and the id is free.
func TestCreateUndone(t *testing.T) {
	for _, point := range []string{"create", "create.recorded", "create.namespaces", "create.parked", "create.pid"} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, "true")
			r.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: trueProgram(t)}}}
			o := r.options()
			o.PidFile = filepath.Join(t.TempDir(), "pid")
			r.failAt(point, 1)
			if err := r.Create(t.Context(), "c1", o); !errors.Is(err, errInjected) {
				t.Errorf("create: %v", err)
			}
			r.clean(point)
			if _, err := os.Stat(o.PidFile); err == nil {
				t.Error("the pid file was left")
			}
			r.fake.Fail = nil
			r.ok("create again", r.Create(t.Context(), "c1", o))
			r.ok("delete", r.Delete(t.Context(), "c1", true))
			r.clean("after the second life")
		})
	}
}

// A host that cannot undo its create says so: then the record stays, for delete
// --force to try again.
func TestCreateNotUndone(t *testing.T) {
	r := newRig(t, "true")
	stuck := true
	r.fake.Fail = func(point string) error {
		if stuck && (point == "create.pid" || point == "create.undo") {
			return errInjected
		}
		return nil
	}
	err := r.Create(t.Context(), "c1", r.options())
	if !errors.Is(err, libcontainer.ErrLeft) || !errors.Is(err, errInjected) || libcontainer.Hint(err) == "" {
		t.Errorf("create: %v, hint %q", err, libcontainer.Hint(err))
	}
	r.status("c1", specs.StateStopped)
	if err := r.Create(t.Context(), "c1", r.options()); !errors.Is(err, libcontainer.ErrExist) {
		t.Errorf("create again: %v", err)
	}
	stuck = false
	r.ok("delete", r.Delete(t.Context(), "c1", true))
	r.clean("after delete --force")
}

func TestCreateUndoneByPidFile(t *testing.T) {
	r := newRig(t, "true")
	o := r.options()
	o.PidFile = filepath.Join(t.TempDir(), "no", "such", "directory")
	if err := r.Create(t.Context(), "c1", o); err == nil || !strings.Contains(err.Error(), "pid file") {
		t.Errorf("create: %v", err)
	}
	r.clean("after the failed create")
}

// Whatever the host fails at, run leaves nothing, or says what is left and
// delete --force removes it.
func TestRunUndone(t *testing.T) {
	for _, point := range hosttest.Points {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, "sh", "-c", "exit 3")
			r.failAt(point, 1)
			code, err := r.Runtime.Run(t.Context(), "c1", libcontainer.RunOptions{CreateOptions: r.options()})
			switch point {
			case "create", "create.recorded", "create.parked", "create.pid", "start", "wait":
				if !errors.Is(err, errInjected) || code != 1 {
					t.Errorf("run: %d, %v", code, err)
				}
				r.clean(point)
			case "close": // the program's code is worth more than the failed cleaning
				if code != 3 || err != nil || !r.warned("injected") {
					t.Errorf("run: %d, %v, warnings %v", code, err, r.warnings)
				}
				r.status("c1", specs.StateStopped)
				r.ok("delete --force", r.Delete(t.Context(), "c1", true))
				r.clean(point)
			default: // run has no business there
				if code != 3 || err != nil {
					t.Errorf("run: %d, %v", code, err)
				}
				r.clean(point)
			}
		})
	}
}

// A create whose undoing fails stays on record: it answers, and delete works.
func TestUndoFails(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.fake.Fail = func(point string) error {
		if point == "start" || point == "close" {
			return errInjected
		}
		return nil
	}
	if _, err := r.Runtime.Run(t.Context(), "c1", libcontainer.RunOptions{CreateOptions: r.options()}); !errors.Is(err, errInjected) {
		t.Errorf("run: %v", err)
	}
	if !r.warned("delete --force") {
		t.Errorf("no word about what is left: %v", r.warnings)
	}
	if _, err := r.State(t.Context(), "c1"); err != nil {
		t.Errorf("state: %v", err)
	}
	if err := r.Delete(t.Context(), "c1", true); !errors.Is(err, errInjected) {
		t.Errorf("delete --force while close fails: %v", err)
	}
	r.fake.Fail = nil
	r.ok("delete --force", r.Delete(t.Context(), "c1", true))
	r.clean("in the end")
}

// Each operation passes its host's failure on, and the container stays as it was.
func TestHostFailures(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	ctx := t.Context()
	r.create("c1")
	check := func(point string, f func() error) {
		t.Helper()
		before, err := r.State(ctx, "c1")
		r.ok("state", err)
		r.failAt(point, 1)
		if err := f(); !errors.Is(err, errInjected) {
			t.Errorf("%s: %v", point, err)
		}
		r.fake.Fail = nil
		r.status("c1", before.Status)
	}
	check("open", func() error { _, err := r.State(ctx, "c1"); return err })
	check("live", func() error { return r.Start(ctx, "c1") })
	check("start", func() error { return r.Start(ctx, "c1") })
	r.start("c1")
	check("signal", func() error { return r.Kill(ctx, "c1", "15", false) })
	check("exec", func() error { _, err := r.Exec(ctx, "c1", libcontainer.ExecOptions{}); return err })
	check("processes", func() error { _, err := r.Processes(ctx, "c1"); return err })
	check("pause", func() error { return r.Pause(ctx, "c1") })
	check("update", func() error { return r.Update(ctx, "c1", func(*libcontainer.Limits) error { return nil }) })
	check("stats", func() error { _, err := r.Stats(ctx, "c1"); return err })
	r.ok("pause", r.Pause(ctx, "c1"))
	check("resume", func() error { return r.Resume(ctx, "c1") })
	r.stopped("c1")
	check("close", func() error { return r.Delete(ctx, "c1", false) })
	check("close", func() error { return r.Delete(ctx, "c1", true) })
	r.ok("delete", r.Delete(ctx, "c1", false))
	r.clean("in the end")
}

// What a state file can look like after a disk's or somebody's accident.
func TestDamagedState(t *testing.T) {
	ctx := t.Context()
	for name, content := range map[string]string{"empty": "", "half": `{"version":1,"id":"c1`, "other": `{"version":1,"id":"c2","handle":{}}`} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "true")
			r.create("c1")
			r.ok("damaging", os.WriteFile(filepath.Join(r.Root, "c1", "state.json"), []byte(content), 0o600))
			r.status("c1", specs.StateStopped)
			if !r.warned("damaged") {
				t.Errorf("warnings %v", r.warnings)
			}
			if err := r.Create(ctx, "c1", r.options()); !errors.Is(err, libcontainer.ErrExist) {
				t.Errorf("create: %v", err)
			}
			if err := r.Start(ctx, "c1"); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("start: %v", err)
			}
			if err := r.Delete(ctx, "c1", false); !strings.Contains(libcontainer.Hint(err), "--force") {
				t.Errorf("delete: %v, hint %q", err, libcontainer.Hint(err))
			}
			r.ok("delete --force", r.Delete(ctx, "c1", true))
			if _, err := os.Stat(filepath.Join(r.Root, "c1")); err == nil {
				t.Error("the directory is still there")
			}
		})
	}
}

// A container of a newer wrun may run: even --force must not forget it.
func TestForeignState(t *testing.T) {
	r := newRig(t, "true")
	r.create("c1")
	r.ok("writing", os.WriteFile(filepath.Join(r.Root, "c1", "state.json"), []byte(`{"version":2}`), 0o600))
	_, err := r.State(t.Context(), "c1")
	for _, err := range []error{err, r.Delete(t.Context(), "c1", true), r.Start(t.Context(), "c1")} {
		if err == nil || !strings.Contains(err.Error(), "format 2") || libcontainer.Hint(err) == "" {
			t.Errorf("%v, hint %q", err, libcontainer.Hint(err))
		}
	}
	if _, err := os.Stat(filepath.Join(r.Root, "c1", "state.json")); err != nil {
		t.Errorf("the state was touched: %v", err)
	}
}

// After a boot nothing of the container is there, and its handle may by chance
// name somebody else: the host is not asked.
func TestBootEndsContainers(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.create("c1")
	name := filepath.Join(r.Root, "c1", "state.json")
	data, err := os.ReadFile(name)
	r.ok("reading", err)
	boot := field(string(data), `"boot":"`)
	if boot == "" {
		t.Skip("this machine's boots have no id")
	}
	r.ok("writing", os.WriteFile(name, []byte(strings.Replace(string(data), boot, "another-boot", 1)), 0o600))
	r.fake.Fail = func(point string) error {
		t.Errorf("the host was asked: %s", point)
		return nil
	}
	r.status("c1", specs.StateStopped)
	r.ok("delete", r.Delete(t.Context(), "c1", false))
	if _, err := os.Stat(filepath.Dir(name)); err == nil {
		t.Error("the directory is still there")
	}
}

func field(s, key string) string {
	_, rest, _ := strings.Cut(s, key)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestDeleteRemainsOfNothing(t *testing.T) {
	r := newRig(t, "true")
	r.ok("mkdir", os.MkdirAll(filepath.Join(r.Root, "c1"), 0o700))
	if _, err := r.State(t.Context(), "c1"); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("state: %v", err)
	}
	if err := r.Delete(t.Context(), "c1", false); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("delete: %v", err)
	}
	r.ok("delete --force", r.Delete(t.Context(), "c1", true))
	r.clean("after delete --force")
}
