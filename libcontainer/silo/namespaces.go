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
			// config.md, "execCPUAffinity": "before the transition to container's cgroup".
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
	_ = b.affinity(why, final)
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
	for _, n := range namespaceOrder {
		if ns := in.namespace(specs.LinuxNamespaceType(n.kind)); ns != nil && ns.Path != "" && n.flag != cloneNewNS {
			b.call("namespace "+n.kind+" "+ns.Path, "setns", JoinFile(ns.Type), Flags(n.flag))
			if n.flag == cloneNewUser {
				b.root0()
			}
		}
	}
	if unshare != 0 {
		b.call("new namespaces"+namespaceNames(unshare), "unshare", Flags(unshare))
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
	if fork && clone&cloneNewPID != 0 {
		clone &^= cloneNewPID
		unshare |= cloneNewPID
	}
	return clone, unshare, fork
}

// canWait tells whether the child may be cloned before its plan is known, in
// borrowed memory: then it must not fork, and must not have to be given users.
func (in *Input) canWait() bool {
	clone, _, fork := in.namespaces()
	return !fork && clone&cloneNewUser == 0 && !in.hasNamespace(specs.TimeNamespace)
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

// root0 makes the child the root user of the user namespace it has entered.
func (b *builder) root0() {
	why := "root of the user namespace"
	b.call(why, "setresgid", Int(0), Int(0), Int(0))
	b.call(why, "setresuid", Int(0), Int(0), Int(0))
}
