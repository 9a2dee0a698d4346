package silo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/seccomp"
)

// Order is a container that is to be started in a utility VM of this machine.
type Order struct {
	ID           string
	Spec         *specs.Spec // as the guest will have it, its environment completed
	Root         string      // the root file system on this machine
	Sources      []string    // of Spec.Mounts on this machine, where they are bind mounts
	Terminal     bool        // somebody relays one
	NoNewKeyring bool
}

// Prepare works out o's start, for ReadPrepared in the guest. The warnings are for who
// asked for it. It returns nil where the guest has to do it: what it depends on is
// known only there.
func Prepare(o Order) (json.RawMessage, []string, error) {
	r, warnings, err := o.prepare()
	if r == nil {
		return nil, warnings, err
	}
	text, err := r.MarshalJSON()
	return text, warnings, err
}

func (o Order) prepare() (*Prepared, []string, error) {
	in := &Input{
		ID: o.ID, Bundle: "/", Spec: o.Spec, NoNewKeyring: o.NoNewKeyring,
		Guest: true, Direct: !o.Terminal, Streams: [3]bool{true, true, true},
		Facts: Facts{Grantable: allCapabilities, OpenFiles: Limit{GuestOpenFiles, GuestOpenFiles}, Privileged: true, Unified: true, Born: true},
	}
	if !in.portable() {
		return nil, nil, nil
	}
	if in.Spec.Process != nil {
		in.Env = in.Spec.Process.Env
	}
	switch err := in.lookHere(o); {
	case errors.Is(err, errLater):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	l := in.linux()
	group, err := cgroup.Own(GuestCgroups).Group(l.CgroupsPath, in.ID, l.Resources, in.hasNamespace(specs.CgroupNamespace))
	if err != nil {
		return nil, nil, err
	}
	in.Facts.Cgroups = group.Mounts()
	var warnings []string
	in.Filter, warnings, err = seccomp.Compile(l.Seccomp, runtime.GOARCH)
	if err != nil || in.Filter != nil && in.Filter.Notify {
		return nil, nil, err
	}
	p, err := Compile(in)
	if err != nil {
		return nil, nil, err
	}
	return prepared(in, p), append(warnings, p.Warnings...), nil
}

// portable tells whether a start depends on nothing that its own machine alone
// knows: users to be written, namespaces to be joined, what is mounted there, who
// owns a cgroup.
func (in *Input) portable() bool {
	l := in.linux()
	shared, _ := propagationFlag(l.RootfsPropagation)
	mapped := func(m specs.Mount) bool { return optionsOf(&m).idmap || len(m.UIDMappings)+len(m.GIDMappings) > 0 }
	return in.canWait() && !in.joins() && !in.asksAgent() && in.hasNamespace(specs.MountNamespace) && len(l.NetDevices) == 0 &&
		shared&msShared == 0 && in.groupOwner() == 0 && !slices.ContainsFunc(in.Spec.Mounts, mapped)
}

// errLater is what a missing source comes to: who shares it with the guest says
// so better.
var errLater = errors.New("a source is missing")

// lookHere asks this machine for the Facts about the files that the guest gets to
// see.
func (in *Input) lookHere(o Order) error {
	root, err := unix.Open(o.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open root.path %s: %w", o.Root, err)
	}
	defer unix.Close(root)
	f := &in.Facts
	for i := range in.Spec.Mounts {
		m := &in.Spec.Mounts[i]
		if has := optionsOf(m); !has.bind || has.flags&msRemount != 0 {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(o.Sources[i], &st); err != nil {
			return errLater
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			mark(&f.NotDir, in.source(m), true)
		}
	}
	f.danglingTargets(root, in)
	if err := f.covered(root, in); err != nil {
		return err
	}
	f.present(root, in)
	return devicesFit(root, in)
}

// present looks what of /dev is there: for a guest, each try to make it is a
// question to this machine.
func (f *Facts) present(root int, in *Input) {
	names := []string{"/dev/ptmx"}
	for i := range defaultDevices {
		names = append(names, defaultDevices[i].path)
	}
	for _, l := range devSymlinks {
		names = append(names, "/dev/"+l[0])
	}
	for _, name := range names {
		if cover(in, len(in.Spec.Mounts), name) != nil {
			continue
		}
		var st unix.Stat_t
		is := lookInside(root, name, &st)
		if name == "/dev/ptmx" {
			var to [len(ownPtmx) + 1]byte
			n, err := readlinkInside(root, name, to[:])
			is = err == nil && string(to[:n]) == ownPtmx
		}
		if is {
			mark(&f.Present, name, true)
		}
	}
}

// CreatePrepared is Create in a guest whose host has prepared the start.
func (o *Host) CreatePrepared(ctx context.Context, c *libcontainer.Config, r *Prepared, io libcontainer.Stdio) (libcontainer.System, error) {
	b := o.birth(c, io, r.input(c.ID))
	b.plan = r.Plan
	b.system.cwd = r.Cwd
	return b.run(ctx, b.expect, b.streams, b.adopt)
}
