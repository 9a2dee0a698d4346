package libcontainer

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// State is the OCI state, with the status "paused" beside the specification's
// and wrun's own annotations beside the bundle's. It waits for nobody.
func (r *Runtime) State(ctx context.Context, id string) (*specs.State, error) {
	c, err := r.find(ctx, id)
	if errors.Is(err, errDamaged) {
		return r.damaged(id, err), nil
	}
	if err != nil {
		return nil, err
	}
	return c.state(), nil
}

// state is the OCI state with what the host observed about the program.
func (c *container) state() *specs.State {
	s := c.facts.state(c.status, c.pid())
	if c.live.Exited && c.status == specs.StateStopped {
		s.Annotations[AnnotationExitCode] = strconv.FormatUint(uint64(c.live.ExitCode), 10)
	}
	if c.live.Init != 0 {
		s.Annotations[AnnotationInit] = strconv.Itoa(c.live.Init)
	}
	return s
}

// List is all containers under the root, ordered by id. One that cannot be
// looked at is left out with a warning.
func (r *Runtime) List(ctx context.Context) ([]Summary, error) {
	ids, err := r.ids()
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, id := range ids {
		s, err := r.Summary(ctx, id)
		if errors.Is(err, ErrNotExist) {
			continue // deleted meanwhile, or never made
		}
		if err != nil {
			r.warn("%v", err)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

// Summary is State with what List says beyond it: `wrun state`, in runc's shape.
func (r *Runtime) Summary(ctx context.Context, id string) (Summary, error) {
	var created time.Time
	var rootfs string
	var state *specs.State
	c, err := r.find(ctx, id)
	switch {
	case errors.Is(err, errDamaged):
		state = r.damaged(id, err)
	case err != nil:
		return Summary{}, err
	default:
		state = c.state()
		created, rootfs = c.facts.Created, c.facts.Rootfs
	}
	return Summary{
		Version:     state.Version,
		ID:          id,
		Pid:         state.Pid,
		Status:      state.Status,
		Bundle:      state.Bundle,
		Rootfs:      rootfs,
		Created:     created,
		Annotations: state.Annotations,
		Owner:       owner(filepath.Join(r.Root, id)),
	}, nil
}

// Processes is the host process ids of container id, init first; none when it
// is stopped.
func (r *Runtime) Processes(ctx context.Context, id string) ([]int, error) {
	c, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.pid() == 0 {
		return []int{}, nil
	}
	pids, err := c.sys.Processes(ctx)
	if errors.Is(err, ErrNotRunning) { // it ended in between
		return []int{}, nil
	}
	return pids, err
}

// ProcessTable describes the processes of container id where no ps of the host
// can: ErrUnsupported where one can.
func (r *Runtime) ProcessTable(ctx context.Context, id string) ([]ProcessInfo, error) {
	c, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	t, ok := c.sys.(Tabler)
	switch {
	case c.pid() == 0:
		return []ProcessInfo{}, nil
	case !ok:
		return nil, ErrUnsupported
	}
	table, err := t.ProcessTable(ctx)
	if errors.Is(err, ErrNotRunning) { // it ended in between
		return []ProcessInfo{}, nil
	}
	return table, err
}

// Stats is the resource usage of container id: a value that marshals in the
// shape of the "data" of runc's events.
func (r *Runtime) Stats(ctx context.Context, id string) (any, error) {
	c, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := c.allow(opStats); err != nil {
		return nil, err
	}
	m, ok := c.sys.(Meter)
	if !ok {
		return nil, ErrUnsupported
	}
	return m.Stats(ctx)
}

// WatchOOM calls oom each time a process of container id is killed for want of
// memory, until ctx ends or the container is no more. ErrUnsupported where the
// host does not tell.
func (r *Runtime) WatchOOM(ctx context.Context, id string, oom func()) error {
	c, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if err := c.allow(opStats); err != nil {
		return err
	}
	w, ok := c.sys.(OOMWatcher)
	if !ok {
		return ErrUnsupported
	}
	return w.WatchOOM(ctx, oom)
}
