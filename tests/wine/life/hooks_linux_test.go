package life

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// told makes a hook that writes what it is and what it was told to the file.
func told(file, what string) []specs.Hook {
	return []specs.Hook{{Path: rig.Probe, Args: []string{"probe", "append", file, what}}}
}

// TestHooks: the kinds that run on the host, each once, at its time, with the
// state on stdin.
func TestHooks(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		file := t.Dir + `\hooks`
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Hooks = &specs.Hooks{
			Prestart:      told(file, "prestart"), //nolint:staticcheck // engines still send it
			CreateRuntime: told(file, "createRuntime"), Poststart: told(file, "poststart"), Poststop: told(file, "poststop"),
		}
		b.Create()
		hooks(t, file, "prestart created", "createRuntime creating")
		t.OK("start", t.ID)
		hooks(t, file, "prestart created", "createRuntime creating", "poststart running")
		t.OK("kill", t.ID, "KILL")
		t.Becomes(t.ID, specs.StateStopped)
		t.OK("delete", t.ID)
		hooks(t, file, "prestart created", "createRuntime creating", "poststart running", "poststop stopped")
	})
}

// hooks checks which hooks wrote to the file, each with the status it was told.
func hooks(t *rig.Test, file string, want ...string) {
	t.Helper()
	var got []string
	for _, line := range rig.Lines(t.Read(file)) {
		what, state, _ := strings.Cut(line, " ")
		var s specs.State
		if err := json.Unmarshal([]byte(state), &s); err != nil || s.ID != t.ID {
			t.Errorf("hook %s was told %q: %v", what, state, err)
		}
		got = append(got, what+" "+string(s.Status))
	}
	t.Equal("hooks", strings.Join(got, ", "), strings.Join(want, ", "))
}

// TestHookInside: a startContainer hook runs in the container, before the
// program.
func TestHookInside(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: `C:\windows\system32\sh.exe`, Args: []string{"sh", "-c", "exit 0"}}}}
		b.Create()
		calls := t.Since(func() { t.OK("start", t.ID) })
		var programs []string
		for _, c := range calls.Named("HcsCreateProcess").Good() {
			line, _ := t.Field(c.Document, "CommandLine").(string)
			programs = append(programs, line)
		}
		if len(programs) != 2 || !strings.Contains(programs[0], "exit 0") || !strings.HasPrefix(programs[1], "sleep") {
			t.Errorf("processes: %q", programs)
		}
	})
}

// TestHookFails: a hook of create that fails ends the container, and nothing of
// it is left; its words are in the error.
func TestHookFails(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "sleep", "1000")
		b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: `C:\windows\system32\sh.exe`, Args: []string{"sh", "-c", "echo no network >&2; exit 3"}}}}
		t.Refused([]string{"createRuntime hook #0", "no network"}, b.Args("create")...)
		t.Is(t.ID, "")
		t.Nothing()
	})
}
