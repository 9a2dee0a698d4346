//go:build wrunfault

package libcontainer_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// life is what the killed process was about: a whole life of container c1.
func life(r *rig, o libcontainer.CreateOptions, pidFile string) error {
	ctx := r.Context()
	o.PidFile = pidFile
	if err := r.Create(ctx, "c1", o); err != nil {
		return err
	}
	if err := r.Start(ctx, "c1"); err != nil {
		return err
	}
	own := &specs.Process{Args: []string{"true"}, Cwd: "/"}
	if _, err := r.Exec(ctx, "c1", libcontainer.ExecOptions{Process: own, PidFile: pidFile + "2"}); err != nil {
		return err
	}
	if err := r.Kill(ctx, "c1", "9", true); err != nil {
		return err
	}
	return r.Delete(ctx, "c1", false)
}

// TestFaults kills a wrun at every point of a container's life. Afterwards
// state answers or knows nothing, and delete --force removes everything. The
// fake host dies with its process, so a host's own remains are its own test.
func TestFaults(t *testing.T) {
	if root := os.Getenv("WRUN_FAULT_ROOT"); root != "" {
		r := newRig(t, "sleep", "1000")
		r.Root = filepath.Join(root, "root")
		r.spec.Hooks = &specs.Hooks{
			CreateRuntime: []specs.Hook{{Path: trueProgram(t)}},
			Poststart:     []specs.Hook{{Path: trueProgram(t)}},
			Poststop:      []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo ran >>" + root + "/poststop"}}},
		}
		r.ok("the whole life", life(r, r.options(), filepath.Join(root, "pid")))
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	points := slices.Concat(libcontainer.FaultPoints[:], []string{"create.recorded:2", "none"})
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			root := t.TempDir()
			cmd := exec.Command(self, "-test.run=^TestFaults$")
			cmd.Env = append(os.Environ(), "WRUN_FAULT="+point, "WRUN_FAULT_ROOT="+root, "TMPDIR="+root)
			out, err := cmd.CombinedOutput()
			if point == "none" {
				if err != nil {
					t.Fatalf("without a fault: %v\n%s", err, out)
				}
			} else if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("not killed: %v\n%s", err, out)
			}

			r := newRig(t, "true")
			r.Root = filepath.Join(root, "root")
			s, err := r.State(t.Context(), "c1")
			if err == nil && s.Status != specs.StateStopped || err != nil && !errors.Is(err, libcontainer.ErrNotExist) {
				t.Errorf("state: %+v, %v", s, err)
			}
			if existed := err == nil; existed {
				if err := r.Create(t.Context(), "c1", r.options()); !errors.Is(err, libcontainer.ErrExist) {
					t.Errorf("create over remains: %v", err)
				}
			}
			r.ok("delete --force", r.Delete(t.Context(), "c1", true))
			r.clean("after delete --force")
			r.ok("create again", r.Create(t.Context(), "c1", r.options()))
			r.ok("delete", r.Delete(t.Context(), "c1", true))
			if len(r.warnings) > 0 {
				t.Errorf("warnings %v", r.warnings)
			}
			// Once something was recorded, the poststop hooks run at least once.
			_, err = os.Stat(filepath.Join(root, "poststop"))
			if ran, due := err == nil, point != "create.reserved" && point != "create.copied"; ran != due {
				t.Errorf("poststop hooks ran: %v, want %v", ran, due)
			}
		})
	}
}
