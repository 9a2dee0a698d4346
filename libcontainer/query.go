package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
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

// lookers is how many containers List looks at at once. Looking at a file takes
// no time, but a utility VM's monitor that does not answer takes two seconds.
const lookers = 8

// List is all containers under the root, ordered by id. One that cannot be
// looked at is left out with a warning.
func (r *Runtime) List(ctx context.Context) ([]Summary, error) {
	ids, err := r.ids()
	if err != nil {
		return nil, err
	}
	type look struct {
		Summary
		warnings []string
		err      error
	}
	looks := make([]look, len(ids))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(lookers, len(ids)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(ids)); i = next.Add(1) - 1 {
				own := *r // says what it has to say in its turn
				own.Warn = func(format string, args ...any) {
					looks[i].warnings = append(looks[i].warnings, fmt.Sprintf(format, args...))
				}
				looks[i].Summary, looks[i].err = own.Summary(ctx, ids[i])
			}
		})
	}
	all.Wait()
	var list []Summary
	for i := range looks {
		for _, w := range looks[i].warnings {
			r.warn("%s", w)
		}
		switch err := looks[i].err; {
		case err == nil:
			list = append(list, looks[i].Summary)
		case !errors.Is(err, ErrNotExist): // deleted meanwhile, or never made
			r.warn("%v", err)
		}
	}
	return list, nil
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
