package libcontainer

import (
	"context"
	"errors"
	"path/filepath"
)

// Run is Create, Start and, unless detached, Wait and Delete. It returns the
// program's exit code, 0 when detached. If the program cannot be started
// nothing is left.
func (r *Runtime) Run(ctx context.Context, id string, o RunOptions) (int, error) {
	c, u, err := r.create(ctx, id, o.CreateOptions, true)
	if err != nil {
		return ExitCode(err), err
	}
	if err := c.start(ctx); err != nil {
		c.abandon(u)
		return ExitCode(err), err
	}
	c.lock.release()
	if o.Detach {
		return 0, nil
	}
	if o.Started != nil {
		o.Started(initProcess{ctx, c.sys})
	}
	code, err := c.sys.Wait(ctx)
	if err == nil && o.Keep {
		return code, nil
	}
	// Whoever interrupted the wait still wants the container gone.
	if gone := c.finish(context.WithoutCancel(ctx)); gone != nil {
		if err == nil {
			r.warn("%v", gone) // the program's own exit code is what the caller asked for
		} else {
			err = errors.Join(err, gone)
		}
	}
	if err != nil {
		return ExitCode(err), err
	}
	return code, nil
}

// finish deletes the container that this process ran, unless somebody did.
func (c *container) finish(ctx context.Context) error {
	var err error
	c.lock, err = acquire(ctx, c.dir, exclusive, lockWait)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fault(FaultDeleteLocked)
	data, err := readFile(filepath.Join(c.dir, stateFile))
	if err != nil || !c.facts.wrote(data) {
		c.lock.release() // deleted, perhaps even created anew under the same id
		return nil
	}
	return c.destroy(ctx)
}

// initProcess is a container's init in the guise of a process of its own.
type initProcess struct {
	ctx context.Context
	sys System
}

func (p initProcess) Pid() int                              { return p.sys.Pid() }
func (p initProcess) Signal(sig int) error                  { return p.sys.Signal(p.ctx, sig, false) }
func (p initProcess) Wait(ctx context.Context) (int, error) { return p.sys.Wait(ctx) }
