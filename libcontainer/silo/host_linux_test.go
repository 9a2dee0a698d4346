package silo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"wrun/libcontainer"
	"wrun/libcontainer/hosttest"
)

const busybox = "/bin/busybox"

// needSilo skips where no container can be made.
func needSilo(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: namespaces, mounts and cgroups need it")
	}
	if _, err := os.Stat(busybox); err != nil {
		t.Skipf("the root file system is made of Debian's busybox-static: %v", err)
	}
}

// rootfs makes a root file system of busybox alone.
func makeRoot(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
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

// TestHost holds the silo against the contract of every host.
func TestHost(t *testing.T) {
	needSilo(t)
	root := makeRoot(t)
	prefix := fmt.Sprintf("wrun-hosttest-%d-", os.Getpid())
	var count atomic.Int64
	hosttest.Run(t, hosttest.Setup{
		Host: New(nil),
		Config: func(t *testing.T, args ...string) *libcontainer.Config {
			dir := t.TempDir()
			id := prefix + fmt.Sprint(count.Add(1))
			state := filepath.Join(dir, id)
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			return &libcontainer.Config{
				ID: id, Dir: state, Bundle: filepath.Dir(root),
				Spec:      defaultSpec(root, args...),
				Isolation: libcontainer.Isolation{OS: "linux", Kind: libcontainer.Silo},
				Warn:      func(string, ...any) {}, // ungrantable capabilities, unknown limits
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
				if strings.Contains(line, root) {
					left = append(left, line)
				}
			}
			return left
		},
	})
	// Who executes something in a container was in its pid namespace for that
	// moment. What this process starts next is to be born in its own.
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	threads, _ := filepath.Glob("/proc/self/task/*/ns/pid_for_children")
	for _, thread := range threads {
		if ns, err := os.Readlink(thread); err == nil && ns != own {
			t.Errorf("%s is %s, own is %s", thread, ns, own)
		}
	}
	if len(threads) == 0 {
		t.Error("no threads seen")
	}
}
