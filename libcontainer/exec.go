package libcontainer

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// execFailed is runc's exit code of an exec that started nothing, apart from
// every likely code of the program.
const execFailed = 255

// sigKill is Linux's number; hosts translate it.
const sigKill = 9

// Exec starts a further process in container id and returns its exit code, 0
// when detached. Errors carry exit code 255.
func (r *Runtime) Exec(ctx context.Context, id string, o ExecOptions) (int, error) {
	p, err := r.exec(ctx, id, o)
	if err != nil {
		return execFailed, WithExitCode(err, execFailed)
	}
	if o.Detach {
		return 0, nil
	}
	if o.Started != nil {
		o.Started(p)
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return execFailed, WithExitCode(err, execFailed)
	}
	return code, nil
}

// exec returns once the process runs. The lock is shared: execs run side by
// side, only delete, pause and the like wait for a start in progress.
func (r *Runtime) exec(ctx context.Context, id string, o ExecOptions) (Process, error) {
	op := opExec
	if o.IgnorePaused {
		op = opExecIgnorePaused
	}
	c, err := r.held(ctx, id, shared, op)
	if err != nil {
		return nil, err
	}
	defer c.lock.release()
	fault(FaultExecLocked)
	spec, err := c.config()
	if err != nil {
		return nil, err
	}
	process := o.Process
	if process == nil {
		if process, err = derive(spec.Process, c.facts.Isolation.OS, o.Override); err != nil {
			return nil, err
		}
	}
	if o.Streams != nil {
		if o.Stdio, err = o.Streams(c.facts.Isolation.OS, process); err != nil {
			return nil, err
		}
	}
	if o.IgnorePaused {
		// In a paused container the new process waits for resume, which needs
		// the lock; delete ends the wait as it ends the process.
		c.lock.release()
	}
	p, err := c.sys.Exec(ctx, &Exec{Spec: process, Container: spec, Cgroup: o.Cgroup, Paused: o.IgnorePaused, Detach: o.Detach, MonitorLog: o.MonitorLog, Warn: r.warn, Debug: r.Debug, State: c.state}, o.Stdio)
	if err != nil {
		return nil, err
	}
	fault(FaultExecStarted)
	if o.PidFile != "" {
		// Only now: conmon takes the file for the sign that the process started.
		if err := writePidFile(o.PidFile, p.Pid()); err != nil {
			return nil, errors.Join(err, p.Signal(sigKill))
		}
		fault(FaultExecPidFile)
	}
	return p, nil
}

// derive edits a copy of the container's own process. All lists that an edit
// may write to or append to are the copy's own.
func derive(own *specs.Process, os string, edit func(string, *specs.Process) error) (*specs.Process, error) {
	p := new(specs.Process)
	if own != nil {
		*p = *own
		p.Args, p.Env = slices.Clone(p.Args), slices.Clone(p.Env)
		p.Rlimits = slices.Clone(p.Rlimits)
		p.User.AdditionalGids = slices.Clone(p.User.AdditionalGids)
		if c := p.Capabilities; c != nil {
			p.Capabilities = &specs.LinuxCapabilities{
				Bounding: slices.Clone(c.Bounding), Effective: slices.Clone(c.Effective), Inheritable: slices.Clone(c.Inheritable),
				Permitted: slices.Clone(c.Permitted), Ambient: slices.Clone(c.Ambient),
			}
		}
		if size := p.ConsoleSize; size != nil {
			p.ConsoleSize = &specs.Box{Height: size.Height, Width: size.Width}
		}
	}
	if edit != nil {
		if err := edit(os, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}
