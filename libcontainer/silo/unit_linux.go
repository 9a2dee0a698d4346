package silo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
)

// askSystemd connects to the systemd at an address, and tells who cannot what to
// do instead.
func askSystemd(ctx context.Context, s cgroup.Systemd, address string) (cgroup.Manager, error) {
	m, err := connect(ctx, s, address)
	if errors.Is(err, cgroup.ErrNoSystemd) {
		err = libcontainer.WithHint(err, "without --systemd-cgroup wrun makes cgroups itself; engines ask for that with cgroup_manager = \"cgroupfs\" (podman), SystemdCgroup = false (containerd), native.cgroupdriver=cgroupfs (Docker)")
	}
	return m, err
}

// noSystemd: this program was built for a place where nobody asks systemd.
func noSystemd() error {
	return fmt.Errorf("this program speaks to no systemd: %w", cgroup.ErrNoSystemd)
}

func connect(ctx context.Context, s cgroup.Systemd, address string) (cgroup.Manager, error) {
	if s == nil {
		return nil, noSystemd()
	}
	return s.Connect(ctx, address)
}

// placeOfUser is place where an ordinary user's systemd makes the cgroup. Who
// asked for none goes without one where that cannot be, as they do without
// systemd where no cgroup is theirs.
func (b *birth) placeOfUser(ctx context.Context, layout *cgroup.Layout, all bool) (*cgroup.Group, error) {
	l := b.in.linux()
	under, err := b.findUser(ctx, layout)
	if absent := errors.Is(err, cgroup.ErrNoSystemd) || errors.Is(err, unix.EACCES); absent && !asksForGroup(l) {
		b.config.Warn("the container has no cgroup: %v", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var g *cgroup.Group
	if g, b.slice, err = layout.Scope(l.CgroupsPath, b.in.ID, l.Resources, all, under); err != nil {
		return nil, err
	}
	g.Manager = b.manager.Address()
	return g, nil
}

// findUser connects to the systemd of an ordinary user. under is the cgroup that
// is delegated to it.
func (b *birth) findUser(ctx context.Context, layout *cgroup.Layout) (under string, err error) {
	const without = "without --systemd-cgroup (podman: cgroup_manager = \"cgroupfs\"), linux.cgroupsPath and linux.resources the container needs no cgroup"
	if !layout.Pure() {
		return "", libcontainer.WithHint(fmt.Errorf("a user's systemd makes cgroups of v2 alone, and this machine has others: %w", cgroup.ErrNoSystemd), without)
	}
	if b.system.systemd == nil {
		return "", noSystemd()
	}
	b.manager, err = b.system.systemd.ConnectUser(ctx, os.Getenv)
	if errors.Is(err, cgroup.ErrNoSystemd) {
		return "", libcontainer.WithHint(err, "a user's systemd runs while they are logged in, and always after `loginctl enable-linger USER`; "+without)
	}
	if err != nil {
		return "", err
	}
	if under, err = b.manager.Group(ctx); err != nil {
		return "", err
	}
	if !layout.Inside(under) {
		// Neither systemd nor wrun could put a process there (cgroup-v2.rst,
		// "Delegation Containment").
		return "", libcontainer.WithHint(fmt.Errorf("wrun runs outside of %s, the cgroup of the user's systemd: %w", under, unix.EACCES), "systemd-run --user --scope wrun … runs it inside")
	}
	return under, nil
}

// scope has systemd make the group. A scope lives as long as a process is in
// it, and its first must be there before the container's is born: until that
// has joined, a holder is in its place.
func (b *birth) scope(ctx context.Context, g *cgroup.Group) (err error) {
	m := b.manager
	if m == nil {
		if m, err = askSystemd(ctx, b.system.systemd, ""); err != nil {
			return err
		}
		defer m.Close()
	}
	limits, err := g.UnitProperties(b.in.linux().Resources, b.in.Facts.Privileged)
	if err != nil {
		return err
	}
	annotated, err := b.system.systemd.Annotated(b.in.Spec.Annotations)
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
	properties := append([]cgroup.Property{
		{Name: "Description", Value: "wrun container " + b.config.ID},
		{Name: "Slice", Value: b.slice},
		{Name: "PIDs", Value: []uint32{uint32(pid)}},
		// The limits below are written to the files of the group, too, and the
		// container may have sub-groups: both need the group to be ours.
		{Name: "Delegate", Value: true},
		{Name: "DefaultDependencies", Value: false},
		{Name: "CPUAccounting", Value: true},
		{Name: "MemoryAccounting", Value: true},
		{Name: "TasksAccounting", Value: true},
		{Name: ioAccounting(b.in.Facts.Unified), Value: true},
	}, known(limits, version)...)
	if err := m.Start(ctx, g.Unit, append(properties, annotated...)); err != nil {
		if errors.Is(err, cgroup.ErrUnitExists) {
			b.system.h.Group = nil // whose unit it is has the group, too
		}
		return err
	}
	// What the handle says of the group must be where systemd made it, or nothing
	// of it would be found again.
	if !g.Holds(pid) {
		b.system.h.Group = nil // the process of that number may be somebody else's
		return libcontainer.WithHint(fmt.Errorf("systemd has put %s elsewhere than at %s", g.Unit, g.Path), "wrun has to see the cgroups and processes that systemd sees, and not to be in namespaces of its own")
	}
	u, err := m.Find(ctx, g.Unit)
	if err == nil && u != nil {
		g.Invocation = u.Invocation
	}
	return err
}

func ioAccounting(unified bool) string {
	if unified {
		return "IOAccounting"
	}
	return "BlockIOAccounting"
}

// known leaves out the properties that this systemd is too old for; the control
// files have these limits in any case.
func known(list []cgroup.Property, version int) []cgroup.Property {
	all := make([]cgroup.Property, 0, len(list))
	for _, p := range list {
		if p.Since <= version {
			all = append(all, p)
		}
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
	p := prelude()
	p.Visible = true // to hide it would hide wrun, whose memory it has, and then the container's child
	c, err := clone(p, unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_FILES, files, -1)
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
	if b.manager != nil {
		b.manager.Close()
		b.manager = nil
	}
}

// updateUnit tells systemd of new limits.
func updateUnit(ctx context.Context, s cgroup.Systemd, g *cgroup.Group, r *specs.LinuxResources) error {
	limits, err := g.UnitProperties(r, false)
	if err != nil || len(limits) == 0 {
		return err
	}
	m, err := askSystemd(ctx, s, g.Manager)
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

// removeGroup removes the container's cgroup with all that is in it, and has
// systemd forget its unit.
func (s *system) removeGroup(ctx context.Context, kill bool) error {
	g := s.h.Group
	m, err := findUnit(ctx, s.systemd, g)
	if m != nil {
		defer m.Close()
	}
	if errors.Is(err, errAnothers) {
		return nil
	}
	if kill {
		err = errors.Join(err, g.Kill(ctx))
	}
	left := g.Remove(ctx)
	if left == nil && m != nil {
		// Not while somebody else's processes are in it: they would be killed.
		left = m.Stop(ctx, g.Unit)
	}
	return errors.Join(err, left)
}

// errAnothers: a unit's name is free once its last process has ended, and may be
// another container's by now.
var errAnothers = errors.New("the unit is somebody else's")

// findUnit connects to the systemd that has the group's unit; nil where it has
// none.
func findUnit(ctx context.Context, s cgroup.Systemd, g *cgroup.Group) (cgroup.Manager, error) {
	if g.Unit == "" {
		return nil, nil
	}
	m, err := connect(ctx, s, g.Manager)
	if errors.Is(err, cgroup.ErrNoSystemd) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := m.Find(ctx, g.Unit)
	switch {
	case err != nil:
	case u == nil:
	case g.Invocation != "" && u.Invocation != "" && u.Invocation != g.Invocation,
		// Whoever was killed before it was told has no more than the place. systemd
		// may see the hierarchy from higher up.
		g.Invocation == "" && u.Group != "" && !strings.HasSuffix(u.Group, g.Path):
		err = errAnothers
	default:
		return m, nil
	}
	m.Close()
	return nil, err
}
