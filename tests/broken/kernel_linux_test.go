package broken

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/tests/leftovers"
)

func ptr[T any](v T) *T { return &v }

// without lets the container share a namespace with the host.
func (p *place) without(kind specs.LinuxNamespaceType) {
	p.Spec.Linux.Namespaces = slices.DeleteFunc(p.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	if kind == specs.UTSNamespace {
		p.Spec.Hostname = ""
	}
}

// join lets the container have a namespace by path.
func join(kind specs.LinuxNamespaceType, path string) func(*place) {
	return func(p *place) {
		p.without(kind)
		p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

func TestNamespaces(t *testing.T) {
	flaws(t, []flaw{
		{"path missing", join(specs.NetworkNamespace, "/nosuchnamespace"), "open namespace /nosuchnamespace of type network: no such file or directory"},
		{"path of a process that is not there", join(specs.IPCNamespace, "/proc/4194304/ns/ipc"), "no such file or directory"},
		{"path relative", join(specs.NetworkNamespace, "ns/net"), "linux.namespaces"},
		{"path of a file", join(specs.NetworkNamespace, "/etc/hostname"), "linux.namespaces path /etc/hostname is no namespace"},
		{"path of a directory", join(specs.NetworkNamespace, "/etc"), "linux.namespaces path /etc is no namespace"},
		{"path of a device", join(specs.NetworkNamespace, "/dev/null"), "linux.namespaces path /dev/null is no namespace"},
		{"path of a fifo", func(p *place) {
			name := filepath.Join(p.host, "fifo")
			p.must(unix.Mkfifo(name, 0o644))
			join(specs.NetworkNamespace, name)(p)
		}, "is no namespace"},
		{"of another type", join(specs.NetworkNamespace, "/proc/self/ns/uts"), "linux.namespaces path /proc/self/ns/uts is no namespace of type network"},
		{"pid joined by the wrong file", join(specs.PIDNamespace, "/proc/self/ns/mnt"), "is no namespace of type pid"},
		{"the user namespace wrun is in", join(specs.UserNamespace, "/proc/self/ns/user"), "namespace user /proc/self/ns/user"},
		{"type unknown", join("mood", ""), "linux.namespaces"},
		{"hostname without uts", func(p *place) { p.without(specs.UTSNamespace); p.Spec.Hostname = "x" }, "hostname"},
		{"user namespace without users", func(p *place) {
			p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		}, ""},
		{"user namespace with overlapping users", func(p *place) {
			p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			p.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 10}, {ContainerID: 5, HostID: 200000, Size: 10}}
			p.Spec.Linux.GIDMappings = p.Spec.Linux.UIDMappings
		}, ""},
		{"time running backwards", func(p *place) {
			p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			p.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: -1 << 62}}
		}, "linux.timeOffsets"},
		{"hostname too long", func(p *place) { p.Spec.Hostname = strings.Repeat("x", 65) }, "hostname"},
		{"sysctl unknown", func(p *place) { p.Spec.Linux.Sysctl = map[string]string{"net.nosuch.thing": "1"} }, "linux.sysctl[net.nosuch.thing]"},
		{"sysctl of the host", func(p *place) { p.Spec.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, "linux.sysctl"},
		{"sysctl with a wrong value", func(p *place) { p.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "perhaps"} }, "linux.sysctl[net.ipv4.ip_forward]"},
		{"sysctl climbing out", func(p *place) { p.Spec.Linux.Sysctl = map[string]string{"net.../../kernel/hostname": "x"} }, "linux.sysctl"},
	})
}

// groups makes a cgroup of the test's own in every hierarchy and lets the
// container use it.
func (p *place) groups() []string {
	p.Helper()
	p.Spec.Linux.CgroupsPath = "/" + p.id + "-mine"
	var made []string
	for _, root := range leftovers.Hierarchies() {
		dir := filepath.Join(root, p.Spec.Linux.CgroupsPath)
		p.must(os.Mkdir(dir, 0o755))
		made = append(made, dir)
		p.Cleanup(func() { p.must(os.Remove(dir)) })
	}
	return made
}

// frozen freezes the cgroup in that of dirs that can do it.
func (p *place) frozen(dirs []string) {
	p.Helper()
	for _, d := range dirs {
		for _, f := range [][3]string{{"freezer.state", "FROZEN", "THAWED"}, {"cgroup.freeze", "1", "0"}} {
			name := filepath.Join(d, f[0])
			if os.WriteFile(name, []byte(f[1]), 0) == nil {
				p.Cleanup(func() { p.must(os.WriteFile(name, []byte(f[2]), 0)) })
				return
			}
		}
	}
	p.Skip("no hierarchy of this machine freezes")
}

// occupied puts a process into the cgroup of dirs.
func (p *place) occupied(dirs []string) {
	p.Helper()
	cmd := exec.Command("sleep", "1000")
	p.must(cmd.Start())
	p.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "cpuset.cpus")); err == nil {
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				all, err := os.ReadFile(filepath.Join(filepath.Dir(d), f))
				if errors.Is(err, os.ErrNotExist) {
					continue // v2, where an empty one takes its parent's
				}
				p.must(err)
				p.must(os.WriteFile(filepath.Join(d, f), all, 0))
			}
		}
		p.must(os.WriteFile(filepath.Join(d, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0))
	}
}

func resources(r specs.LinuxResources) func(*place) {
	return func(p *place) { p.Spec.Linux.Resources = &r }
}

func TestCgroups(t *testing.T) {
	flaws(t, []flaw{
		{"of the whole machine", func(p *place) { p.Spec.Linux.CgroupsPath = "/" }, "cgroup"},
		{"of the whole machine in other words", func(p *place) { p.Spec.Linux.CgroupsPath = "/a/../" }, "cgroup"},
		{"not empty", func(p *place) { p.occupied(p.groups()) }, "container's cgroup is not empty: 1 process(es) found in /sys/fs/cgroup/"},
		{"frozen", func(p *place) { p.frozen(p.groups()) }, "container's cgroup unexpectedly frozen: /sys/fs/cgroup/"},
		{"not empty and frozen", func(p *place) { dirs := p.groups(); p.occupied(dirs); p.frozen(dirs) }, "container's cgroup is not empty"},
		{"name too long", func(p *place) { p.Spec.Linux.CgroupsPath = "/" + p.id + strings.Repeat("/x", 3000) }, "file name too long"},
		{"name with a new line", func(p *place) { p.Spec.Linux.CgroupsPath = "/" + p.id + "\nx" }, "make cgroup"},
		{"processors that are not there", resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000-4095"}}), "cpu"},
		{"processors of nonsense", resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "many"}}), "cpu"},
		{"memory for nothing", resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4096))}}), "unable to start container process"},
		{"huge pages of no size", resources(specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3KB", Limit: 1}}}), "hugetlb"},
		{"a device rule of nonsense", resources(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "z", Access: "rwm"}}}), "linux.resources.devices[0].type"},
		{"quota below the kernel's least", resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(1)), Period: ptr(uint64(1))}}), "cpu"},
	})
}

// hook adds one hook of each kind that is named.
func hook(kind string, h specs.Hook) func(*place) {
	return func(p *place) {
		p.Spec.Hooks = &specs.Hooks{}
		list := map[string]*[]specs.Hook{
			"prestart":      &p.Spec.Hooks.Prestart, //nolint:staticcheck // dockerd 20.10 needs it
			"createRuntime": &p.Spec.Hooks.CreateRuntime, "createContainer": &p.Spec.Hooks.CreateContainer,
			"startContainer": &p.Spec.Hooks.StartContainer, "poststart": &p.Spec.Hooks.Poststart,
		}[kind]
		*list = append(*list, h)
	}
}

// TestHooks: hooks of five kinds end the container when they fail (config.md,
// "POSIX-platform Hooks"); poststop, the sixth, only warns.
func TestHooks(t *testing.T) {
	var list []flaw
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart"} {
		shell := "/bin/sh" // of the host; for startContainer, of the container
		list = append(list,
			flaw{kind + " fails", hook(kind, specs.Hook{Path: shell, Args: []string{"sh", "-c", "exit 3"}}), "error running " + kind + " hook #0: exit status 3"},
			flaw{kind + " says why", hook(kind, specs.Hook{Path: shell, Args: []string{"sh", "-c", "echo reason >&2; exit 3"}}), "reason"},
			flaw{kind + " missing", hook(kind, specs.Hook{Path: "/nosuchhook"}), "error running " + kind + " hook #0"},
			flaw{kind + " a directory", hook(kind, specs.Hook{Path: "/bin"}), "error running " + kind + " hook #0"},
			flaw{kind + " killed", hook(kind, specs.Hook{Path: shell, Args: []string{"sh", "-c", "kill -9 $$"}}), "error running " + kind + " hook #0"},
		)
	}
	list = append(list,
		flaw{"not executable", func(p *place) { hook("createRuntime", specs.Hook{Path: filepath.Join(p.host, "file")})(p) }, "permission denied"},
		flaw{"a relative path", hook("createRuntime", specs.Hook{Path: "true"}), "hooks.createRuntime[0].path"},
		flaw{"a timeout of nothing", hook("createRuntime", specs.Hook{Path: "/bin/true", Timeout: ptr(0)}), "timeout"},
	)
	flaws(t, list)
}

// TestHookTimeouts costs a second each, twice.
func TestHookTimeouts(t *testing.T) {
	for _, kind := range []string{"createRuntime", "createContainer", "startContainer"} {
		t.Run(kind, func(t *testing.T) {
			p := newPlace(t)
			hook(kind, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000; true"}, Timeout: ptr(1)})(p)
			p.ready()
			r := p.wrun.Run(t, "run", "--bundle", p.Dir, p.id)
			p.clean("afterwards")
			want := fmt.Sprintf("wrun: error running %s hook #0: /bin/sh did not end within its timeout of 1s\n", kind)
			if r.Code != 1 || r.Stderr != want {
				t.Errorf("exit code %d, stderr %q; want 1 and %q", r.Code, r.Stderr, want)
			}
		})
	}
}

func TestSeccompAndDevices(t *testing.T) {
	filter := func(s specs.LinuxSeccomp) func(*place) { return func(p *place) { p.Spec.Linux.Seccomp = &s } }
	device := func(d specs.LinuxDevice) func(*place) {
		return func(p *place) { p.Spec.Linux.Devices = []specs.LinuxDevice{d} }
	}
	flaws(t, []flaw{
		{"action unknown", filter(specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_MOOD"}), "linux.seccomp.defaultAction"},
		{"architecture unknown", filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_PDP11"}}), "linux.seccomp.architectures"},
		{"flag unknown", filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"MOOD"}}), "linux.seccomp.flags"},
		{"notifications without a listener", filter(specs.LinuxSeccomp{DefaultAction: specs.ActNotify}), "linux.seccomp"},
		{"an operator without a meaning", filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 0, Op: "SCMP_CMP_MOOD"}},
		}}}), "linux.seccomp.syscalls[0]"},
		{"type of device", device(specs.LinuxDevice{Path: "/dev/x", Type: "z", Major: 1, Minor: 3}), "linux.devices[0].type"},
		{"number of device", device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: -1, Minor: 3}), "linux.devices[0]"},
		{"device below a file", device(specs.LinuxDevice{Path: "/bin/busybox/x", Type: "c", Major: 1, Minor: 3}), "not a directory"},
		{"device outside dev on a read-only file system", device(specs.LinuxDevice{Path: "/sys/x", Type: "c", Major: 1, Minor: 3}), "linux.devices[0] /sys/x"},
		{"device where the image has a file", device(specs.LinuxDevice{Path: "/bin/busybox", Type: "c", Major: 1, Minor: 3}), "not this device"},
		{"device where a mount is", device(specs.LinuxDevice{Path: "/dev/pts", Type: "c", Major: 1, Minor: 3}), "is mounted there"},
		{"personality", func(p *place) { p.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: "PDP11"} }, "linux.personality.domain"},
		{"not built yet", func(p *place) { p.Spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }, "linux.intelRdt"},
		{"utility VM", func(p *place) { p.Spec.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{}} }, "no boot image for a utility VM"},
	})
}

// TestKilledByTheKernel: what keeps a process from executing anything and from
// saying so. It must end all the same, and nothing may be left.
func TestKilledByTheKernel(t *testing.T) {
	forbid := func(p *place) {
		p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(unix.EPERM))}
	}
	for name, edit := range map[string]func(*place){
		"all calls forbidden": forbid,
		"all calls forbidden, capset among them": func(p *place) {
			p.Spec.Process.NoNewPrivileges = false
			forbid(p)
		},
		"all calls deadly": func(p *place) {
			p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess}
		},
		"no address space": rlimit("RLIMIT_AS", 4096, 4096),
		"no stack":         rlimit("RLIMIT_STACK", 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			edit(p)
			p.ready()
			r := p.wrun.Run(t, "run", "--bundle", p.Dir, p.id)
			p.clean("afterwards")
			if name == "no stack" {
				// A stack that cannot grow suffices for true where the kernel's
				// random start leaves it enough of its first pages.
				if r.Code != 0 && r.Code != 128+int(unix.SIGSEGV) {
					t.Errorf("exit code %d, stderr %q", r.Code, r.Stderr)
				}
				return
			}
			if r.Code == 0 {
				t.Errorf("exit code 0, stderr %q", r.Stderr)
			}
			t.Logf("exit code %d %s", r.Code, r.Stderr)
		})
	}
}
