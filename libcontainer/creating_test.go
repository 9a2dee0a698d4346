package libcontainer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// What others see and may do while a create is under way.
func TestWhileCreating(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	o := r.options()
	ctx := t.Context()
	entered, release := make(chan struct{}), make(chan struct{})
	r.fake.Fail = func(point string) error {
		if point == "create.recorded" {
			close(entered)
			<-release
		}
		return nil
	}
	created := make(chan error, 1)
	go func() { created <- r.Create(ctx, "c1", o) }()
	<-entered

	s, err := r.State(ctx, "c1")
	if err != nil || s.Status != specs.StateCreating || s.Pid != 0 || s.Bundle != r.bundle {
		t.Errorf("state: %+v, %v", s, err)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 1 || all[0].Status != specs.StateCreating {
		t.Errorf("list: %+v, %v", all, err)
	}
	if err := r.Create(ctx, "c1", o); !errors.Is(err, libcontainer.ErrExist) {
		t.Errorf("create: %v", err)
	}
	for _, all := range []bool{false, true} {
		if err := r.Kill(ctx, "c1", "9", all); !errors.Is(err, libcontainer.ErrNotRunning) {
			t.Errorf("kill, all %v: %v", all, err)
		}
	}
	if pids, err := r.Processes(ctx, "c1"); err != nil || len(pids) != 0 {
		t.Errorf("ps: %v, %v", pids, err)
	}

	// What changes the container waits for its creator.
	started := make(chan error, 1)
	go func() { started <- r.Start(ctx, "c1") }()
	select {
	case err := <-started:
		t.Errorf("start did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	r.ok("create", <-created)
	r.ok("start", <-started)
	r.status("c1", specs.StateRunning)
	r.ok("delete --force", r.Delete(ctx, "c1", true))
	r.clean("in the end")
}

// A start that hangs must not keep anybody from looking or killing.
func TestWhileStarting(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.create("c1")
	ctx := t.Context()
	entered, release := make(chan struct{}), make(chan struct{})
	r.fake.Fail = func(point string) error {
		if point == "start" {
			close(entered)
			<-release
		}
		return nil
	}
	started := make(chan error, 1)
	go func() { started <- r.Start(ctx, "c1") }()
	<-entered
	r.status("c1", specs.StateCreated)
	r.stopped("c1")
	close(release)
	if err := <-started; err == nil {
		t.Error("start of a killed container succeeded")
	}
	r.ok("delete", r.Delete(ctx, "c1", false))
	r.clean("in the end")
}

// Between "being created" and "created" there is no moment in which a container
// looks stopped.
func TestCreatingNeverLooksStopped(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	o := r.options()
	for range 100 {
		done := make(chan error, 1)
		go func() { done <- r.Create(t.Context(), "c1", o) }()
		for created := false; !created; {
			s, err := r.State(t.Context(), "c1")
			switch {
			case errors.Is(err, libcontainer.ErrNotExist):
			case err != nil:
				t.Fatal(err)
			case s.Status == specs.StateStopped:
				t.Fatal("a container in creation looked stopped")
			case s.Status == specs.StateCreated:
				created = true
			}
		}
		r.ok("create", <-done)
		r.ok("delete", r.Delete(t.Context(), "c1", true))
	}
}
