package libcontainer

import "context"

// Prepare reads the bundle, decides and checks, and touches nothing.
func (r *Runtime) Prepare(id string, o CreateOptions) (*Config, error) { return nil, ErrUnsupported }

func (r *Runtime) Create(ctx context.Context, id string, o CreateOptions) error {
	return ErrUnsupported
}

func (r *Runtime) Run(ctx context.Context, id string, o RunOptions) (int, error) {
	return 1, ErrUnsupported
}
