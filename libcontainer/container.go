package libcontainer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
)

// container is one container in the hands of one operation.
type container struct {
	rt     *Runtime
	dir    string
	facts  *facts
	lock   *lock // nil: this operation only looks
	sys    System
	live   Live
	status specs.ContainerState // as it was when the operation began
	spec   *specs.Spec          // nil until it is asked for
	raw    []byte               // config.json of a new container, until it is saved
}

// find loads container id and observes it, without a lock: what it sees may
// change at once. A caller that changes something uses hold.
func (r *Runtime) find(ctx context.Context, id string) (*container, error) {
	dir, err := r.dir(id)
	if err != nil {
		return nil, err
	}
	f, err := load(dir, id)
	if err != nil {
		return nil, err
	}
	c := &container{rt: r, dir: dir, facts: f}
	creating := false
	if !f.Complete {
		l, err := acquire(ctx, dir, shared, 0)
		switch {
		case errors.Is(err, errHeld):
			creating = true
		case err != nil:
			return nil, err
		default:
			// Nobody creates it. Unless its creator came to the end just before.
			c.facts, err = load(dir, id)
			l.release()
			if err != nil {
				return nil, err
			}
		}
	}
	return c, c.observe(ctx, creating)
}

// hold loads and observes container id under its lock. The caller releases
// c.lock, also when an error comes with a container: then the facts are
// unreadable and c.facts is nil.
func (r *Runtime) hold(ctx context.Context, id string, kind lockKind) (*container, error) {
	dir, err := r.dir(id)
	if err != nil {
		return nil, err
	}
	l, err := acquire(ctx, dir, kind, lockWait)
	if err != nil {
		return nil, err
	}
	c := &container{rt: r, dir: dir, lock: l}
	if c.facts, err = load(dir, id); err != nil {
		return c, err
	}
	if err := c.observe(ctx, false); err != nil {
		l.release()
		return nil, err
	}
	return c, nil
}

// held is hold for operations that need a container in a certain status.
func (r *Runtime) held(ctx context.Context, id string, kind lockKind, op operation) (*container, error) {
	c, err := r.hold(ctx, id, kind)
	if err == nil {
		err = c.allow(op)
	}
	if err != nil {
		if c != nil {
			c.lock.release()
		}
		return nil, err
	}
	return c, nil
}

// observe asks the host what became of the container.
func (c *container) observe(ctx context.Context, creating bool) error {
	if err := c.reopen(ctx, creating); err != nil {
		return fmt.Errorf("looking at container %s: %w", c.facts.ID, err)
	}
	c.status = statusOf(c.facts.Complete, creating, c.live)
	return nil
}

func (c *container) reopen(ctx context.Context, creating bool) error {
	// What a host makes ends with the machine's boot. Pids and names in an
	// older handle may mean somebody else by now.
	if creating || c.facts.Boot != bootID() {
		return nil
	}
	host, err := c.rt.Hosts(c.facts.Isolation)
	if err != nil {
		return err
	}
	c.sys, err = host.Open(ctx, c.facts.Handle)
	if errors.Is(err, ErrNotFound) {
		c.sys = nil
		return nil
	}
	if err != nil {
		return err
	}
	c.live, err = c.sys.Live(ctx)
	return err
}

func (c *container) allow(op operation) error {
	return refuse(op, c.status, c.facts.ID)
}

// pid is 0 for a container without a living process.
func (c *container) pid() int {
	if c.sys == nil || c.status == specs.StateStopped || c.status == specs.StateCreating {
		return 0
	}
	return c.sys.Pid()
}

// config reads the copy that create made of config.json.
func (c *container) config() (*specs.Spec, error) {
	if c.spec == nil {
		b, err := bundle.Load(c.dir)
		if err != nil {
			return nil, fmt.Errorf("reading the configuration of container %s: %w", c.facts.ID, err)
		}
		if b.Spec.Root != nil {
			b.Spec.Root.Path = c.facts.Rootfs // the copy lies elsewhere than the bundle
		}
		c.spec = b.Spec
	}
	return c.spec, nil
}

// hooks returns the container's hooks; most have none, and then nothing is read.
func (c *container) hooks() (*specs.Hooks, error) {
	if !c.facts.Hooks {
		return nil, nil
	}
	s, err := c.config()
	if err != nil {
		return nil, err
	}
	return s.Hooks, nil
}

// destroy takes a container out of the world: lifecycle steps 12 and 13 of
// runtime.md. On error its record stays, and delete may be tried again. The
// lock is given up in every case.
//
// The poststop hooks run before the record goes, so that a killed delete,
// repeated, runs them again: at least once is what a cleanup hook needs.
func (c *container) destroy(ctx context.Context) error {
	if c.sys != nil {
		if err := c.sys.Close(ctx); err != nil {
			c.lock.release()
			return fmt.Errorf("removing container %s: %w", c.facts.ID, err)
		}
	}
	fault(FaultDeleteClosed)
	c.poststop(ctx)
	fault(FaultDeletePoststop)
	return remove(c.dir, c.lock)
}
