// Package container makes bundles of busybox and runs wrun on them, for tests
// of the whole binary. It knows nothing of what is wrong with a bundle.
package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Busybox is the program every rootfs is made of: a static one.
const Busybox = "/bin/busybox"

// Bundle is a directory with a root file system and, once saved, a config.json.
type Bundle struct {
	Dir  string
	Spec *specs.Spec
}

// NewBundle makes a bundle below dir whose program is args. Its Spec may be
// changed until Save.
func NewBundle(t testing.TB, dir string, args ...string) *Bundle {
	t.Helper()
	b := &Bundle{Dir: dir, Spec: Spec(args...)}
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp", "etc"} {
		Must(t, os.MkdirAll(b.Path(d), 0o755))
	}
	program, err := os.ReadFile(Busybox)
	Must(t, err)
	Must(t, os.WriteFile(b.Path("bin/busybox"), program, 0o755))
	for _, name := range []string{"sh", "true", "sleep", "cat", "echo", "stat", "mount"} {
		Must(t, os.Symlink("busybox", b.Path("bin/"+name)))
	}
	return b
}

// Path is where a path of the container lies on the host.
func (b *Bundle) Path(inside string) string { return filepath.Join(b.Dir, "rootfs", inside) }

// Save writes config.json.
func (b *Bundle) Save(t testing.TB) {
	t.Helper()
	data, err := json.Marshal(b.Spec)
	Must(t, err)
	Must(t, os.WriteFile(filepath.Join(b.Dir, "config.json"), data, 0o644))
}

// Spec is a container as engines order it: six namespaces, the usual mounts,
// few capabilities, no terminal.
func Spec(args ...string) *specs.Spec {
	few := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin"}, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: few, Effective: few, Permitted: few},
		},
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "tested",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: Namespaces(specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace,
				specs.UTSNamespace, specs.MountNamespace, specs.CgroupNamespace),
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/sys", "/proc/irq"},
		},
	}
}

// Namespaces is a list of new ones.
func Namespaces(kinds ...specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var list []specs.LinuxNamespace
	for _, k := range kinds {
		list = append(list, specs.LinuxNamespace{Type: k})
	}
	return list
}

// Must ends the test on an error of its own preparations.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
