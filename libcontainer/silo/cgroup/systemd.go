package cgroup

import (
	"context"
	"errors"
)

// Systemd is how a systemd is found that makes cgroups: package systemd. Whoever
// never asks one, as the agent in a utility VM, goes without its D-Bus.
type Systemd interface {
	// Connect opens a connection to the systemd at a D-Bus address, "" for the
	// machine's; ErrNoSystemd where none runs.
	Connect(ctx context.Context, address string) (Manager, error)
	// ConnectUser opens one to a user's, of whose environment getenv reads.
	ConnectUser(ctx context.Context, getenv func(string) string) (Manager, error)
	// Annotated are the properties of a unit that a bundle's annotations set.
	Annotated(annotations map[string]string) ([]Property, error)
}

// Manager is a connection to a systemd.
type Manager interface {
	Address() string // for Connect
	Version(ctx context.Context) (int, error)
	// Start makes a transient scope and returns once it is there: ErrUnitExists
	// where somebody else's is.
	Start(ctx context.Context, unit string, properties []Property) error
	// Find looks for a scope; nil is none.
	Find(ctx context.Context, unit string) (*Unit, error)
	// Group is the cgroup that all of its units are below, as it sees the hierarchy.
	Group(ctx context.Context) (string, error)
	// Set changes properties of a living unit, until it ends.
	Set(ctx context.Context, unit string, properties []Property) error
	// Stop ends a unit and has it forgotten; one that is not there is no error.
	Stop(ctx context.Context, unit string) error
	Close()
}

// Unit is what tells a unit that runs from another one of its name.
type Unit struct {
	Invocation string // of this run of it, 32 digits; "" when it does not run
	Group      string // its cgroup, as systemd sees the hierarchy; "" for none
}

var (
	// ErrNoSystemd says that there is no systemd to ask.
	ErrNoSystemd = errors.New("systemd is not running here")
	// ErrUnitExists says that the unit is there already, and somebody else's.
	ErrUnitExists = errors.New("the unit exists")
)
