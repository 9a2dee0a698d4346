package systemd

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wrun/tests/container"
	"wrun/tests/leftovers"
)

var site container.Site // with fault points

func TestMain(m *testing.M) {
	os.Exit(site.Main(m, "systemd", "wrunfault,urfave_cli_no_docs", leftovers.Confine))
}

// machine is a running systemd, and wrun beside it.
type machine struct {
	*testing.T
	*container.Wrun
	pid    int
	groups []string // of the machine's hierarchies: the directory that systemd has for its root
	dir    string
	as     []string // what comes before a program that is not root's
}

// boot starts systemd, with cgroups of the given mode (testdata/boot.sh).
func boot(t *testing.T, mode string) *machine {
	t.Helper()
	if site.WhyNot != "" {
		t.Skip(site.WhyNot)
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skipf("systemd is missing: sh tests/setup.sh systemd: %v", err)
	}
	m := &machine{T: t, dir: t.TempDir()}
	container.Must(t, os.Chmod(m.dir, 0o755))
	m.Wrun = &container.Wrun{Binary: filepath.Join(m.dir, "inside"), Root: filepath.Join(m.dir, "state")}
	root := filepath.Join(m.dir, "root")
	container.Must(t, os.Mkdir(root, 0o755))

	// systemd's own groups are below one that is removed in the end.
	script, err := filepath.Abs("testdata/boot.sh")
	container.Must(t, err)
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--mount-proc", "sh", "-ec",
		`while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec unshare --cgroup sh "$@"`, "boot")
	for _, dir := range leftovers.Hierarchies() {
		group := filepath.Join(parent(t, dir), fmt.Sprintf("wrun-systemd-%d", os.Getpid()))
		container.Must(t, os.MkdirAll(group, 0o755))
		m.groups = append(m.groups, group)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				container.Must(t, os.WriteFile(filepath.Join(group, file), value, 0o644))
			}
		}
		cmd.Args = append(cmd.Args, filepath.Join(group, "cgroup.procs"))
	}
	cmd.Args = append(cmd.Args, "--", script, root, m.dir, mode)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	container.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		m.removeGroups()
		if t.Failed() {
			t.Logf("systemd: %s", log.String())
		}
	})
	m.await("systemd's start", func() bool {
		m.pid = child(cmd.Process.Pid)
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/private", m.pid))
		return m.pid > 0 && err == nil
	})
	m.program(m.Binary, m.copy(site.Binary), "--systemd-cgroup")
	return m
}

// child is the pid of a process's only child; 0 for none yet.
func child(of int) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", of))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(children)))
	return pid
}

// program makes a program that runs another one beside systemd.
func (m *machine) program(name string, args ...string) {
	m.Helper()
	var quoted strings.Builder
	for _, a := range append(m.beside(), args...) {
		fmt.Fprintf(&quoted, " '%s'", strings.ReplaceAll(a, "'", `'\''`))
	}
	container.Must(m, os.WriteFile(name, fmt.Appendf(nil, "#!/bin/sh\nexec%s \"$@\"\n", quoted.String()), 0o755))
}

// beside comes before a program that is to run beside systemd. On a machine with
// v2 alone it runs in a group of systemd's tree: nobody in systemd's cgroup
// namespace may move who comes from elsewhere (cgroup-v2.rst, "nsdelegate").
func (m *machine) beside() []string {
	var args []string
	if native() == "unified" {
		group := filepath.Join(m.groups[0], "beside")
		container.Must(m, os.MkdirAll(group, 0o755))
		args = []string{"sh", "-ec", `echo $$ >"$0"; exec "$@"`, filepath.Join(group, "cgroup.procs")}
	}
	args = append(args, "nsenter", "--target", strconv.Itoa(m.pid), "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd", "--")
	return append(args, m.as...)
}

// copy puts a program where systemd's root shows it.
func (m *machine) copy(program string) string {
	m.Helper()
	name := filepath.Join(m.dir, filepath.Base(program))
	data, err := os.ReadFile(program)
	container.Must(m, err)
	container.Must(m, os.WriteFile(name, data, 0o755))
	return name
}

// await asks until it is so; there is nothing that tells of it.
func (m *machine) await(what string, done func() bool) {
	m.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("%s did not come", what)
		}
	}
}

// inside runs a program beside systemd.
func (m *machine) inside(args ...string) string {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), container.Patience)
	defer cancel()
	args = append(m.beside(), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// property is the unit's, as systemctl shows it.
func (m *machine) property(unit, name string) string {
	m.Helper()
	show := []string{"systemctl", "show", "--property", name, "--value", unit}
	if m.as != nil {
		show = append(show, "--user")
	}
	return m.inside(show...)
}

// gone holds that neither systemd nor the kernel knows the unit.
func (m *machine) gone(unit string) {
	m.Helper()
	state := m.property(unit, "LoadState")
	if absent := m.as != nil && strings.Contains(state, ": Failed to "); state != "not-found" && !absent {
		m.Errorf("systemd still has %s: %s", unit, state)
	}
	for _, group := range m.groups {
		_ = filepath.WalkDir(group, func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() && d.Name() == unit {
				m.Errorf("%s is left", p)
			}
			return nil
		})
	}
}

// native is the mode in which systemd has the machine's own controllers.
func native() string {
	if isUnified("/sys/fs/cgroup") {
		return "unified"
	}
	return "legacy"
}

// parent is the group for systemd's: where this process is in the hierarchy that
// is mounted on dir; but the root of v2 where that has the controllers, since
// a group that holds processes hands none down.
func parent(t *testing.T, dir string) string {
	t.Helper()
	if isUnified(dir) && native() == "unified" {
		return dir
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	container.Must(t, err)
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		name := strings.TrimPrefix(f[1], "name=")
		if name == filepath.Base(dir) || name == "" && isUnified(dir) {
			return filepath.Join(dir, f[2])
		}
	}
	return dir
}

func isUnified(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && int64(st.Type) == unix.CGROUP2_SUPER_MAGIC
}

// removeGroups removes systemd's groups from the bottom, as their processes end.
func (m *machine) removeGroups() {
	for _, group := range m.groups {
		var dirs []string
		_ = filepath.WalkDir(group, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			m.await("the end of the processes in "+dir, func() bool {
				err := syscall.Rmdir(dir)
				return err == nil || err == syscall.ENOENT
			})
		}
	}
}
