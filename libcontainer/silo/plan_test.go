package silo

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/seccomp"
)

// listing is a plan's text without what shifts when a step is added: numbers of
// steps and registers.
func listing(p *Plan) string {
	text := regexp.MustCompile(`(?m)^ *\d+  `).ReplaceAllString(p.String(), "  ")
	return regexp.MustCompile(`\$\d+`).ReplaceAllString(text, "$$")
}

// ordinary is the Input that TestPlans varies.
func ordinary() *Input {
	s := defaultSpec("/bundle/rootfs", "sh", "-c", "true")
	return &Input{ID: "c1", Bundle: "/bundle", Spec: s, Env: append(s.Process.Env, "HOME=/"), Facts: TypicalFacts()}
}

// v1 is a machine with cgroup v1, with some of its hierarchies.
func v1(in *Input) {
	in.Facts.Unified, in.Facts.Born, in.Facts.Tasks = false, false, 2
	in.Facts.Cgroups = []cgroup.Mount{
		{Name: "cpu,cpuacct", Type: "cgroup", Source: "/sys/fs/cgroup/cpu,cpuacct/c1", Data: "cpu,cpuacct", Aliases: []string{"cpu", "cpuacct"}},
		{Name: "systemd", Type: "cgroup", Source: "/sys/fs/cgroup/systemd/c1", Data: "none,name=systemd"},
	}
}

func (in *Input) set(kind specs.LinuxNamespaceType, path string) {
	list := []specs.LinuxNamespace{}
	for _, n := range in.Spec.Linux.Namespaces {
		if n.Type != kind {
			list = append(list, n)
		}
	}
	in.Spec.Linux.Namespaces = append(list, specs.LinuxNamespace{Type: kind, Path: path})
}

func (in *Input) unset(kind specs.LinuxNamespaceType) {
	in.set(kind, "")
	n := in.Spec.Linux.Namespaces
	in.Spec.Linux.Namespaces = n[:len(n)-1]
}

func filterOf(t *testing.T) *seccomp.Filter {
	t.Helper()
	f, _, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// agentFilter asks a seccomp agent.
func agentFilter(t *testing.T) *seccomp.Filter {
	t.Helper()
	f, _, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64}, ListenerPath: "/agent",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPlans: the ordinary container's plan in full, and what each wish makes
// different in it.
func TestPlans(t *testing.T) {
	base, err := Compile(ordinary())
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, base)
	golden.Check(t, "default", base.String())
	mount := func(m ...specs.Mount) func(*Input) {
		return func(in *Input) { in.Spec.Mounts = append(in.Spec.Mounts, m...) }
	}
	for _, c := range []struct {
		name string
		edit func(*Input)
	}{
		{"terminal", func(in *Input) {
			in.Spec.Process.Terminal = true
			in.Spec.Process.ConsoleSize = &specs.Box{Height: 24, Width: 300}
			in.Spec.Process.User.UID = 5
		}},
		{"user namespace", func(in *Input) { in.set(specs.UserNamespace, "") }},
		{"joined namespaces", func(in *Input) {
			for _, n := range namespaceOrder {
				in.set(specs.LinuxNamespaceType(n.kind), "/proc/1/ns/"+n.proc)
			}
		}},
		{"joined user namespace", func(in *Input) { in.set(specs.UserNamespace, "/u") }},
		{"joined pid namespace", func(in *Input) { in.set(specs.PIDNamespace, "/p") }},
		{"joined time namespace", func(in *Input) { in.set(specs.TimeNamespace, "/t") }},
		{"time namespace", func(in *Input) {
			in.set(specs.TimeNamespace, "")
			in.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -5, Nanosecs: 7}, "boottime": {Secs: 9}}
		}},
		{"no mount namespace", func(in *Input) { in.unset(specs.MountNamespace) }},
		{"no namespaces", func(in *Input) { in.Spec.Linux.Namespaces = nil }},
		{"no pivot", func(in *Input) { in.NoPivot = true }},
		{"no keyring", func(in *Input) { in.NoNewKeyring = true }},
		{"hooks", func(in *Input) { in.Hooks = true }},
		{"no process", func(in *Input) { in.Spec.Process, in.Env = nil, nil }},
		{"streams and preserved descriptors", func(in *Input) { in.Streams, in.Preserve = [3]bool{true, false, true}, 2 }},
		{"cgroup v1", v1},
		{"cgroup v1 without cgroup namespace", func(in *Input) { v1(in); in.unset(specs.CgroupNamespace) }},
		{"child before its cgroup", func(in *Input) { v1(in); in.Waits = true }},
		{"child before its cgroup without cgroup namespace", func(in *Input) { v1(in); in.Waits = true; in.unset(specs.CgroupNamespace) }},
		{"child before its cgroup with hooks", func(in *Input) { v1(in); in.Waits, in.Hooks = true, true }},
		{"child before its cgroup with a mount on that", func(in *Input) {
			v1(in)
			in.Waits = true
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/sys/fs/cgroup/systemd/x", Type: "tmpfs", Source: "tmpfs"})
		}},
		{"cgroup v2 without cgroup namespace", func(in *Input) { in.unset(specs.CgroupNamespace) }},
		{"seccomp with noNewPrivileges", func(in *Input) { in.Filter = filterOf(t) }},
		{"seccomp without noNewPrivileges", func(in *Input) { in.Filter = filterOf(t); in.Spec.Process.NoNewPrivileges = false }},
		{"bind read-only", mount(specs.Mount{Destination: "/m", Source: "/src", Options: []string{"bind", "ro", "nosuid"}})},
		{"rbind with propagation", mount(specs.Mount{Destination: "/m", Type: "bind", Source: "rel", Options: []string{"rbind", "rw", "rslave", "shared"}})},
		{"bind of a file", func(in *Input) {
			mount(specs.Mount{Destination: "/etc/hosts", Source: "/src/hosts", Options: []string{"bind"}})(in)
			in.Facts.NotDir = map[string]bool{"/src/hosts": true}
		}},
		{"bind read-only all the way down", mount(specs.Mount{Destination: "/m", Source: "/src", Options: []string{"rbind", "rro", "rnosuid", "noatime"}})},
		{"tmpfs", mount(specs.Mount{Destination: "/m", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "ro", "noexec", "mode=700", "unbindable"}})},
		{"remount", mount(specs.Mount{Destination: "/m", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro"}},
			specs.Mount{Destination: "/m", Options: []string{"bind", "remount", "ro"}})},
		{"dangling mount point", func(in *Input) {
			mount(specs.Mount{Destination: "/etc/resolv.conf", Source: "/src", Options: []string{"bind"}})(in)
			in.Facts.Resolved = map[string]string{"/etc/resolv.conf": "/run/resolv.conf"}
		}},
		{"devices", func(in *Input) {
			mode, id := os.FileMode(0o640), uint32(7)
			in.Spec.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &id, GID: &id},
				{Path: "/dev/sub/disk", Type: "b", Major: 259, Minor: 70000}, {Path: "/dev/fifo", Type: "p", Major: 1, Minor: 2},
				{Path: "/dev/null", Type: "u", Major: 1, Minor: 3, FileMode: &mode},
			}
		}},
		{"dev of the host", func(in *Input) {
			in.Spec.Mounts = append(in.Spec.Mounts[:1:1], specs.Mount{Destination: "/dev", Source: "/dev", Options: []string{"rbind"}})
		}},
		{"rootfs shared", func(in *Input) { in.Spec.Linux.RootfsPropagation = "shared"; in.Facts.RootParent = "/bundle" }},
		{"rootfs private", func(in *Input) { in.Spec.Linux.RootfsPropagation = "rprivate"; in.Spec.Root.Readonly = false }},
		{"sysctl", func(in *Input) {
			in.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmni": "9"}
		}},
		{"user", func(in *Input) {
			mask := uint32(0o27)
			in.Spec.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7, 8}, Umask: &mask}
			in.Spec.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
			in.Spec.Process.Capabilities.Ambient = []string{"CAP_KILL"}
			in.Spec.Process.Cwd = "/srv"
		}},
		{"ambient capabilities that are not inheritable", func(in *Input) {
			in.Spec.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
			in.Spec.Process.Capabilities.Ambient = []string{"CAP_KILL", "CAP_CHOWN"}
		}},
		{"ungrantable capabilities", func(in *Input) {
			in.Facts.Grantable = 1 << 5
			in.Spec.Process.Capabilities.Bounding = append(in.Spec.Process.Capabilities.Bounding, "CAP_TEST")
		}},
		{"program with a slash", func(in *Input) { in.Spec.Process.Args = []string{"/bin/true"} }},
		{"limits", func(in *Input) { in.Spec.Process.Rlimits = nil; in.Facts.OpenFiles = Limit{Soft: 1024, Hard: 4096} }},
		{"apparmor", func(in *Input) { in.Spec.Process.ApparmorProfile = "p"; in.Facts.AppArmor = true }},
		{"apparmor absent", func(in *Input) { in.Spec.Process.ApparmorProfile = "p" }},
		{"selinux", func(in *Input) { in.Spec.Process.SelinuxLabel = "p"; in.Spec.Linux.MountLabel = "m" }},
		{"personality and io priority", func(in *Input) {
			in.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32, Flags: []specs.LinuxPersonalityFlag{fixedAddresses}}
			in.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
		}},
		{"joined network under new users", func(in *Input) {
			in.set(specs.UserNamespace, "")
			in.set(specs.NetworkNamespace, "/run/netns/x")
		}},
		{"joined user namespace of an ordinary user", func(in *Input) {
			in.Facts.Privileged = false
			in.set(specs.UserNamespace, "/proc/1/ns/user")
			in.set(specs.NetworkNamespace, "/proc/1/ns/net")
		}},
		{"no pivot where proc is seen", func(in *Input) { in.NoPivot = true; in.Facts.Revealing = []string{"/proc", "/sys"} }},
		{"idmapped mount", func(in *Input) {
			m := []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/m", Source: "src", Options: []string{"rbind", "ridmap", "ro"}, UIDMappings: m, GIDMappings: m})
		}},
		{"mounts in a user namespace", func(in *Input) {
			in.set(specs.UserNamespace, "")
			in.Facts.NotDir = map[string]bool{"/file": true}
			in.Facts.Unseen = map[string]bool{"/bundle/rootfs/m/sub": true}
			for i, source := range []string{"/src", "/file", "/bundle/rootfs/m/sub"} {
				in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: []string{"/m", "/f", "/n"}[i], Source: source, Options: []string{"bind", "rslave"}})
			}
		}},
		{"mounts of an ordinary user", func(in *Input) {
			in.Facts.Privileged = false
			in.set(specs.UserNamespace, "")
			in.Facts.Locked = map[string]uint64{"/src": attrNosuid | attrNodev}
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/m", Source: "/src", Options: []string{"bind", "ro"}})
		}},
		{"source that an earlier mount brings", func(in *Input) {
			in.Facts.Unseen = map[string]bool{"/bundle/rootfs/m/sub": true}
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/bundle/rootfs/n", Source: "/bundle/rootfs/m/sub", Options: []string{"bind"}})
		}},
		{"tmpcopyup", func(in *Input) {
			in.Facts.Covered = map[string]uint64{"/tmp": 0o1777}
			in.Facts.CopyUp = map[string][]Entry{"/tmp": {
				{Path: "d", Mode: sIFDIR | 0o700}, {Path: "d/f", Mode: sIFREG | 0o4755, UID: 1, GID: 2, Size: 3}, {Path: "empty", Mode: sIFREG | 0o644},
				{Path: "l", Mode: sIFLNK | 0o777, Link: "d/f", UID: -1, GID: -1}, {Path: "p", Mode: sIFIFO | 0o600}, {Path: "s", Mode: sIFSOCK},
			}}
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "tmpcopyup"}})
		}},
		{"read-only dev", func(in *Input) {
			for i := range in.Spec.Mounts {
				if in.Spec.Mounts[i].Destination == "/dev" {
					in.Spec.Mounts[i].Options = append(in.Spec.Mounts[i].Options, "ro")
				}
			}
		}},
		{"scheduler and memory policy", func(in *Input) {
			in.Spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR, Priority: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
			in.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-1,8", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
		}},
		{"seccomp agent", func(in *Input) { in.Filter = agentFilter(t); in.Spec.Process.NoNewPrivileges = false }},
		{"seccomp agent with noNewPrivileges", func(in *Input) { in.Filter = agentFilter(t); in.Spec.Process.NoNewPrivileges = true }},
		{"bare", func(in *Input) { in.Guest, in.Direct = true, true }},
		{"bare with a filter", func(in *Input) {
			in.Guest, in.Direct, in.Filter = true, true, &seccomp.Filter{Program: agentFilter(t).Program}
		}},
		{"bare with a gate", func(in *Input) { in.Guest = true }},
		{"bare with devices of the image", func(in *Input) {
			in.Guest, in.Direct = true, true
			in.Facts.Present = map[string]bool{"/dev/null": true, "/dev/fd": true, "/dev/ptmx": true}
		}},
		{"masked twice", func(in *Input) {
			in.Spec.Linux.MaskedPaths = append(in.Spec.Linux.MaskedPaths, in.Spec.Linux.MaskedPaths[0])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := ordinary()
			c.edit(in)
			p, err := Compile(in)
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, p)
			golden.Check(t, strings.ReplaceAll(c.name, " ", "-"), golden.Difference(listing(base), listing(p)))
			again := ordinary()
			c.edit(again)
			if p2, err := Compile(again); err != nil || p2.String() != p.String() {
				t.Errorf("two equal inputs, two plans (%v)", err)
			}
		})
	}
}

// TestOtherPlans: a process that enters a container, and a hook.
func TestOtherPlans(t *testing.T) {
	in := ordinary()
	in.Facts.Tasks = 1
	exec, err := CompileExec(in, in.Spec.Process)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, exec)
	golden.Check(t, "exec", exec.String())

	in = ordinary()
	in.Facts.Tasks, in.Alone = 1, true
	alone, err := CompileExec(in, in.Spec.Process)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, alone)
	golden.Check(t, "exec-that-needs-no-answers", golden.Difference(listing(exec), listing(alone)))

	in = ordinary()
	in.Facts.Tasks, in.Facts.Privileged = 1, false
	user, err := CompileExec(in, in.Spec.Process)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, user)
	golden.Check(t, "exec-of-an-ordinary-user", golden.Difference(listing(exec), listing(user)))

	in = ordinary()
	in.unset(specs.MountNamespace)
	in.set(specs.UserNamespace, "")
	p := *in.Spec.Process
	p.Terminal, p.Cwd = true, ""
	other, err := CompileExec(in, &p)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, other)
	golden.Check(t, "exec-with-terminal-without-mount-namespace", golden.Difference(listing(exec), listing(other)))

	in = &Input{Spec: &specs.Spec{Linux: in.Spec.Linux}, Env: []string{"A=b"}, Facts: TypicalFacts(), Streams: [3]bool{true, true, true}}
	hook := CompileHook(in, specs.Hook{Path: "/bin/hook", Args: []string{"hook", "x"}})
	checkPlan(t, hook)
	golden.Check(t, "hook", hook.String())
}

func TestUnbuilt(t *testing.T) {
	for want, edit := range map[string]func(*specs.Spec){
		"linux.intelRdt": func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} },
		"linux.memoryPolicy.mode: invalid memory policy mode": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} },
		"linux.memoryPolicy.nodes: invalid memory policy node": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-9876543210"}
		},
		"process.scheduler.policy SCHED_DEADLINE": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline}
			s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}
		},
		"mounts[7] /m: only a bind mount": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Type: "tmpfs", Options: []string{"ridmap"}})
		},
		"mounts[6] /sys/fs/cgroup: the container has no cgroup": func(s *specs.Spec) {
			for i, n := range s.Linux.Namespaces {
				if n.Type == specs.CgroupNamespace {
					s.Linux.Namespaces = append(s.Linux.Namespaces[:i], s.Linux.Namespaces[i+1:]...)
					break
				}
			}
		},
		"mounts[7] /m: idmap without": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Source: "/x", Options: []string{"bind", "idmap"}})
		},
		"mounts[7] /m: uidMappings and gidMappings": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Source: "/x", Options: []string{"bind"}, UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})
		},
		"mounts[7] /..: the container's":  func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Destination: "/..", Type: "tmpfs"}) },
		"linux.devices[0] /dev/x: device": func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} },
		"process.rlimits[0].type \"CPU\"": func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "CPU"}} },
	} {
		in := ordinary()
		in.Facts.Cgroups = nil
		edit(in.Spec)
		if _, err := Compile(in); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s…", err, want)
		}
	}
}

// checkPlan: every jump lands inside the plan, every register is written
// before it is read, and nothing overflows what the walk has room for. What the
// parent's errands save, the child reads only behind its next wait.
func checkPlan(t *testing.T, p *Plan) {
	t.Helper()
	c := planCheck{T: t, saved: make([]bool, p.Slots+1)}
	handed := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Call == "write" && s.Why == "the parent's errands" })
	if handed < 0 {
		if len(p.Errands) > 0 {
			t.Error("the child does not say when the errands can be run")
		}
		c.steps(p.Steps, 0, len(p.Steps))
	} else {
		awaited := handed + slices.IndexFunc(p.Steps[handed:], func(s Step) bool { return s.Call == callAwait })
		c.steps(p.Steps, 0, handed)
		mine := slices.Clone(c.saved)
		c.steps(p.Errands, 0, len(p.Errands))
		both := c.saved
		c.saved = mine
		c.steps(p.Steps, handed, awaited)
		for i := range both {
			c.saved[i] = c.saved[i] || both[i]
		}
		c.steps(p.Steps, awaited, len(p.Steps))
	}
	if n := len(p.Steps); n == 0 || p.Steps[n-1].Call != "execveat" {
		t.Error("the plan does not end with the program")
	}
	checkCarried(t, &Prepared{Plan: p})
}

type planCheck struct {
	*testing.T
	saved []bool
}

// steps checks the part of list from one index to another.
func (t *planCheck) steps(list []Step, from, to int) {
	t.Helper()
	read := func(i int, s Slot) {
		if s < 0 || int(s) >= len(t.saved) || !t.saved[s] {
			t.Errorf("step %d %s reads $%d, which no step before it saves", i, list[i].text(), s)
		}
	}
	for i := from; i < to; i++ {
		s := &list[i]
		jumps := []int{s.Skip}
		for _, r := range s.Rescue {
			jumps = append(jumps, r.Skip)
		}
		for _, skip := range jumps {
			last := i == len(list)-1 && skip == 0 // the end of the walk
			if at := i + 1 + skip; skip < 0 || at >= len(list) && !last {
				t.Errorf("step %d %s jumps to %d of %d", i, s.text(), at, len(list))
			}
		}
		if len(s.Rescue) > 3 || len(s.Args) > 6 {
			t.Errorf("step %d has %d rescues and %d arguments", i, len(s.Rescue), len(s.Args))
		}
		for _, a := range s.Args {
			switch a := a.(type) {
			case Slot:
				read(i, a)
			case SendFD:
				read(i, a.Descriptor)
			case Argv:
				if a.Program != 0 {
					read(i, a.Program)
				}
			case Bytes:
				if strings.Contains(s.Call, "mount_setattr") && len(a) != 32 {
					t.Errorf("step %d: struct mount_attr of %d bytes", i, len(a))
				}
			}
		}
		if int(s.Save) >= len(t.saved) {
			t.Errorf("step %d saves into $%d of %d", i, s.Save, len(t.saved)-1)
		} else if s.Save != 0 || s.Call == callLet {
			t.saved[s.Save] = true
		}
	}
}

func TestDifference(t *testing.T) {
	if got, want := golden.Difference("a\nb\nc", "a\nx\nc\nd"), "-b\n+x\n+d\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
