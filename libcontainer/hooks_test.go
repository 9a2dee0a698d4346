//go:build unix

package libcontainer_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

func script(text string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", text}}
}

// hookLog is a file that hooks append "<kind> <state>" to.
type hookLog struct{ name string }

func (l hookLog) hook(kind string) specs.Hook {
	return script("{ echo -n '" + kind + " '; cat; echo; } >>" + l.name)
}

func (l hookLog) lines(t *testing.T) (kinds []string, states []specs.State) {
	t.Helper()
	data, err := os.ReadFile(l.name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		kind, state, _ := strings.Cut(line, " ")
		var s specs.State
		if err := json.Unmarshal([]byte(state), &s); err != nil {
			t.Errorf("%s read %q: %v", kind, state, err)
		}
		kinds, states = append(kinds, kind), append(states, s)
	}
	return kinds, states
}

func (l hookLog) all() *specs.Hooks {
	return &specs.Hooks{
		Prestart:        []specs.Hook{l.hook("prestart"), l.hook("prestart2")},
		CreateRuntime:   []specs.Hook{l.hook("createRuntime"), l.hook("createRuntime2")},
		CreateContainer: []specs.Hook{l.hook("createContainer")},
		StartContainer:  []specs.Hook{l.hook("startContainer")},
		Poststart:       []specs.Hook{l.hook("poststart")},
		Poststop:        []specs.Hook{l.hook("poststop"), l.hook("poststop2")},
	}
}

func TestHooksOrderAndState(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	l := hookLog{filepath.Join(t.TempDir(), "log")}
	r.spec.Hooks = l.all()
	r.create("c1")
	created, err := r.State(t.Context(), "c1")
	r.ok("state", err)
	r.ok("removing the bundle", os.RemoveAll(r.bundle)) // later hooks come from the copy
	r.start("c1")
	r.stopped("c1")
	r.ok("delete", r.Delete(t.Context(), "c1", false))
	kinds, states := l.lines(t)
	want := []struct {
		kind   string
		status specs.ContainerState
	}{
		{"prestart", "created"}, {"prestart2", "created"},
		{"createRuntime", "creating"}, {"createRuntime2", "creating"}, {"createContainer", "creating"},
		{"startContainer", "created"}, {"poststart", "running"}, {"poststop", "stopped"}, {"poststop2", "stopped"},
	}
	if len(kinds) != len(want) {
		t.Fatalf("hooks that ran: %v", kinds)
	}
	for i, w := range want {
		s := states[i]
		if kinds[i] != w.kind || s.Status != w.status {
			t.Errorf("hook %d: %s read %s, want %+v", i, kinds[i], s.Status, w)
		}
		if s.ID != "c1" || s.Bundle != r.bundle || s.Annotations["org.example.key"] != "value" {
			t.Errorf("%s read %+v", kinds[i], s)
		}
		if pid := created.Pid; w.status == "stopped" && s.Pid != 0 || w.status != "stopped" && s.Pid != pid {
			t.Errorf("%s read pid %d", kinds[i], s.Pid)
		}
	}
}

// runtime.md, "Lifecycle": a hook that fails before the end of start is the
// container's end, and the poststop hooks run. A failing poststop hook is a warning.
func TestHookFailures(t *testing.T) {
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		for _, how := range []string{"in turn", "run"} {
			t.Run(kind+" "+how, func(t *testing.T) {
				r := newRig(t, "true")
				l := hookLog{filepath.Join(t.TempDir(), "log")}
				h := l.all()
				list := map[string]*[]specs.Hook{
					"prestart": &h.Prestart, "createRuntime": &h.CreateRuntime, "createContainer": &h.CreateContainer,
					"startContainer": &h.StartContainer, "poststart": &h.Poststart, "poststop": &h.Poststop,
				}[kind]
				bad := script("echo said; echo why >&2; exit 7")
				*list = append([]specs.Hook{l.hook("before")}, append([]specs.Hook{bad}, *list...)...)
				r.spec.Hooks = h
				const text = " hook #1: exit status 7, stdout: said, stderr: why"
				var err error
				if how == "run" {
					_, err = r.Runtime.Run(t.Context(), "c1", libcontainer.RunOptions{CreateOptions: r.options()})
				} else {
					err = r.Create(t.Context(), "c1", r.options())
					if err == nil {
						err = r.Start(t.Context(), "c1")
					}
					if err == nil {
						err = r.Delete(t.Context(), "c1", true)
					}
				}
				kinds, _ := l.lines(t)
				if !slices.Contains(kinds, "before") {
					t.Errorf("the hook before did not run: %v", kinds)
				}
				if kind == "poststop" {
					if err != nil || !r.warned("error running poststop"+text) {
						t.Errorf("%v, warnings %v", err, r.warnings)
					}
				} else {
					r.fails("the operation", err, "error running "+kind+text)
					if slices.Contains(kinds, kind) {
						t.Errorf("a hook after the failed one ran: %v", kinds)
					}
				}
				if n := len(kinds); n < 2 || kinds[n-2] != "poststop" || kinds[n-1] != "poststop2" {
					t.Errorf("the poststop hooks did not run last: %v", kinds)
				}
				r.clean("in the end")
			})
		}
	}
}

func TestHookTimeout(t *testing.T) {
	r := newRig(t, "true")
	one := 1
	mark := filepath.Join(t.TempDir(), "mark")
	slow := script("(sleep 2; echo late >" + mark + ") & sleep 100")
	slow.Timeout = &one
	r.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{slow}}
	begin := time.Now()
	err := r.Create(t.Context(), "c1", r.options())
	if took := time.Since(begin); took < time.Second || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	r.fails("create", err, "error running createRuntime hook #0: /bin/sh did not end within its timeout of 1s")
	r.clean("after the timeout")
	time.Sleep(time.Until(begin.Add(2500 * time.Millisecond)))
	if _, err := os.Stat(mark); err == nil {
		t.Error("a child of the hook outlived it")
	}
}

func TestHookCannotStart(t *testing.T) {
	r := newRig(t, "true")
	r.spec.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: "/no/such/hook"}}}
	r.fails("create", r.Create(t.Context(), "c1", r.options()), "error running prestart hook #0: fork/exec /no/such/hook: no such file or directory")
	r.clean("in the end")
}

func TestExecHook(t *testing.T) {
	t.Setenv("FROM_OUTSIDE", "1")
	out := filepath.Join(t.TempDir(), "out")
	big := []byte(strings.Repeat("x", 1<<20)) // more than a pipe holds
	for name, h := range map[string]specs.Hook{
		"does not read":        script("exit 0"),
		"closes its input":     script("exec <&-; sleep 0.05"),
		"leaves a daemon":      script("sleep 3 & exit 0"),
		"args default to path": {Path: trueProgram(t)},
	} {
		begin := time.Now()
		if err := libcontainer.ExecHook(t.Context(), h, big); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 2500*time.Millisecond {
			t.Errorf("%s: took %v", name, took)
		}
	}
	for _, env := range [][]string{nil, {"A=1", "B=2"}} {
		h := script("/usr/bin/env >" + out)
		h.Env = env
		if err := libcontainer.ExecHook(t.Context(), h, nil); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(out)
		var got []string
		for line := range strings.Lines(string(data)) {
			// The shell's own additions.
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "PWD=") && !strings.HasPrefix(line, "_=") && !strings.HasPrefix(line, "SHLVL=") {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, env) {
			t.Errorf("environment %v, want %v", got, env)
		}
	}
	err := libcontainer.ExecHook(t.Context(), script("head -c 100000 /dev/zero | tr '\\0' y; exit 1"), nil)
	if err == nil || len(err.Error()) > 3000 || !strings.Contains(err.Error(), "yyy") {
		t.Errorf("a talkative hook: %d bytes of error", len(err.Error()))
	}
}
