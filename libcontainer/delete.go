package libcontainer

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Delete removes a stopped container, with force any container and also what
// a killed wrun left. Forcing away what does not exist is no error: containerd
// does it after every delete.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) error {
	c, err := r.hold(ctx, id, exclusive)
	switch {
	case err == nil:
	case errors.Is(err, ErrNotExist):
		if c != nil { // a directory without facts
			if force {
				return remove(c.dir, c.lock)
			}
			c.lock.release()
		}
		if force {
			return nil
		}
		return err
	case errors.Is(err, errDamaged):
		if force {
			r.warn("%v; only the state directory could be removed", err)
			return remove(c.dir, c.lock)
		}
		c.lock.release()
		return WithHint(err, "delete --force removes it")
	default:
		if c != nil {
			c.lock.release()
		}
		return err
	}
	defer c.lock.release()
	fault(FaultDeleteLocked)
	op := opDelete
	if force {
		op = opDeleteForce
	}
	if err := c.allow(op); err != nil {
		return err
	}
	return c.destroy(ctx)
}

// damaged is the answer of state and list for a container whose facts cannot
// be read. Its host cannot be asked, since the handle is lost; what is sure is
// that no operation but delete --force works any more.
func (r *Runtime) damaged(id string, err error) *specs.State {
	r.warn("%v; delete --force removes it", err)
	f := facts{ID: id}
	return f.state(specs.StateStopped, 0)
}
