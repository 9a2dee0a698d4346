package silo

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/godbus/dbus/v5"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/systemd"
)

// askSystemd connects to systemd, and tells who cannot what to do instead.
func askSystemd(ctx context.Context) (*systemd.Manager, error) {
	m, err := systemd.Connect(ctx)
	if errors.Is(err, systemd.ErrNotRunning) {
		err = libcontainer.WithHint(err, "without --systemd-cgroup wrun makes cgroups itself; engines ask for that with cgroup_manager = \"cgroupfs\" (podman), SystemdCgroup = false (containerd), native.cgroupdriver=cgroupfs (Docker)")
	}
	return m, err
}

// scope has systemd make the group. A scope lives as long as a process is in
// it, and its first must be there before the container's is born: until that
// has joined, a holder is in its place.
func (b *birth) scope(ctx context.Context, g *cgroup.Group) error {
	m, err := askSystemd(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	limits, err := g.UnitProperties(own(b.in.linux().Resources, b.in.Facts.Privileged), true)
	if err != nil {
		return err
	}
	annotated, err := systemd.Annotated(b.in.Spec.Annotations)
	if err != nil {
		return err
	}
	version, err := m.Version(ctx)
	if err != nil {
		return err
	}
	if b.holder, err = hold(); err != nil {
		return err
	}
	pid := b.holder.pid
	if pid < 0 || pid > math.MaxInt32 {
		return fmt.Errorf("process %d has no number that systemd takes", pid)
	}
	properties := append([]systemd.Property{
		{Name: "Description", Value: dbus.MakeVariant("wrun container " + b.config.ID)},
		{Name: "Slice", Value: dbus.MakeVariant(b.slice)},
		{Name: "PIDs", Value: dbus.MakeVariant([]uint32{uint32(pid)})},
		// The limits below are written to the files of the group, too, and the
		// container may have sub-groups: both need the group to be ours.
		{Name: "Delegate", Value: dbus.MakeVariant(true)},
		{Name: "DefaultDependencies", Value: dbus.MakeVariant(false)},
		{Name: "CPUAccounting", Value: dbus.MakeVariant(true)},
		{Name: "MemoryAccounting", Value: dbus.MakeVariant(true)},
		{Name: "TasksAccounting", Value: dbus.MakeVariant(true)},
		{Name: ioAccounting(b.in.Facts.Unified), Value: dbus.MakeVariant(true)},
	}, known(limits, version)...)
	return m.Start(ctx, g.Unit, append(properties, annotated...))
}

func ioAccounting(unified bool) string {
	if unified {
		return "IOAccounting"
	}
	return "BlockIOAccounting"
}

// known words properties for D-Bus, without those that this systemd is too old
// for; the control files have these limits in any case.
func known(list []cgroup.Property, version int) []systemd.Property {
	all := make([]systemd.Property, 0, len(list))
	for _, p := range list {
		if p.Since > version {
			continue
		}
		value := p.Value
		if devices, ok := value.([][2]string); ok {
			type device struct{ Path, Access string }
			pairs := make([]device, len(devices))
			for i, d := range devices {
				pairs[i] = device{d[0], d[1]}
			}
			value = pairs
		}
		all = append(all, systemd.Property{Name: p.Name, Value: dbus.MakeVariant(value)})
	}
	return all
}

// hold clones a process that does nothing and ends with this one.
func hold() (*child, error) {
	life, err := unix.Open("/proc/self/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open own command line: %w", err)
	}
	defer unix.Close(life)
	files := map[File]int{fileLife: life}
	if err := converse(files); err != nil {
		return nil, err
	}
	c, err := expect(0, files)
	if err != nil {
		return nil, err
	}
	if err := c.born(); err != nil {
		c.forget()
		return nil, err
	}
	return c, nil
}

// letGo ends the holder, once the container's own process is in the group or
// will never be.
func (b *birth) letGo() {
	if b.holder != nil {
		b.holder.kill()
		b.holder = nil
	}
}

// updateUnit tells systemd of new limits.
func updateUnit(ctx context.Context, g *cgroup.Group, r *specs.LinuxResources) error {
	limits, err := g.UnitProperties(r, false)
	if err != nil || len(limits) == 0 {
		return err
	}
	m, err := askSystemd(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	version, err := m.Version(ctx)
	if err != nil {
		return err
	}
	return m.Set(ctx, g.Unit, known(limits, version))
}

// stopUnit has systemd forget the group's unit. Where no systemd runs there is
// no unit.
func stopUnit(ctx context.Context, unit string) error {
	m, err := systemd.Connect(ctx)
	if errors.Is(err, systemd.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Stop(ctx, unit)
}
