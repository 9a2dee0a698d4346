package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Patience bounds every call of wrun: none of them may hang.
const Patience = 30 * time.Second

// Tags of the two builds that tests run.
const (
	Tags      = "urfave_cli_no_docs"
	FaultTags = "wrunfault," + Tags
)

// Built is an environment variable: the folder of builds by their tags, for a
// machine where building takes too long.
const Built = "WRUN_TEST_BUILT"

// Prebuild makes the builds of a folder for Built.
func Prebuild(dir string) error {
	for _, tags := range []string{Tags, FaultTags} {
		if err := build(filepath.Join(dir, tags), tags); err != nil {
			return err
		}
	}
	return nil
}

// Build compiles the repository's main package into dir, or copies it from the
// folder of Built, and returns the binary. tags is a list for `go build -tags`.
func Build(dir, tags string) (string, error) {
	name := filepath.Join(dir, "wrun")
	built := os.Getenv(Built)
	if built == "" {
		return name, build(name, tags)
	}
	program, err := os.ReadFile(filepath.Join(built, tags))
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(name, program, 0o755)
}

func build(name, tags string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-tags", tags, "-o", name, "wrun")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// Wrun is a binary with a state root.
type Wrun struct {
	Binary string
	Root   string
	Env    []string // added to the test's own
}

// Result is how a call of wrun ended.
type Result struct {
	Code   int // -1 when a signal ended it
	Stdout string
	Stderr string
}

// Command is a call of wrun without deadline. Its streams are files: a
// container keeps them open, and a pipe would be waited for.
func (w *Wrun) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.Binary, append([]string{"--root", w.Root}, args...)...)
	cmd.Env = append(os.Environ(), w.Env...)
	return cmd
}

// Run calls wrun and waits for its end.
func (w *Wrun) Run(t testing.TB, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := w.Command(ctx, args...)
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	Must(t, err)
	defer out.Close()
	errs, err := os.Create(filepath.Join(dir, "err"))
	Must(t, err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("wrun %q did not end within %v", args, Patience)
	}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	stdout, err := os.ReadFile(out.Name())
	Must(t, err)
	stderr, err := os.ReadFile(errs.Name())
	Must(t, err)
	return Result{cmd.ProcessState.ExitCode(), string(stdout), string(stderr)}
}

// OK is Run for a call that must return 0 and say nothing on stderr.
func (w *Wrun) OK(t testing.TB, args ...string) Result {
	t.Helper()
	r := w.Run(t, args...)
	if r.Code != 0 || r.Stderr != "" {
		t.Errorf("wrun %q: exit code %d, stderr %q; want 0 and silence", args, r.Code, r.Stderr)
	}
	return r
}

// State is the status of container id, "" when it does not exist.
func (w *Wrun) State(t testing.TB, id string) specs.ContainerState {
	t.Helper()
	r := w.Run(t, "state", id)
	if r.Code == 1 && r.Stderr == "wrun: container does not exist\n" {
		return ""
	}
	var s specs.State
	if r.Code != 0 || r.Stderr != "" {
		t.Errorf("state: exit code %d, stderr %q", r.Code, r.Stderr)
	} else if err := json.Unmarshal([]byte(r.Stdout), &s); err != nil {
		t.Errorf("state: %v in %q", err, r.Stdout)
	} else if s.ID != id || s.Status == "" {
		t.Errorf("state: %+v", s)
	}
	return s.Status
}
