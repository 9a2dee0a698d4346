package libcontainer

import (
	"context"
	"errors"
	"fmt"
)

// Start releases the program of a created container.
//
// A failing startContainer or poststart hook is the container's end
// (runtime.md, "Lifecycle", steps 7 and 9: "the runtime MUST generate an
// error, stop the container, and continue the lifecycle at step 12").
func (r *Runtime) Start(ctx context.Context, id string) error {
	c, err := r.held(ctx, id, exclusive, opStart)
	if err != nil {
		return err
	}
	defer c.lock.release()
	fault(FaultStartLocked)
	if err := c.start(ctx); err != nil {
		var hook *hookError
		if errors.As(err, &hook) {
			if e := c.destroy(context.WithoutCancel(ctx)); e != nil {
				r.warn("%v; delete --force tries again", e)
			}
		}
		return err
	}
	return nil
}

// start runs hooks and program. What an error means for the container is the
// caller's decision.
func (c *container) start(ctx context.Context) error {
	if c.facts.NoProcess {
		// runtime.md, "Start": "This operation MUST generate an error if process was not set."
		return fmt.Errorf("cannot start container %s: its config.json has no process", c.facts.ID)
	}
	if err := c.startHooks(ctx); err != nil {
		return err
	}
	fault(FaultStartHooked)
	if err := c.sys.Start(ctx); err != nil {
		return err
	}
	fault(FaultStartReleased)
	if err := c.poststart(ctx); err != nil {
		return err
	}
	fault(FaultStartPoststart)
	return nil
}
