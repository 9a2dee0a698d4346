package uvm

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/uvm/guest"
	"wrun/libcontainer/uvm/wire"
)

// This file is pure: from the Spec that the bundle has to the one that the agent
// gets, and what of the host has to be in the VM for it.

// Share is a directory or file of the host that the container gets.
type Share struct {
	Source   string `json:"source"`
	Name     string `json:"name"` // below the container's directory in the VM
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// rootShare is the name of the container's root file system.
const rootShare = "root"

// translation is a Spec on its way into the VM.
type translation struct {
	spec     *specs.Spec
	shares   []Share
	warnings []string
	network  string // path of the network namespace to join; "" is a new one
}

// translate makes container id's Spec for the guest; a member of a pod may share
// its sandbox's namespaces. It shares with s what is the same in both.
func translate(s *specs.Spec, id string, member bool) (*translation, error) {
	if s.Root == nil || s.Root.Path == "" {
		return nil, errors.New("root.path is missing: a Linux container has a root file system")
	}
	g := copied(s)
	t := &translation{spec: g}
	g.Windows, g.VM, g.Hooks = nil, nil, nil // the host's part
	inGuest := func(name string) string { return path.Join(guest.FilesDir, id, name) }
	t.shares = append(t.shares, Share{Source: s.Root.Path, Name: rootShare, ReadOnly: s.Root.Readonly})
	g.Root.Path = inGuest(rootShare)
	for i := range g.Mounts {
		m := &g.Mounts[i]
		if slices.Contains(m.Options, "remount") {
			continue // of what is in the guest already
		}
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			continue
		}
		share := Share{Source: m.Source, Name: "m" + strconv.Itoa(i), ReadOnly: readOnly(m.Options)}
		t.shares = append(t.shares, share)
		m.Source = inGuest(share.Name)
	}
	g.Linux.CgroupsPath = "/" + id
	if err := t.namespaces(member); err != nil {
		return nil, err
	}
	return t, t.leaveOut()
}

// copied copies those parts of a Spec that a translation changes.
func copied(s *specs.Spec) *specs.Spec {
	g, root, linux := *s, *s.Root, specs.Linux{}
	if s.Linux != nil {
		linux = *s.Linux
	}
	if linux.Resources != nil {
		r := *linux.Resources
		linux.Resources = &r
	}
	if s.Process != nil {
		p := *s.Process
		g.Process = &p
	}
	g.Root, g.Linux, g.Mounts = &root, &linux, slices.Clone(s.Mounts)
	return &g
}

// readOnly: of options that contradict each other, the last one holds.
func readOnly(options []string) (ro bool) {
	for _, o := range options {
		switch o {
		case "ro", "rro":
			ro = true
		case "rw", "rrw":
			ro = false
		}
	}
	return ro
}

// namespaces: the container's network is the VM's own, which is like a
// namespace of its own; those of the host's processes are out of reach.
func (t *translation) namespaces(member bool) error {
	l := t.spec.Linux
	var kept []specs.LinuxNamespace
	networked := false
	for _, n := range l.Namespaces {
		switch {
		case n.Type == specs.NetworkNamespace:
			networked, t.network = true, n.Path
		case n.Path != "" && member && n.Type != specs.MountNamespace && n.Type != specs.UserNamespace:
			n.Path = wire.OfSandbox // the pod's, which on the host is the monitor's
			kept = append(kept, n)
		case n.Path != "":
			return fmt.Errorf("linux.namespaces: a container in a utility VM cannot join the %s namespace %s of the host", n.Type, n.Path)
		default:
			kept = append(kept, n)
		}
	}
	if !networked && !member {
		t.warn("linux.namespaces: no network namespace, and a utility VM cannot share the host's; the container has the VM's")
	}
	l.Namespaces = kept
	return nil
}

// leaveOut takes away what means something only to the host's kernel, and says so.
func (t *translation) leaveOut() error {
	l, p := t.spec.Linux, t.spec.Process
	if l.Seccomp != nil && l.Seccomp.ListenerPath != "" {
		return errors.New("linux.seccomp.listenerPath: nothing on the host can answer for a kernel in a utility VM")
	}
	if l.IntelRdt != nil {
		return errors.New("linux.intelRdt: a utility VM has no such hardware")
	}
	if l.MountLabel != "" {
		t.warn("linux.mountLabel: the utility VM's kernel has no SELinux policy")
		l.MountLabel = ""
	}
	if r := l.Resources; r != nil {
		if r.BlockIO != nil {
			t.warn("linux.resources.blockIO: the utility VM has none of the host's disks")
			r.BlockIO = nil
		}
		if r.Network != nil {
			t.warn("linux.resources.network: the utility VM's packets have no class on the host")
			r.Network = nil
		}
	}
	if p == nil {
		return nil
	}
	if p.ApparmorProfile != "" {
		t.warn("process.apparmorProfile: the utility VM's kernel has no profiles")
		p.ApparmorProfile = ""
	}
	if p.SelinuxLabel != "" {
		t.warn("process.selinuxLabel: the utility VM's kernel has no SELinux policy")
		p.SelinuxLabel = ""
	}
	return nil
}

func (t *translation) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}
