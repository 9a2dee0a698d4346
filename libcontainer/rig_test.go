package libcontainer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hosttest"
)

// rig is a Runtime over the fake host, with a bundle to change.
type rig struct {
	*testing.T
	*libcontainer.Runtime
	fake   *hosttest.Fake
	bundle string
	spec   *specs.Spec

	mu       sync.Mutex
	warnings []string
}

func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	r := &rig{T: t, fake: new(hosttest.Fake), bundle: t.TempDir()}
	r.spec = &specs.Spec{
		Version:     "1.2.0",
		Root:        &specs.Root{Path: "rootfs"},
		Process:     &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin", "A=1"}},
		Annotations: map[string]string{"org.example.key": "value"},
	}
	// A Linux bundle also where this is Windows: the fake host takes any, and
	// the core does not ask what it runs on.
	r.spec.Linux = &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}}}
	if err := os.Mkdir(filepath.Join(r.bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.Runtime = &libcontainer.Runtime{
		Root:  filepath.Join(t.TempDir(), "root"),
		Hosts: func(libcontainer.Isolation) (libcontainer.Host, error) { return r.fake, nil },
		Warn: func(format string, args ...any) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
		},
	}
	return r
}

// options writes config.json as r.spec is now.
func (r *rig) options() libcontainer.CreateOptions {
	r.Helper()
	data, err := json.Marshal(r.spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(r.bundle, "config.json"), data, 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
	return libcontainer.CreateOptions{Bundle: r.bundle}
}

func (r *rig) create(id string) {
	r.Helper()
	r.ok("create", r.Create(r.Context(), id, r.options()))
}

func (r *rig) start(id string) {
	r.Helper()
	r.ok("start", r.Start(r.Context(), id))
}

func (r *rig) ok(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// fails wants exactly this text.
func (r *rig) fails(what string, err error, text string) {
	r.Helper()
	if err == nil || err.Error() != text {
		r.Errorf("%s: %v, want %q", what, err, text)
	}
}

func (r *rig) status(id string, want specs.ContainerState) {
	r.Helper()
	s, err := r.State(r.Context(), id)
	if err != nil {
		r.Errorf("state: %v, want %s", err, want)
		return
	}
	if s.Status != want {
		r.Errorf("status %s, want %s", s.Status, want)
	}
	if alive := want == specs.StateCreated || want == specs.StateRunning || want == libcontainer.StatusPaused; alive != (s.Pid > 0) {
		r.Errorf("%s with pid %d", want, s.Pid)
	}
}

// stopped waits for the end of init: the fake's programs end by themselves.
func (r *rig) stopped(id string) {
	r.Helper()
	r.ok("kill", r.Kill(r.Context(), id, "9", false))
	r.status(id, specs.StateStopped)
}

// clean wants no container, no directory and nothing at the host.
func (r *rig) clean(when string) {
	r.Helper()
	if left := r.fake.Left(); len(left) > 0 {
		r.Errorf("%s: the host still has %v", when, left)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Root, "*")); len(left) > 0 {
		r.Errorf("%s: left %v", when, left)
	}
	all, err := r.List(r.Context())
	if err != nil || len(all) > 0 {
		r.Errorf("%s: list %v, %v", when, all, err)
	}
}

func (r *rig) warned(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.warnings, func(w string) bool { return strings.Contains(w, words) })
}

var errInjected = errors.New("injected")

// failAt makes the fake fail at one point, at its n-th passage.
func (r *rig) failAt(point string, n int) {
	r.fake.Fail = func(p string) error {
		if p == point {
			if n--; n == 0 {
				return errInjected
			}
		}
		return nil
	}
}

func trueProgram(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath("true")
	if err != nil {
		t.Skip(err)
	}
	return p
}
