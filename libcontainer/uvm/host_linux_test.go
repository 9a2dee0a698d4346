package uvm_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hosttest"
	"wrun/libcontainer/silo"
	"wrun/libcontainer/uvm"
	"wrun/tests/uvm/boot"
)

// TestMain also is the monitor: the host starts the program that it is part of.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == uvm.MonitorCommand {
		os.Exit(uvm.Monitor(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// rootfs makes a root file system of busybox alone.
func rootfs(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755)
	}
	for _, applet := range []string{"sh", "sleep", "cat", "echo", "true", "ls"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(dir, "bin", applet))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func bundleSpec(image, root string, args ...string) *specs.Spec {
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: root},
		Process: &specs.Process{Args: args, Env: []string{"PATH=/bin"}, Cwd: "/"},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}}},
		Windows: &specs.Windows{HyperV: &specs.WindowsHyperV{UtilityVMPath: image}},
	}
}

// TestHost holds the utility VM against the contract of every host.
func TestHost(t *testing.T) {
	image := boot.Build(t).Image
	root := rootfs(t)
	prefix := fmt.Sprintf("wrun-uvmtest-%d-", os.Getpid())
	var count atomic.Int64
	hosttest.Run(t, hosttest.Setup{
		Host:      uvm.New(func(s uvm.Start) (json.RawMessage, []string, error) { return silo.Prepare(silo.Order(s)) }),
		Monitored: true,
		Deputies:  true,
		Config: func(t *testing.T, args ...string) *libcontainer.Config {
			dir := t.TempDir()
			id := prefix + fmt.Sprint(count.Add(1))
			state := filepath.Join(dir, id)
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			return &libcontainer.Config{
				ID: id, Dir: state, Bundle: filepath.Dir(root), Spec: bundleSpec(image, root, args...),
				Isolation: libcontainer.Isolation{OS: "linux", Host: "linux", Kind: libcontainer.UVM},
				Warn:      t.Logf,
			}
		},
		Left: func() []string {
			groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + prefix + "*")
			whole, _ := filepath.Glob("/sys/fs/cgroup/" + prefix + "*")
			left := append(groups, whole...)
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				return append(left, err.Error())
			}
			for line := range strings.Lines(string(mounts)) {
				if strings.Contains(line, root) || strings.Contains(line, prefix) {
					left = append(left, line)
				}
			}
			return left
		},
	})
}
