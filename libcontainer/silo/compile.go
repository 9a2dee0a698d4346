package silo

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/seccomp"
)

// Input is everything a Plan depends on: two equal Inputs give equal Plans, on
// any operating system.
type Input struct {
	ID     string
	Bundle string // absolute
	Spec   *specs.Spec
	Env    []string // process.env, completed
	Filter *seccomp.Filter
	Facts  Facts

	NoPivot       bool
	NoNewKeyring  bool
	Hooks         bool    // stop for hooks before the root is switched
	Preserve      int     // descriptors 3… that reach the program
	Private       int     // descriptors of wrun's that the child closes at once
	Streams       [3]bool // which of the standard streams are not wrun's own
	Waits         bool    // the child is cloned before the plan is known
	Direct        bool    // no start gate: the program runs as soon as the parent says so
	Visits        bool    // an exec or hook: no gate either
	Guest         bool    // in a utility VM, by its agent, which can all and needs no hiding from the container
	Alone         bool    // a visitor that needs nothing of its parent before its program runs
	DenySetgroups bool    // the user namespace has setgroups(2) denied

	Affinity *specs.CPUAffinity // of an exec
	Dir      string             // of a hook inside the namespaces
}

// Facts is what a Plan has to know of the machine. The runner fills it in;
// TypicalFacts stands in where there is no Linux to ask.
type Facts struct {
	Grantable  uint64         // capabilities that wrun itself may hand on
	Unified    bool           // cgroup v2
	Tasks      int            // cgroup v1: tasks files opened for the child
	Born       bool           // cgroup v2: the child is born into a directory
	Cgroups    []cgroup.Mount // what a mount of type cgroup shows
	Privileged bool           // wrun is the machine's root
	Foreign    bool           // this is a user namespace on somebody else's machine
	NotDir     map[string]bool
	Unseen     map[string]bool    // sources that an earlier mount brings
	Locked     map[string]uint64  // attributes of sources that a user namespace may not take away
	Resolved   map[string]string  // mount destinations whose symlinks dangle → where they point
	Present    map[string]bool    // what belongs into /dev and is in the image; nil where nobody looked
	Covered    map[string]uint64  // mode of the directory that a tmpfs is mounted on
	CopyUp     map[string][]Entry // destinations of tmpcopyup and what is there to copy
	Revealing  []string           // where proc and sysfs are mounted outside the root; for --no-pivot
	RootParent string             // mount point above the root file system
	OpenFiles  Limit              // RLIMIT_NOFILE of wrun's caller
	AppArmor   bool
	Rooted     bool // the container's root is that of a mount
}

// Limit is a resource limit.
type Limit struct{ Soft, Hard uint64 }

// TypicalFacts is a machine with cgroup v2 and all capabilities.
func TypicalFacts() Facts {
	return Facts{
		Grantable: 1<<len(capabilityNames) - 1, Privileged: true, Unified: true, Born: true, Rooted: true,
		Cgroups: []cgroup.Mount{{Type: "cgroup2", Source: "/sys/fs/cgroup"}},
	}
}

func (in *Input) linux() *specs.Linux {
	if in.Spec.Linux == nil {
		return &specs.Linux{}
	}
	return in.Spec.Linux
}

// namespace finds the entry of config.json for one kind; nil if the container
// shares wrun's own.
func (in *Input) namespace(kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
	list := in.linux().Namespaces
	for i := range list {
		if list[i].Type == kind {
			return &list[i]
		}
	}
	return nil
}

func (in *Input) hasNamespace(kind specs.LinuxNamespaceType) bool { return in.namespace(kind) != nil }
func (in *Input) userNamespace() bool                             { return in.hasNamespace(specs.UserNamespace) }

// isNew tells a namespace made for this container from one joined by path.
func (in *Input) isNew(kind specs.LinuxNamespaceType) bool {
	n := in.namespace(kind)
	return n != nil && n.Path == ""
}

func (in *Input) gated() bool { return !in.Direct && !in.Visits }

// bare tells whether the child executes the program itself, and not the exec stub,
// which is also what loads a filter last of all and answers through the gate.
func (in *Input) bare() bool { return in.Guest && in.Filter == nil && !in.gated() }

// lends tells whether the parent runs errands: for the ordinary container, in
// which nothing else looks at what they are about before its program does.
func (in *Input) lends() bool {
	p := in.Spec.Process
	if !in.Waits || in.Hooks || !in.Facts.Privileged || !in.hasNamespace(specs.MountNamespace) || p != nil && p.Terminal {
		return false
	}
	elsewhere := func(name string) bool {
		return !strings.HasPrefix(name, "/proc/") && !strings.HasPrefix(name, "/sys/")
	}
	l := in.linux()
	return !slices.ContainsFunc(l.MaskedPaths, elsewhere) && !slices.ContainsFunc(l.ReadonlyPaths, elsewhere)
}

// alone tells whether the i-th mount, on dst, can be finished after all others:
// nothing later is at its place or below. A path through a symlink of the image is
// taken as it is written.
func (in *Input) alone(i int, dst string) bool {
	below := func(p string) bool {
		p = path.Clean("/" + p)
		return p == dst || strings.HasPrefix(p, dst+"/")
	}
	for k := i + 1; k < len(in.Spec.Mounts); k++ {
		if m := &in.Spec.Mounts[k]; below(in.destination(m)) || below(m.Destination) {
			return false
		}
	}
	l := in.linux()
	return !slices.ContainsFunc(l.MaskedPaths, below) && !slices.ContainsFunc(l.ReadonlyPaths, below)
}

// JoinFile is the name under which a Plan expects the descriptor of a
// namespace that is joined by path.
func JoinFile(kind specs.LinuxNamespaceType) File { return File("namespace " + string(kind)) }

// PrivateFile is the i-th descriptor that only wrun itself may hold.
func PrivateFile(i int) File { return File("private " + strconv.Itoa(i)) }

// TasksFile is the descriptor of the i-th cgroup v1 tasks file.
func TasksFile(i int) File { return File("tasks " + strconv.Itoa(i)) }

// Compile turns a Spec into the Plan of its container's start.
func Compile(in *Input) (*Plan, error) {
	if err := unbuilt(in); err != nil {
		return nil, err
	}
	p := in.Spec.Process
	if p == nil {
		// config.md: "process is OPTIONAL … REQUIRED when start is called":
		// the core refuses start, so this program is never reached.
		p = &specs.Process{Cwd: "/", Args: []string{"/"}}
	}
	b := &builder{plan: &Plan{Steps: make([]Step, 0, 384), Visible: in.visible()}, lends: in.lends()}
	cred := b.credentials(p, in.Facts.Grantable)
	b.begin(in)
	b.join(in)
	b.call("", "setsid")
	if !in.NoNewKeyring {
		b.call("a session keyring of its own", "keyctl", Int(keyctlJoin), Str("_ses."+in.ID)).Rescue =
			[]Rescue{{Errno: eNOSYS}, {Errno: ePERM}, {Errno: eDQUOT}}
	}
	b.identityOfHost(in)
	if err := b.filesystems(in); err != nil {
		return nil, err
	}
	if p.Terminal || in.Hooks || !in.hasNamespace(specs.MountNamespace) {
		// The parent must not hold the pty too, and hooks look at the cgroup.
		b.settle(in)
	}
	var slave Slot
	if p.Terminal {
		slave = b.terminal(p)
		b.console(slave)
	}
	if b.readonlyDev != "" {
		b.setattr(b.readonlyDev+": read-only now that it is filled", b.save("", "openat2", b.root, Str("/dev"), inside(oPath, 0), Int(sizeofHow)), 0, attrRdonly, 0, 0)
	}
	cwd := b.target("process.cwd "+p.Cwd, p.Cwd, false, 0)
	if in.Hooks {
		b.talk("prestart, createRuntime and createContainer hooks", codeHooks)
	}
	b.hide(in)
	b.sysctl(in.linux().Sysctl)
	b.masked(in.linux().MaskedPaths)
	b.readonly(in.linux().ReadonlyPaths)
	b.settle(in)
	b.switchRoot(in)
	b.rootAttributes(in)
	// A working directory opened inside the root, not a string resolved again:
	// /proc/self/fd/N cannot lead out (CVE-2024-21626).
	b.enter("process.cwd "+p.Cwd, cwd)
	if p.Terminal {
		b.stdio(slave)
	}
	b.label(in, p)
	if err := b.scheduling(p, in.linux()); err != nil {
		return nil, err
	}
	if err := b.become(in, p, cred, in.Filter); err != nil {
		return nil, err
	}
	var program Slot
	if in.Spec.Process != nil {
		program = b.program(p)
		b.prefetch(in, program)
	}
	b.listen(in, p, cred)
	b.gate(in)
	b.execute(in, p, cred, in.Filter, program)
	return b.plan, nil
}

// unbuilt refuses what a later release brings, so that nothing in config.json
// is dropped in silence.
func unbuilt(in *Input) error {
	l := in.linux()
	for _, x := range []struct {
		asked bool
		what  string
	}{
		{l.IntelRdt != nil, "linux.intelRdt"},
	} {
		if x.asked {
			return fmt.Errorf("%s is not built yet", x.what)
		}
	}
	return nil
}

// streams puts what the caller gave in the place of wrun's standard streams.
func (b *builder) streams(in *Input) {
	for fd, given := range in.Streams {
		if given {
			b.call("standard streams", "dup3", StreamFile(fd), Int(fd), Int(0))
		}
	}
}

// StreamFile is the descriptor given for a standard stream, above 2.
func StreamFile(fd int) File { return File("stream " + strconv.Itoa(fd)) }

// identityOfHost is the container's name and its loopback device.
func (b *builder) identityOfHost(in *Input) {
	if in.isNew(specs.UTSNamespace) {
		if h := in.Spec.Hostname; h != "" {
			b.call("hostname", "sethostname", Str(h), Int(len(h)))
		}
		if d := in.Spec.Domainname; d != "" {
			b.call("domainname", "setdomainname", Str(d), Int(len(d)))
		}
	}
	if in.isNew(specs.NetworkNamespace) {
		const why = "loopback up in the new network namespace"
		const afUnix, sockDgram, iffUpRunning = 1, 2 | oCloexec, 0x41 // netdevice(7): any socket does
		s := b.save(why, "socket", Int(afUnix), Int(sockDgram), Int(0))
		ifreq := make(Bytes, 40)
		copy(ifreq, "lo")
		ifreq[16] = iffUpRunning
		b.errand(func() { b.call(why, "ioctl", s, Flags(siocSIFFLGS), ifreq) })
	}
}

// filesystems builds the container's tree on a clone of the root file system.
func (b *builder) filesystems(in *Input) error {
	b.call("modes are taken as they are written", "umask", Int(0))
	root := in.Spec.Root.Path
	const why = "root.path"
	if in.hasNamespace(specs.MountNamespace) {
		prop, _ := propagationFlag(in.linux().RootfsPropagation)
		switch prop &^ msRec {
		case msShared:
			// Mounts of the container are to reach the host, so nothing is cut
			// off; but pivot_root(2) wants the mount above the new root private.
			if in.Facts.RootParent != "" {
				b.call("linux.rootfsPropagation shared: only the mount above the root is cut off",
					"mount", Int(0), Str(in.Facts.RootParent), Int(0), Flags(msPrivate), Int(0))
			}
		case msPrivate, msUnbindable:
			b.call("no mount event crosses", "mount", Int(0), Str("/"), Int(0), Flags(msPrivate|msRec), Int(0))
		default:
			b.call("no mount of the container's reaches the host", "mount", Int(0), Str("/"), Int(0), Flags(msSlave|msRec), Int(0))
		}
	}
	b.root = b.save(why+" "+root, "open_tree", Int(atFdcwd), Str(root), Flags(openTreeClone|oCloexec|atRecursive))
	b.call(why+": a mount of its own", "move_mount", b.root, Str(""), Int(atFdcwd), Str(root), Flags(moveFromEmpty|moveToSymlinks))
	if err := b.mounts(in); err != nil {
		return err
	}
	return b.devices(in)
}

// switchRoot makes the tree the root directory.
func (b *builder) switchRoot(in *Input) {
	b.enter("into the new root", b.root)
	switch {
	case !in.hasNamespace(specs.MountNamespace):
		b.call("no mount namespace: chroot", "chroot", Str("."))
	case in.NoPivot:
		// A chroot leaves the host's mounts where they were. The kernel lets a
		// user namespace mount a proc of its own only where one is fully seen
		// (mount_namespaces(7)), and behind a chroot that would be the host's.
		for i := len(in.Facts.Revealing) - 1; i >= 0; i-- {
			at := in.Facts.Revealing[i]
			b.call("--no-pivot: "+at+" of the host goes", "umount2", Str(at), Int(mntDetach)).Rescue = []Rescue{{Errno: eINVAL}, {Errno: ePERM}}
			gone := b.here() - 1
			b.call("--no-pivot: or is covered", "mount", Str("tmpfs"), Str(at), Str("tmpfs"), Int(0), Int(0))
			b.step(gone).Skip = 1
		}
		b.call("--no-pivot", "mount", Str("."), Str("/"), Int(0), Flags(msMove), Int(0))
		b.call("--no-pivot", "chroot", Str("."))
	default:
		shared := false
		if f, ok := propagationFlag(in.linux().RootfsPropagation); ok {
			shared = f&msShared != 0
		}
		var old Slot
		if shared {
			old = b.save("the old root", "openat", Int(atFdcwd), Str("/"), Flags(oPath|oCloexec), Int(0))
		}
		// pivot_root(2), NOTES: with both arguments "." the old root ends up
		// on top of the new one and needs no directory.
		b.call("the new root", "pivot_root", Str("."), Str("."))
		if shared {
			// Everywhere else the old tree was cut off at the beginning. By
			// descriptor: "." is the new root here, while umount2(2) goes on to
			// what is mounted over it.
			b.setattr("the host's mounts are not touched by what follows", old, atRecursive, 0, 0, msSlave)
		}
		b.call("the old root goes", "umount2", Str("."), Int(mntDetach))
	}
	b.call("", "chdir", Str("/"))
}

// sysctl writes through a proc of the child's own that is mounted nowhere, so
// no mount or link of the image stands between (CVE-2025-52881).
func (b *builder) sysctl(values map[string]string) {
	if len(values) == 0 {
		return
	}
	proc := b.privateProc("linux.sysctl")
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		why, v := "linux.sysctl["+k+"]", values[k]
		file := path.Join("sys", strings.ReplaceAll(k, ".", "/"))
		fd := b.save(why, "openat2", proc, Str(file), How{Flags: oWronly | oCloexec, Resolve: resolveBeneath | resolveNoSymlinks}, Int(sizeofHow))
		b.call(why, "write", fd, Str(v), Int(len(v)))
	}
}

func (b *builder) privateProc(why string) Slot {
	const fsconfigCreate, fsCloexec = 6, 1
	fs := b.save(why, "fsopen", Str("proc"), Int(fsCloexec))
	b.call(why, "fsconfig", fs, Int(fsconfigCreate), Int(0), Int(0), Int(0))
	return b.save(why, "fsmount", fs, Int(fsCloexec), Int(0))
}

// rootAttributes finishes the root mount itself.
func (b *builder) rootAttributes(in *Input) {
	if name := in.linux().RootfsPropagation; name != "" && in.hasNamespace(specs.MountNamespace) {
		if f, ok := propagationFlag(name); ok {
			b.call("linux.rootfsPropagation "+name, "mount", Int(0), Str("/"), Int(0), Flags(f), Int(0))
		}
	}
	if in.Spec.Root.Readonly {
		b.setattr("root.readonly", b.root, 0, attrRdonly, 0, 0)
	}
}

// label asks the kernel's security module to confine the program when it is
// executed. Where the module is absent the profile means nothing.
func (b *builder) label(in *Input, p *specs.Process) {
	if p.SelinuxLabel != "" {
		b.warn("process.selinuxLabel " + p.SelinuxLabel + " is left out: SELinux is not built yet")
	}
	if l := in.linux().MountLabel; l != "" {
		b.warn("linux.mountLabel " + l + " is left out: SELinux is not built yet")
	}
	if p.ApparmorProfile == "" {
		return
	}
	if !in.Facts.AppArmor {
		b.warn("process.apparmorProfile " + p.ApparmorProfile + " is left out: this kernel has no AppArmor")
		return
	}
	const why = "process.apparmorProfile"
	text := "exec " + p.ApparmorProfile
	fd := b.save(why, "openat2", b.privateProc(why), Str("self/attr/apparmor/exec"),
		How{Flags: oWronly | oCloexec, Resolve: resolveBeneath | resolveNoMagiclinks}, Int(sizeofHow))
	b.call(why, "write", fd, Str(text), Int(len(text)))
}
