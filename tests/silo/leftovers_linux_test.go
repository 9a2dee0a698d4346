package silo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// marker is an environment variable that wrun and all it starts inherit: by it
// a process is known as a test's.
const marker = "WRUN_SILO_TEST"

// leftovers looks for all that a test's containers may have left on the
// machine. A namespace lives by a process, a mount or a descriptor; processes
// and mounts are looked for, and with no process there is no descriptor.
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
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, _ := filepath.Glob(pattern + r.id + "*")
		for _, g := range groups {
			r.Errorf("left cgroup: %s", g)
		}
	}
	r.until("end of all processes", func() bool { return len(r.processes()) == 0 })
	if !r.Failed() {
		if err := os.RemoveAll(r.dir); err != nil {
			r.Error(err)
		}
	}
}

// processes lists what runs of the test.
func (r *rig) processes() []string {
	r.Helper()
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		env, err := os.ReadFile(d + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), marker+"="+r.id) {
			continue
		}
		line, _ := os.ReadFile(d + "/cmdline")
		found = append(found, filepath.Base(d)+" "+strings.ReplaceAll(string(line), "\x00", " "))
	}
	return found
}

func mountTable(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}
