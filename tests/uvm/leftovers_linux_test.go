package uvm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leftovers looks for all that a test's containers may have left on the machine.
func (r *rig) leftovers(mountsBefore []string) {
	r.Helper()
	if left, err := os.ReadDir(r.root); err == nil && len(left) > 0 {
		r.Errorf("left in the state root: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "tmp")); len(left) > 0 {
		r.Errorf("left in TMPDIR: %v", left)
	}
	for _, m := range mountTable(r.T) {
		if !slices.Contains(mountsBefore, m) && strings.Contains(m, r.dir) {
			r.Errorf("left mount: %s", m)
		}
	}
	for _, g := range r.cgroups() {
		r.Errorf("left cgroup: %s", g)
	}
	// The end of a process is not its creator's to wait for when it was killed.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := r.processes()
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			r.Errorf("left processes: %v", left)
			break
		}
	}
	if !r.Failed() {
		if err := os.RemoveAll(r.dir); err != nil {
			r.Error(err)
		}
	}
}

func (r *rig) cgroups() (found []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, _ := filepath.Glob(pattern + r.id)
		more, _ := filepath.Glob(pattern + r.id + "-*")
		found = append(append(found, groups...), more...)
	}
	return found
}

// proc is one process of a container on the host.
type proc struct {
	pid  int
	kind string // monitor, files, exec, qemu, or another command line
}

func (p proc) String() string { return fmt.Sprintf("%d (%s)", p.pid, p.kind) }

func (p proc) file(name string) string { return fmt.Sprintf("/proc/%d/%s", p.pid, name) }

// descriptors is how many it has open.
func (p proc) descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(p.file("fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// processes lists what runs of the test: what is in its containers' cgroups, and
// every process of its own program.
func (r *rig) processes() (found []proc) {
	r.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		groups, _ := os.ReadFile(d + "/cgroup")
		exe, _ := os.Readlink(d + "/exe")
		if !r.owns(string(groups)) && exe != r.prepared.wrun {
			continue
		}
		data, err := os.ReadFile(d + "/cmdline")
		if err != nil || len(data) == 0 { // a zombie is its parent's
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		argv := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		kind := strings.Join(argv, " ")
		switch {
		case strings.Contains(filepath.Base(argv[0]), "qemu-system"):
			kind = "qemu"
		case len(argv) >= 2 && argv[1] == "monitor":
			kind = argv[len(argv)-1]
		}
		found = append(found, proc{pid, kind})
	}
	return found
}

// owns tells whether a line of /proc/PID/cgroup names a cgroup of the test's.
func (r *rig) owns(groups string) bool {
	for line := range strings.Lines(groups) {
		_, name, found := strings.Cut(strings.TrimSpace(line), "/"+r.id)
		if found && (name == "" || name[0] == '-' || name[0] == '/') {
			return true
		}
	}
	return false
}

// the is the one process of a kind.
func (r *rig) the(kind string) proc {
	r.Helper()
	var found []proc
	all := r.processes()
	for _, p := range all {
		if p.kind == kind {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		r.Fatalf("want one %s, there are %v", kind, all)
	}
	return found[0]
}

func mountTable(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

// templatesDir is where wrun keeps booted VMs.
const templatesDir = "/run/wrun-uvm"

func templates() (names []string) {
	entries, _ := os.ReadDir(templatesDir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// dropTemplates removes what this run has added to them: their memory is the
// machine's.
func dropTemplates(before []string) {
	for _, name := range templates() {
		if !slices.Contains(before, name) {
			_ = os.RemoveAll(filepath.Join(templatesDir, name))
		}
	}
	_ = os.Remove(templatesDir) // if it is empty
}
