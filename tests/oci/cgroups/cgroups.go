//go:build linux

// Package cgroups gives each confined test a cgroup of its own in every
// Hierarchy of the machine, and shows it nothing else.
package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hierarchy is one mounted cgroup tree as this process sees it.
type Hierarchy struct {
	Mount   string // e.g. /sys/fs/cgroup/memory
	Options string // mount options that name it: "memory", "none,name=systemd"; empty for v2
	Own     string // the cgroup of this process below Mount
}

func (h Hierarchy) V2() bool { return h.Options == "" }

func (h Hierarchy) Has(controller string) bool {
	for name := range strings.SplitSeq(h.Options, ",") {
		if name == controller {
			return true
		}
	}
	return false
}

// Prefix names the cgroups this program makes; the pid follows.
const Prefix = "wrun-oci-"

// Read joins /proc/self/cgroup with /proc/self/mountinfo.
func Read() ([]Hierarchy, error) {
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []Hierarchy
	for line := range strings.Lines(string(memberships)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		h := Hierarchy{Options: f[1]}
		if strings.HasPrefix(f[1], "name=") {
			h.Options = "none," + f[1]
		}
		if h.Mount = mountOf(string(mounts), f[1]); h.Mount == "" {
			continue
		}
		h.Own = filepath.Join(h.Mount, f[2])
		all = append(all, h)
	}
	return all, nil
}

// mountOf answers where the Hierarchy named by a line of /proc/self/cgroup is mounted.
func mountOf(mountinfo, controllers string) string {
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		f, super := strings.Fields(before), strings.Fields(after)
		if !found || len(f) < 5 || len(super) < 3 {
			continue
		}
		switch {
		case super[0] == "cgroup2" && controllers == "":
			return f[4]
		case super[0] == "cgroup" && controllers != "" && containsAll(super[2], controllers):
			return f[4]
		}
	}
	return ""
}

func containsAll(options, names string) bool {
	for name := range strings.SplitSeq(names, ",") {
		if !strings.Contains(","+options+",", ","+name+",") {
			return false
		}
	}
	return true
}

// Tree is one cgroup in each Hierarchy. A test's cgroup namespace is rooted
// there, so the fixed cgroup names of the suite cannot collide, neither with
// another test nor with the machine's own.
type Tree struct{ Dirs []string }

// Make makes the cgroups below this process's own, so its limits hold. On
// a pure v2 machine they stand below the root: a cgroup with processes cannot
// pass controllers on.
func Make(all []Hierarchy, name string) (*Tree, error) {
	t := &Tree{}
	for _, h := range all {
		parent := h.Own
		if len(all) == 1 && h.V2() {
			parent = h.Mount
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, t.Remove())
		}
		t.Dirs = append(t.Dirs, dir)
		if !h.Has("cpuset") {
			continue
		}
		// A new cpuset is empty and takes no process before it is filled.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := copyFile(filepath.Join(parent, file), filepath.Join(dir, file)); err != nil {
				return nil, errors.Join(err, t.Remove())
			}
		}
	}
	return t, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func (t *Tree) Enter(pid int) error {
	for _, dir := range t.Dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return err
		}
	}
	return nil
}

// Realtime lends the tree microseconds of each second for realtime processes,
// where the kernel keeps such a budget.
func (t *Tree) Realtime(us int) {
	for _, dir := range t.Dirs {
		file := filepath.Join(dir, "cpu.rt_runtime_us")
		if _, err := os.Stat(file); err == nil {
			_ = os.WriteFile(file, []byte(strconv.Itoa(us)), 0)
		}
	}
}

// Thaw wakes whatever a test left frozen: a frozen process cannot die.
func (t *Tree) Thaw() {
	for _, dir := range t.Dirs {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Name() == "freezer.state" {
				os.WriteFile(path, []byte("THAWED"), 0)
			}
			return nil
		})
	}
}

// Remove removes the cgroups. The processes in them have been killed; the
// kernel may need a moment to forget the last one, and tells nobody.
func (t *Tree) Remove() error {
	var errs []error
	for _, dir := range t.Dirs {
		deadline := time.Now().Add(5 * time.Second)
		for {
			err := removeCgroups(dir)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				errs = append(errs, fmt.Errorf("remove cgroup (processes %q): %w", procs, err))
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return errors.Join(errs...)
}

func removeCgroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroups(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}

// Sweep removes the cgroups of an earlier run that was killed.
func Sweep(all []Hierarchy) error {
	var errs []error
	for _, h := range all {
		for _, parent := range []string{h.Own, h.Mount} {
			dirs, _ := filepath.Glob(filepath.Join(parent, Prefix+"*"))
			for _, dir := range dirs {
				owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), Prefix), "-")
				pid, err := strconv.Atoi(owner)
				if err == nil && pid != os.Getpid() && syscall.Kill(pid, 0) == syscall.ESRCH {
					errs = append(errs, (&Tree{Dirs: []string{dir}}).Remove())
				}
			}
		}
	}
	return errors.Join(errs...)
}

// Mount shows the given hierarchies at their usual places, rooted in
// the cgroups this process was put into.
func Mount(all []Hierarchy) error {
	const top = "/sys/fs/cgroup"
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if err := syscall.Unmount(top, syscall.MNT_DETACH); err != nil {
		return err
	}
	if len(all) == 1 && all[0].V2() {
		if err := syscall.Mount("cgroup2", top, "cgroup2", flags, ""); err != nil {
			return err
		}
		// Only a cgroup without processes can pass controllers on. The suites'
		// containers have names like "test".
		leaf := filepath.Join(top, Prefix+"leaf")
		if err := os.Mkdir(leaf, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err := syscall.Mount("tmpfs", top, "tmpfs", flags, "mode=755"); err != nil {
		return err
	}
	for _, h := range all {
		if filepath.Dir(h.Mount) != top {
			return fmt.Errorf("%s is not below %s", h.Mount, top)
		}
		if err := os.Mkdir(h.Mount, 0o755); err != nil {
			return err
		}
		kind := "cgroup"
		if h.V2() {
			kind = "cgroup2"
		}
		if err := syscall.Mount(kind, h.Mount, kind, flags, h.Options); err != nil {
			return fmt.Errorf("%s: %w", h.Mount, err)
		}
		// Joined controllers are also found under each one's own name.
		if joined := filepath.Base(h.Mount); strings.Contains(joined, ",") {
			for name := range strings.SplitSeq(joined, ",") {
				if err := os.Symlink(joined, filepath.Join(top, name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
