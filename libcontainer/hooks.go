package libcontainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/sysmon"
)

// hookOutput is how much of each of a failing hook's streams its error keeps.
// conmon reads no more than 8 KiB of all that a runtime says.
const hookOutput = 2048

// hookDrain bounds how long a hook's output is read after its end: a daemon
// that it left behind may hold the streams for ever.
const hookDrain = time.Second

// hookError is a failed hook: what config.md answers with the container's end.
type hookError struct {
	kind  string
	index int
	err   error
}

// The text is runc's.
func (e *hookError) Error() string {
	return "error running " + e.kind + " hook #" + strconv.Itoa(e.index) + ": " + e.err.Error()
}

func (e *hookError) Unwrap() error { return e.err }

// runHooks runs hooks one after the other until one fails.
func runHooks(ctx context.Context, kind string, hooks []specs.Hook, state []byte, run RunHook) error {
	for i := range hooks {
		if err := runHook(ctx, kind, i, hooks[i], state, run); err != nil {
			return err
		}
	}
	return nil
}

func runHook(ctx context.Context, kind string, i int, h specs.Hook, state []byte, run RunHook) error {
	if h.Timeout != nil {
		d := time.Duration(*h.Timeout) * time.Second
		late := fmt.Errorf("%s did not end within its timeout of %v", h.Path, d)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, late)
		defer cancel()
	}
	err := run(ctx, h, state)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &hookError{kind, i, err}
}

// ExecHook is the RunHook of the namespaces that the calling thread is in. The
// hook leads a process group, which ends with ctx. Its environment is what
// config.json says and nothing else.
func ExecHook(ctx context.Context, h specs.Hook, state []byte) error {
	var stdout, stderr head
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env = append([]string{}, h.Env...) // nil would mean ours
	cmd.Stdin = bytes.NewReader(state)     // os/exec ignores EPIPE: a hook need not read it
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = hookDrain
	ownGroup(cmd)
	runtime.LockOSThread() // see dieWithUs
	defer runtime.UnlockOSThread()
	err := sysmon.Exact(cmd.Run)
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it ended well; only its streams stay open
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err // it did not even start: os/exec names the path
	}
	// Not wrapped: main would find an ExitCode method and end with the hook's code.
	return fmt.Errorf("%v, stdout: %s, stderr: %s", err, stdout.text(), stderr.text())
}

// head keeps the beginning of what is written to it.
type head struct{ buf []byte }

func (w *head) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p[:min(len(p), hookOutput-len(w.buf))]...)
	return len(p), nil
}

func (w *head) text() []byte { return bytes.TrimSpace(w.buf) }

// hookState is what a hook reads from its standard input.
func (f *facts) hookState(status specs.ContainerState, pid int) []byte {
	s := f.state(status, pid)
	// The bundle's own: runtime-tools' hooks_stdin compares them whole.
	s.Annotations = f.Annotations
	data, err := json.Marshal(s)
	if err != nil { // strings and an int
		panic(err)
	}
	return data
}

// createHooks runs the hooks that belong into create, after the namespaces
// exist and before the root is switched.
//
// The statuses are those that runtime-tools' hooks_stdin expects: "created"
// for prestart, which predates "creating".
func (c *container) createHooks(ctx context.Context, pid int, inside RunHook) error {
	fault(FaultCreateNamespaces)
	h := c.spec.Hooks
	if err := runHooks(ctx, "prestart", h.Prestart, c.facts.hookState(specs.StateCreated, pid), ExecHook); err != nil { //nolint:staticcheck // dockerd 20.10 needs it
		return err
	}
	if err := runHooks(ctx, "createRuntime", h.CreateRuntime, c.facts.hookState(specs.StateCreating, pid), ExecHook); err != nil {
		return err
	}
	if len(h.CreateContainer) > 0 {
		if inside == nil {
			return fmt.Errorf("running createContainer hooks: %w", ErrUnsupported)
		}
		// runtime.md, "State": "For hooks executed in the container namespace,
		// it is the pid as seen by the container."
		state := c.facts.hookState(specs.StateCreating, pidInside(pid))
		if err := runHooks(ctx, "createContainer", h.CreateContainer, state, inside); err != nil {
			return err
		}
	}
	fault(FaultCreateHooked)
	return nil
}

// startHooks runs the hooks that belong before the program.
func (c *container) startHooks(ctx context.Context) error {
	h, err := c.hooks()
	if err != nil || h == nil || len(h.StartContainer) == 0 {
		return err
	}
	runner, ok := c.sys.(HookRunner)
	if !ok {
		return fmt.Errorf("running startContainer hooks: %w", ErrUnsupported)
	}
	run := runner.RunHook
	if full, ok := c.sys.(StartHookRunner); ok {
		spec, err := c.config()
		if err != nil {
			return err
		}
		run = func(ctx context.Context, h specs.Hook, state []byte) error {
			return full.RunStartHook(ctx, h, spec, state)
		}
	}
	state := c.facts.hookState(specs.StateCreated, pidInside(c.sys.Pid()))
	return runHooks(ctx, "startContainer", h.StartContainer, state, run)
}

func (c *container) poststart(ctx context.Context) error {
	h, err := c.hooks()
	if err != nil || h == nil || len(h.Poststart) == 0 {
		return err
	}
	state := c.facts.hookState(specs.StateRunning, c.sys.Pid())
	return runHooks(ctx, "poststart", h.Poststart, state, ExecHook)
}

// poststop runs every poststop hook. runtime.md, "Lifecycle", step 13: "If any
// poststop hook fails, the runtime MUST log a warning, but the remaining hooks
// and lifecycle continue as if the hook had succeeded."
func (c *container) poststop(ctx context.Context) {
	h, err := c.hooks()
	if err != nil {
		c.rt.warn("poststop hooks: %v", err)
		return
	}
	if h == nil || len(h.Poststop) == 0 {
		return
	}
	state := c.facts.hookState(specs.StateStopped, 0)
	for i := range h.Poststop {
		if err := runHook(ctx, "poststop", i, h.Poststop[i], state, ExecHook); err != nil {
			c.rt.warn("%v", err)
		}
	}
}
