package libcontainer

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kill sends a signal, by name or number as the container's operating system
// has it, to the container's init, with all to each of its processes. It takes
// no lock: it must reach a container whose start or pause hangs.
func (r *Runtime) Kill(ctx context.Context, id, signal string, all bool) error {
	if err := signalSomewhere(signal); err != nil {
		return err
	}
	c, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	sig, err := ParseSignal(c.facts.Isolation.OS, signal)
	if err != nil {
		return err
	}
	op := opKill
	if all {
		op = opKillAll
	}
	if err := c.allow(op); err != nil {
		if !c.survived(ctx, signal, err) {
			return err
		}
		all = true
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

// survived tells of a container that is stopped, because its first process has
// ended, while others of it live on: it had no pid namespace of its own. KILL
// is for them too, as with runc.
func (c *container) survived(ctx context.Context, signal string, refused error) bool {
	if c.sys == nil || c.facts.Isolation.OS != "linux" || !errors.Is(refused, ErrNotRunning) || c.status != specs.StateStopped {
		return false
	}
	if sig, err := linuxSignal(signal); err != nil || sig != sigKill {
		return false
	}
	left, err := c.sys.Processes(ctx)
	return err == nil && len(left) > 0
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
func (r *Runtime) Update(ctx context.Context, id string, edit func(*Limits) error) error {
	c, err := r.held(ctx, id, exclusive, opUpdate)
	if err != nil {
		return err
	}
	defer c.lock.release()
	update, limits := updater(c)
	if update == nil {
		return ErrUnsupported
	}
	if err := edit(limits); err != nil {
		return err
	}
	// Also after a failure: the host may have come half way.
	err = update(ctx)
	c.keep()
	return errors.Join(err, save(c.dir, c.facts))
}

// updater pairs an empty set of limits with the host's way to apply it; nil
// when it has none.
func updater(c *container) (func(context.Context) error, *Limits) {
	if c.facts.Isolation.OS == "windows" {
		l := &Limits{Windows: new(specs.WindowsResources)}
		if u, ok := c.sys.(WindowsUpdater); ok {
			return func(ctx context.Context) error { return u.UpdateWindows(ctx, l.Windows) }, l
		}
		return nil, nil
	}
	l := &Limits{Linux: new(specs.LinuxResources)}
	if u, ok := c.sys.(Updater); ok {
		return func(ctx context.Context) error { return u.Update(ctx, l.Linux) }, l
	}
	return nil, nil
}

// Resize changes the size, in characters, of the terminal of a process of the
// container: one that Processes lists, or the init process for pid 0 and for
// the state's pid.
func (r *Runtime) Resize(ctx context.Context, id string, pid int, width, height uint16) error {
	c, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if err := c.allow(opResize); err != nil {
		return err
	}
	s, ok := c.sys.(Resizer)
	if !ok {
		return ErrUnsupported
	}
	if pid == c.sys.Pid() {
		pid = 0
	}
	return s.Resize(ctx, pid, width, height)
}
