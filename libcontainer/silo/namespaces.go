package silo

import (
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// enterCgroup moves the child into its cgroups of v1, and onto the processors
// of its cpuset.
func (b *builder) enterCgroup(in *Input) {
	final := ""
	if a := in.Affinity; a != nil {
		if a.Initial != "" {
			// config.md, execCPUAffinity: "before the transition to container's cgroup".
			_ = b.affinity("process.execCPUAffinity.initial", a.Initial) // it has been read before
		}
		final = a.Final
	}
	for i := range in.Facts.Tasks {
		// Writing 0 moves the writer. A single thread that moves itself needs
		// no grace period of the kernel's threadgroup lock, which a pid
		// written to cgroup.procs by the parent does: milliseconds.
		b.call("cgroup v1: the child moves itself", "write", TasksFile(i), Str("0"), Int(1))
	}
	why := "all processors of the cpuset"
	if final != "" {
		why = "process.execCPUAffinity.final"
	}
	if !in.everywhere() {
		_ = b.affinity(why, final)
	}
}

// everywhere tells whether the child can run on all processors that there are, and
// is meant to: a guest's agent can, and so can what it starts outside of cpusets.
func (in *Input) everywhere() bool {
	if !in.Guest || in.Visits {
		return false
	}
	r := in.linux().Resources
	return r == nil || (r.CPU == nil || r.CPU.Cpus == "") && len(r.Unified) == 0
}

// join puts the child into its namespaces.
func (b *builder) join(in *Input) {
	clone, unshare, fork := in.namespaces()
	b.plan.CloneFlags = clone
	if in.Waits {
		unshare &^= cloneNewCgroup // comes with the cgroup: it is to be the root
	}
	if clone&cloneNewUser != 0 {
		b.talk("linux.uidMappings, linux.gidMappings: written by the parent", codeMap)
		b.root0()
	}
	if in.Facts.Privileged {
		// With the rights of the host's root: the namespaces need not belong to
		// the user namespace, which is entered last.
		b.joinAll(in, func(flag uint64) bool { return flag != cloneNewUser })
		b.joinAll(in, func(flag uint64) bool { return flag == cloneNewUser })
	} else {
		b.joinAll(in, func(uint64) bool { return true })
	}
	if unshare != 0 {
		b.call("new namespaces"+namespaceNames(unshare), "unshare", Flags(unshare))
	}
	if unshare&cloneNewUser != 0 {
		b.talk("linux.uidMappings, linux.gidMappings: written by the parent", codeMap)
		b.root0()
	}
	if len(in.linux().TimeOffsets) > 0 && in.isNew(specs.TimeNamespace) {
		// By the parent: in a user namespace the files in /proc of a process that
		// nobody may look into are not even its own.
		b.talk("linux.timeOffsets: written by the parent", codeOffsets)
	}
	if fork {
		b.call("a process enters a pid or time namespace by being born in it", callFork)
	}
	if ns := in.namespace(specs.MountNamespace); ns != nil && ns.Path != "" {
		b.call("namespace mount "+ns.Path, "setns", JoinFile(ns.Type), Flags(cloneNewNS))
	}
}

// joinAll enters the namespaces that are joined by path, but for the mount
// namespace.
func (b *builder) joinAll(in *Input, wanted func(flag uint64) bool) {
	for _, n := range namespaceOrder {
		ns := in.namespace(specs.LinuxNamespaceType(n.kind))
		if ns == nil || ns.Path == "" || n.flag == cloneNewNS || !wanted(n.flag) {
			continue
		}
		b.call("namespace "+n.kind+" "+ns.Path, "setns", JoinFile(ns.Type), Flags(n.flag))
		if n.flag == cloneNewUser {
			b.root0()
		}
	}
}

// namespaces tells which new ones the clone makes, which the child makes for
// itself, and whether it has to fork to get into one.
func (in *Input) namespaces() (clone, unshare uint64, fork bool) {
	for _, n := range namespaceOrder {
		kind := specs.LinuxNamespaceType(n.kind)
		ns := in.namespace(kind)
		switch {
		case ns == nil:
		case ns.Path != "":
			// A time namespace may be joined only by a process with memory of its
			// own (EUSERS otherwise): one that forks is never in borrowed memory.
			fork = fork || kind == specs.PIDNamespace || kind == specs.TimeNamespace
		case kind == specs.CgroupNamespace:
			unshare |= n.flag // after the move above, so that its root is the container's cgroup
		case kind == specs.TimeNamespace:
			unshare |= n.flag // offsets are set between its making and its first process
			fork = true
		default:
			clone |= n.flag
		}
	}
	if joined := in.userNamespace() && !in.isNew(specs.UserNamespace); joined {
		// The new namespaces are to belong to the joined user namespace.
		unshare |= clone
		clone = 0
		fork = fork || unshare&cloneNewPID != 0
	}
	if clone&cloneNewUser != 0 && in.Facts.Privileged && in.joins() {
		// A child that was born into the new user namespace could not join what
		// belongs to the host's.
		unshare |= clone
		clone = 0
		fork = fork || unshare&cloneNewPID != 0
	}
	if fork && clone&cloneNewPID != 0 {
		clone &^= cloneNewPID
		unshare |= cloneNewPID
	}
	return clone, unshare, fork
}

// joins tells whether any namespace is joined by path.
func (in *Input) joins() bool {
	list := in.linux().Namespaces
	for i := range list {
		if list[i].Path != "" {
			return true
		}
	}
	return false
}

// canWait tells whether the child may be cloned before its plan is known, in
// borrowed memory: then it must not fork, and must not have to be given users.
func (in *Input) canWait() bool {
	clone, unshare, fork := in.namespaces()
	return !fork && (clone|unshare)&cloneNewUser == 0 && !in.hasNamespace(specs.TimeNamespace)
}

// groupOwner is the host's user that the container's cgroup is given to, or 0:
// config-linux.md, "Cgroup ownership", names all of these conditions.
func (in *Input) groupOwner() int {
	p := in.Spec.Process
	if p == nil || !in.Facts.Unified || !in.isNew(specs.CgroupNamespace) {
		return 0
	}
	writable := false
	for i := range in.Spec.Mounts {
		m := &in.Spec.Mounts[i]
		if m.Source == "cgroup" && path.Clean(m.Destination) == "/sys/fs/cgroup" {
			writable = !slices.Contains(m.Options, "ro")
		}
	}
	switch {
	case !writable:
		return 0
	case !in.userNamespace():
		return int(p.User.UID)
	}
	for _, m := range in.linux().UIDMappings { // none where the namespace is joined
		if p.User.UID >= m.ContainerID && p.User.UID-m.ContainerID < m.Size {
			return int(m.HostID + p.User.UID - m.ContainerID)
		}
	}
	return 0
}

// visible tells a child whose own user has to write its mappings: the files in
// the /proc of one that nobody may look into are root's. It is not so where a
// namespace is shared with others, who could reach the host through it.
func (in *Input) visible() bool { return !in.Facts.Privileged && in.isNew(specs.UserNamespace) }

// hide keeps the child from being looked into, as all others are from birth.
func (b *builder) hide(in *Input) {
	if !b.plan.Visible {
		return
	}
	if h := in.Spec.Hooks; h != nil && len(h.StartContainer) > 0 || in.Filter != nil && in.Filter.Notify {
		return // hooks are still to enter its namespaces, the listener is to be fetched
	}
	b.call("nobody may look into it", "prctl", Int(prSetDumpable), Int(0), Int(0), Int(0), Int(0))
}

// root0 makes the child the root user of the user namespace it has entered.
func (b *builder) root0() {
	why := "root of the user namespace"
	b.call(why, "setresgid", Int(0), Int(0), Int(0))
	b.call(why, "setresuid", Int(0), Int(0), Int(0))
}
