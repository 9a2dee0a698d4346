//go:build linux

package main

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

// hierarchy is one mounted cgroup tree as this process sees it.
type hierarchy struct {
	Mount   string // e.g. /sys/fs/cgroup/memory
	Options string // mount options that name it: "memory", "none,name=systemd"; empty for v2
	own     string // the cgroup of this process below Mount
}

func (h hierarchy) v2() bool { return h.Options == "" }

func (h hierarchy) has(controller string) bool {
	for name := range strings.SplitSeq(h.Options, ",") {
		if name == controller {
			return true
		}
	}
	return false
}

// treePrefix names the cgroups this program makes; the pid follows.
const treePrefix = "wrun-oci-"

// readHierarchies joins /proc/self/cgroup with /proc/self/mountinfo.
func readHierarchies() ([]hierarchy, error) {
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for line := range strings.Lines(string(memberships)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		h := hierarchy{Options: f[1]}
		if strings.HasPrefix(f[1], "name=") {
			h.Options = "none," + f[1]
		}
		if h.Mount = mountOf(string(mounts), f[1]); h.Mount == "" {
			continue
		}
		h.own = filepath.Join(h.Mount, f[2])
		all = append(all, h)
	}
	return all, nil
}

// mountOf answers where the hierarchy named by a line of /proc/self/cgroup is mounted.
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

// tree is one cgroup in each hierarchy. A test's cgroup namespace is rooted
// there, so the fixed cgroup names of the suite cannot collide, neither with
// another test nor with the machine's own.
type tree struct{ dirs []string }

// makeTree makes the cgroups below this process's own, so its limits hold. On
// a pure v2 machine they stand below the root: a cgroup with processes cannot
// pass controllers on.
func makeTree(all []hierarchy, name string) (*tree, error) {
	t := &tree{}
	for _, h := range all {
		parent := h.own
		if len(all) == 1 && h.v2() {
			parent = h.Mount
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, t.remove())
		}
		t.dirs = append(t.dirs, dir)
		if !h.has("cpuset") {
			continue
		}
		// A new cpuset is empty and takes no process before it is filled.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := copyFile(filepath.Join(parent, file), filepath.Join(dir, file)); err != nil {
				return nil, errors.Join(err, t.remove())
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

func (t *tree) enter(pid int) error {
	for _, dir := range t.dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return err
		}
	}
	return nil
}

// thaw wakes whatever a test left frozen: a frozen process cannot die.
func (t *tree) thaw() {
	for _, dir := range t.dirs {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Name() == "freezer.state" {
				os.WriteFile(path, []byte("THAWED"), 0)
			}
			return nil
		})
	}
}

// remove removes the cgroups. The processes in them have been killed; the
// kernel may need a moment to forget the last one, and tells nobody.
func (t *tree) remove() error {
	var errs []error
	for _, dir := range t.dirs {
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

// sweep removes the cgroups of an earlier run that was killed.
func sweep(all []hierarchy) error {
	var errs []error
	for _, h := range all {
		for _, parent := range []string{h.own, h.Mount} {
			dirs, _ := filepath.Glob(filepath.Join(parent, treePrefix+"*"))
			for _, dir := range dirs {
				owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), treePrefix), "-")
				pid, err := strconv.Atoi(owner)
				if err == nil && pid != os.Getpid() && syscall.Kill(pid, 0) == syscall.ESRCH {
					errs = append(errs, (&tree{dirs: []string{dir}}).remove())
				}
			}
		}
	}
	return errors.Join(errs...)
}
