package libcontainer

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kill sends a Linux signal number to the container's init, with all to each
// of its processes. It takes no lock: it must reach a container whose start or
// pause hangs.
func (r *Runtime) Kill(ctx context.Context, id string, sig int, all bool) error {
	c, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	op := opKill
	if all {
		op = opKillAll
	}
	if err := c.allow(op); err != nil {
		return err
	}
	if c.sys == nil {
		return nil // stopped, and all of nothing is nothing
	}
	err = c.sys.Signal(ctx, sig, all)
	if all && errors.Is(err, ErrNotRunning) {
		return nil
	}
	return err
}

// Pause freezes every process of the container.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	c, err := r.held(ctx, id, exclusive, opPause)
	if err != nil {
		return err
	}
	defer c.lock.release()
	p, ok := c.sys.(Pauser)
	if !ok {
		return ErrUnsupported
	}
	return p.Pause(ctx)
}

// Resume thaws a paused container.
func (r *Runtime) Resume(ctx context.Context, id string) error {
	c, err := r.held(ctx, id, exclusive, opResume)
	if err != nil {
		return err
	}
	defer c.lock.release()
	p, ok := c.sys.(Pauser)
	if !ok {
		return ErrUnsupported
	}
	return p.Resume(ctx)
}

// Update changes limits of a living container. edit gets an empty set to fill
// in; what it leaves nil stays as it is.
func (r *Runtime) Update(ctx context.Context, id string, edit func(*specs.LinuxResources) error) error {
	c, err := r.held(ctx, id, exclusive, opUpdate)
	if err != nil {
		return err
	}
	defer c.lock.release()
	u, ok := c.sys.(Updater)
	if !ok {
		return ErrUnsupported
	}
	var limits specs.LinuxResources
	if err := edit(&limits); err != nil {
		return err
	}
	// Also after a failure: the host may have come half way.
	err = u.Update(ctx, &limits)
	c.keep()
	return errors.Join(err, save(c.dir, c.facts))
}
