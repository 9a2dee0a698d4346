package uvm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
	"wrun/libcontainer/bundle"
	"wrun/libcontainer/uvm/guest"
)

// everything is a Spec with one of each that translate looks at, and much that
// it leaves as it is.
func everything() *specs.Spec {
	s := ordinary()
	s.Hostname, s.Domainname = "h", "d"
	s.Annotations = map[string]string{"a": "b"}
	s.Root.Readonly = true
	s.Mounts = []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}},
		{Destination: "/rw", Type: "bind", Source: "/host/rw", Options: []string{"rbind", "rslave"}},
		{Destination: "/ro", Type: "none", Source: "/host/ro", Options: []string{"bind", "ro"}},
		{Destination: "/etc/hosts", Source: "/host/hosts", Options: []string{"rbind", "rro", "nosuid"}},
		{Destination: "/by-type", Type: "bind", Source: "/host/by-type"},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}},
		{Destination: "/again", Type: "bind", Source: "/host/rw", Options: []string{"ro"}},
	}
	s.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}}
	s.Process.ApparmorProfile, s.Process.SelinuxLabel = "profile", "label"
	hook := []specs.Hook{{Path: "/bin/hook"}}
	s.Hooks = &specs.Hooks{Prestart: hook, CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
	s.Windows = &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: "/vm"}, LayerFolders: []string{"/layer"}}
	s.VM = &specs.VM{Kernel: specs.VMKernel{Path: "/kernel"}}
	s.Linux.CgroupsPath, s.Linux.MountLabel = "/system.slice/x", "mount label"
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/proc/kcore"}, []string{"/proc/sys"}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	s.Linux.Resources = &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: of(int64(1 << 28))}, CPU: &specs.LinuxCPU{Shares: of(uint64(512))}, Pids: &specs.LinuxPids{Limit: of(int64(9))},
		BlockIO: &specs.LinuxBlockIO{Weight: of(uint16(10))}, Network: &specs.LinuxNetwork{ClassID: of(uint32(1))},
		Unified: map[string]string{"memory.high": "1"},
	}
	s.Linux.Namespaces[2].Path = "/run/netns/n"
	return s
}

// TestTranslate: what the guest gets, what of the host goes with it, and what is
// said about the rest.
func TestTranslate(t *testing.T) {
	for name, s := range map[string]*specs.Spec{
		"translate":       ordinary(),
		"translate-all":   everything(),
		"translate-least": {Root: &specs.Root{Path: "/r"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := pretty(t, s)
			got, err := translate(s, "c1", false)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, name, pretty(t, got.spec)+pretty(t, got.shares)+strings.Join(append(got.warnings, ""), "\n"))
			scribble(got.spec)
			if after := pretty(t, s); after != before {
				t.Errorf("the caller's Spec was changed to %s", after)
			}
		})
	}
}

// scribble changes what a translation, and who completes it, have of their own.
func scribble(s *specs.Spec) {
	s.Root.Path, s.Root.Readonly = "scribbled", !s.Root.Readonly
	for i := range s.Mounts {
		s.Mounts[i] = specs.Mount{Destination: "scribbled", Source: "scribbled", Options: []string{"scribbled"}}
	}
	if s.Process != nil {
		s.Process.Env, s.Process.ApparmorProfile, s.Process.SelinuxLabel = []string{"scribbled"}, "scribbled", "scribbled"
	}
	for i := range s.Linux.Namespaces {
		s.Linux.Namespaces[i] = specs.LinuxNamespace{Type: "scribbled", Path: "scribbled"}
	}
	s.Linux.CgroupsPath, s.Linux.MountLabel = "scribbled", "scribbled"
	if r := s.Linux.Resources; r != nil {
		r.Memory, r.BlockIO, r.Network = nil, &specs.LinuxBlockIO{}, &specs.LinuxNetwork{}
	}
}

// TestUntranslatable: what a VM cannot give is refused, by its name.
func TestUntranslatable(t *testing.T) {
	join := func(kind specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: "/proc/7/ns/x"})
		}
	}
	for _, c := range []struct {
		want string
		edit func(*specs.Spec)
	}{
		{"root.path is missing", func(s *specs.Spec) { s.Root = nil }},
		{"root.path is missing", func(s *specs.Spec) { s.Root.Path = "" }},
		{"linux.namespaces: a container in a utility VM cannot join the pid namespace /proc/7/ns/x", join(specs.PIDNamespace)},
		{"cannot join the mount namespace", join(specs.MountNamespace)},
		{"cannot join the ipc namespace", join(specs.IPCNamespace)},
		{"cannot join the user namespace", join(specs.UserNamespace)},
		{"linux.seccomp.listenerPath: ", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{ListenerPath: "/l"} }},
		{"linux.intelRdt: ", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }},
	} {
		s := ordinary()
		c.edit(s)
		if _, err := translate(s, "c1", false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want …%s…", err, c.want)
		}
	}
}

// TestWarnings: each thing that is left out is told of, once, by its name, and
// nothing else is.
func TestWarnings(t *testing.T) {
	for want, edit := range map[string]func(*specs.Spec){
		"":                          func(*specs.Spec) {},
		"linux.namespaces: ":        func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:2] },
		"linux.mountLabel: ":        func(s *specs.Spec) { s.Linux.MountLabel = "l" },
		"linux.resources.blockIO: ": func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{}} },
		"linux.resources.network: ": func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{Network: &specs.LinuxNetwork{}} },
		"process.apparmorProfile: ": func(s *specs.Spec) { s.Process.ApparmorProfile = "p" },
		"process.selinuxLabel: ":    func(s *specs.Spec) { s.Process.SelinuxLabel = "l" },
	} {
		s := ordinary()
		edit(s)
		got, err := translate(s, "c1", false)
		if err != nil {
			t.Error(err)
			continue
		}
		if want == "" && len(got.warnings) == 0 {
			continue
		}
		if want == "" || len(got.warnings) != 1 || !strings.HasPrefix(got.warnings[0], want) {
			t.Errorf("%q, want %q", got.warnings, want)
		}
	}
}

// FuzzTranslate: whatever config.json says, neither the Spec for the guest nor
// the machine panics, the Spec of the bundle stays as it is, and the guest gets
// no path of the host: none but in its own directory is the source of a bind.
func FuzzTranslate(f *testing.F) {
	for _, pattern := range []string{"good/*.json", "bad/*.json"} {
		files, err := filepath.Glob(filepath.Join("../../tests/testdata/bundles", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(pretty(f, everything())))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Parse("/bundle", data)
		if err != nil {
			return
		}
		before := pretty(t, b.Spec)
		if m, err := NewMachine(b.Spec, fallback); err == nil {
			m.Arguments(freshMemory)
		}
		got, err := translate(b.Spec, "fuzz", false)
		if after := pretty(t, b.Spec); after != before {
			t.Errorf("the bundle's Spec was changed to %s", after)
		}
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, s := range got.shares {
			names[guest.FilesDir+"/fuzz/"+s.Name] = true
		}
		if g := got.spec; len(names) != len(got.shares) || !names[g.Root.Path] || g.Hooks != nil || g.Windows != nil || g.VM != nil || g.Linux.CgroupsPath != "/fuzz" {
			t.Errorf("%s with %v", pretty(t, g), got.shares)
		}
		for _, m := range got.spec.Mounts {
			bind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
			if bind && !names[m.Source] {
				t.Errorf("%s is bound from %s", m.Destination, m.Source)
			}
		}
		for _, n := range got.spec.Linux.Namespaces {
			if n.Path != "" || n.Type == specs.NetworkNamespace {
				t.Errorf("the guest is to join %+v", n)
			}
		}
	})
}
