package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
)

// TestTimers: what wrun starts has the timers of wrun's caller. A build with fault
// points is late in all of its threads, others in some, now and then.
func TestTimers(t *testing.T) {
	const own = "/proc/self/timerslack_ns"
	slack, err := os.ReadFile(own)
	container.Must(t, err)
	want := strings.TrimSpace(string(slack))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l := newLife(t, k)
			written := filepath.Join(l.files, "slack")
			b := container.NewBundle(t, filepath.Join(l.files, "bundle"), "cat", own)
			k.edit(b)
			b.Spec.Process.Terminal = false
			if k.hooks {
				note := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat " + own + " >>" + written}}}
				b.Spec.Hooks = &specs.Hooks{CreateRuntime: note, CreateContainer: note, Poststart: note, Poststop: note}
			}
			b.Save(t)
			if got := strings.TrimSpace(l.OK(t, "run", "--bundle", b.Dir, l.id).Stdout); got != want {
				t.Errorf("the container's timers may be %s ns late, want %s", got, want)
			}
			if k.hooks {
				got, err := os.ReadFile(written)
				container.Must(t, err)
				if lines := strings.Fields(string(got)); strings.Join(lines, " ") != strings.TrimSpace(strings.Repeat(want+" ", 4)) {
					t.Errorf("the hooks' timers may be %q ns late, want %s, four times", lines, want)
				}
			}
			l.before.Check(t, "after the run")
		})
	}
}
