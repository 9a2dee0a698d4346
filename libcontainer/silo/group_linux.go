package silo

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/silo/cgroup"
)

// layout is how cgroups are mounted. In a guest they are as its agent has done it.
func (b *birth) layout() (*cgroup.Layout, error) {
	if b.system.guest {
		return cgroup.Own(GuestCgroups), nil
	}
	return cgroup.Detect()
}

// GuestCgroups is where the agent of a utility VM mounts the tree of v2.
const GuestCgroups = "/sys/fs/cgroup"

// place finds the new container's place among the cgroups, making nothing; nil
// is none.
func (b *birth) place(ctx context.Context, layout *cgroup.Layout, all bool) (g *cgroup.Group, err error) {
	l := b.in.linux()
	switch {
	case b.config.SystemdCgroup && b.in.Facts.Privileged:
		g, b.slice, err = layout.Scope(l.CgroupsPath, b.in.ID, l.Resources, all, "")
	case b.config.SystemdCgroup:
		return b.placeOfUser(ctx, layout, all)
	default:
		g, err = layout.Group(l.CgroupsPath, b.in.ID, l.Resources, all)
		if err == nil && !b.in.Facts.Privileged && !asksForGroup(l) && !g.Writable() {
			return nil, nil
		}
	}
	return g, err
}

// group makes the cgroup and opens the child's way into it.
func (b *birth) group(ctx context.Context, g *cgroup.Group) error {
	if g.Unit != "" {
		if err := b.scope(ctx, g); err != nil {
			return err
		}
	}
	if err := g.Create(); err != nil {
		return err
	}
	r := b.in.linux().Resources
	if err := g.Apply(r, b.config.Warn); err != nil {
		return err
	}
	// Device rules are root's, and mean nothing to a user who cannot make device
	// nodes either.
	if b.in.Facts.Privileged {
		var devices []specs.LinuxDeviceCgroup
		if r != nil {
			devices = r.Devices
		}
		if err := g.Guard(devices); err != nil {
			return err
		}
	}
	if uid := b.in.groupOwner(); uid != 0 {
		switch err := g.Delegate(uid); {
		case err == nil:
		case !b.in.Facts.Privileged && errors.Is(err, unix.EPERM):
			b.config.Warn("the container's cgroup stays yours, and is not the container's user's to divide: %v", err)
		default:
			return err
		}
	}
	join, err := g.Open()
	if err != nil {
		return err
	}
	for i, fd := range join.Tasks {
		b.keep(TasksFile(i), fd)
	}
	if b.into = join.Into; b.into >= 0 {
		b.keep(fileGroup, b.into)
	}
	return nil
}
