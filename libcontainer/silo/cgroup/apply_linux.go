package cgroup

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Warn tells of something that was asked for and left out, and why.
type Warn func(format string, args ...any)

// Apply writes all limits of a new container. r may be nil.
func (g *Group) Apply(r *specs.LinuxResources, warn Warn) error {
	return errors.ErrUnsupported
}

// Update changes the limits that r gives.
func (g *Group) Update(r *specs.LinuxResources, warn Warn) error {
	return errors.ErrUnsupported
}
