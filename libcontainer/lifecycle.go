package libcontainer

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func (r *Runtime) Start(ctx context.Context, id string) error { return ErrUnsupported }

func (r *Runtime) State(ctx context.Context, id string) (*specs.State, error) {
	return nil, ErrUnsupported
}

func (r *Runtime) Kill(ctx context.Context, id string, sig int, all bool) error {
	return ErrUnsupported
}

func (r *Runtime) Delete(ctx context.Context, id string, force bool) error { return ErrUnsupported }

func (r *Runtime) Exec(ctx context.Context, id string, o ExecOptions) (int, error) {
	return 255, ErrUnsupported
}

func (r *Runtime) Processes(ctx context.Context, id string) ([]int, error) {
	return nil, ErrUnsupported
}

func (r *Runtime) List(ctx context.Context) ([]Summary, error) { return nil, ErrUnsupported }

func (r *Runtime) Pause(ctx context.Context, id string) error { return ErrUnsupported }

func (r *Runtime) Resume(ctx context.Context, id string) error { return ErrUnsupported }

// Update hands edit an empty set of limits to fill in: what stays nil is not changed.
func (r *Runtime) Update(ctx context.Context, id string, edit func(*specs.LinuxResources) error) error {
	return ErrUnsupported
}

func (r *Runtime) Stats(ctx context.Context, id string) (any, error) { return nil, ErrUnsupported }
