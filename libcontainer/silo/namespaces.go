package silo

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// enterCgroup moves the child into its cgroups of v1.
func (b *builder) enterCgroup(in *Input) {
	for i := range in.Facts.Tasks {
		// Writing 0 moves the writer. A single thread that moves itself needs
		// no grace period of the kernel's threadgroup lock, which a pid
		// written to cgroup.procs by the parent does: milliseconds.
		b.call("cgroup v1: the child moves itself", "write", TasksFile(i), Str("0"), Int(1))
	}
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
	b.timeOffsets(in)
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

// root0 makes the child the root user of the user namespace it has entered.
func (b *builder) root0() {
	why := "root of the user namespace"
	b.call(why, "setresgid", Int(0), Int(0), Int(0))
	b.call(why, "setresuid", Int(0), Int(0), Int(0))
}

func (b *builder) timeOffsets(in *Input) {
	offsets := in.linux().TimeOffsets
	if len(offsets) == 0 || !in.isNew(specs.TimeNamespace) {
		return
	}
	text := ""
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := offsets[clock]; ok {
			text += clock + " " + strconv.FormatInt(o.Secs, 10) + " " + strconv.FormatUint(uint64(o.Nanosecs), 10) + "\n"
		}
	}
	why := "linux.timeOffsets"
	fd := b.save(why, "openat", Int(atFdcwd), Str("/proc/self/timens_offsets"), Flags(oWronly|oCloexec), Int(0))
	b.call(why, "write", fd, Str(text), Int(len(text)))
}
