//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"wrun/tests/oci/cgroups"
)

// machine is what of this machine decides which tests can pass.
type machine struct {
	hierarchies []cgroups.Hierarchy
	Kernel      string
	Limits      map[string]bool // by the names that expected.json uses
}

// Limits that the record tells apart: of a machine with cgroup v2 alone, and of
// one whose root may not raise limits.
const (
	noV1       = "no cgroup v1"
	noResource = "no CAP_SYS_RESOURCE"
)

func (m machine) cgroups() string {
	if m.Limits[noV1] {
		return "cgroup v2 alone"
	}
	return "cgroup v1"
}

// readMachine looks instead of guessing: each limit that excuses a test in
// expected.json is probed, so on a machine without it the test must pass.
func readMachine() (machine, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return machine{}, err
	}
	m := machine{Kernel: strings.TrimSpace(string(release))}
	if m.hierarchies, err = cgroups.Read(); err != nil {
		return m, err
	}
	if err := cgroups.Sweep(m.hierarchies); err != nil {
		return m, err
	}
	sysResource, err := capable(24)
	if err != nil {
		return m, err
	}
	memory, err := m.keeps("memory", "memory.kmem.limit_in_bytes", "50593792")
	if err != nil {
		return m, err
	}
	leaf, err := m.keeps("blkio", "blkio.leaf_weight", "500")
	if err != nil {
		return m, err
	}
	m.Limits = map[string]bool{
		noResource:               !sysResource,
		noV1:                     !m.controller("pids"),
		"no v1 hugetlb":          !m.controller("hugetlb"),
		"no v1 net_cls":          !m.controller("net_cls"),
		"no kernel memory limit": !memory,
		"no blkio leaf weight":   !leaf,

		"AppArmor without the profile": !confinable("acme_secure_profile"),
	}
	return m, nil
}

// plainV1 is the machine without its v2 hierarchy, if it has both.
func (m machine) plainV1() []cgroups.Hierarchy {
	if len(m.hierarchies) == 1 {
		return m.hierarchies
	}
	var v1 []cgroups.Hierarchy
	for _, h := range m.hierarchies {
		if !h.V2() {
			v1 = append(v1, h)
		}
	}
	return v1
}

func (m machine) controller(name string) bool {
	for _, h := range m.hierarchies {
		if h.Has(name) {
			return true
		}
	}
	return false
}

// keeps answers whether a new v1 cgroup reads back a value written to one of
// its files: newer kernels take some values and forget them.
func (m machine) keeps(controller, file, value string) (bool, error) {
	for _, h := range m.hierarchies {
		if !h.Has(controller) {
			continue
		}
		t, err := cgroups.Make([]cgroups.Hierarchy{h}, fmt.Sprintf("%s%d-probe", cgroups.Prefix, os.Getpid()))
		if err != nil {
			return false, err
		}
		path := filepath.Join(t.Dirs[0], file)
		refused := os.WriteFile(path, []byte(value), 0)
		kept, err := os.ReadFile(path)
		return refused == nil && err == nil && strings.TrimSpace(string(kept)) == value, t.Remove()
	}
	return false, nil
}

// confinable answers whether a process may ask for an AppArmor profile: where
// there is no AppArmor, nothing comes of it.
func confinable(profile string) bool {
	enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	loaded, _ := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return !bytes.HasPrefix(enabled, []byte("Y")) || bytes.Contains(loaded, []byte(profile+" ("))
}

// capable answers whether the bounding set has a capability.
func capable(number uint) (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(status)) {
		if set, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return bits>>number&1 == 1, err
		}
	}
	return false, errors.New("/proc/self/status has no CapBnd")
}

// leftBehind looks for what a run must not leave: cgroups and mounts outside
// the confinements. Processes cannot outlive their pid namespace, and a cgroup
// with one could not have been removed.
func (m machine) leftBehind() error {
	var left []string
	for _, h := range m.hierarchies {
		dirs, err := filepath.Glob(filepath.Join(h.Own, fmt.Sprintf("%s%d-*", cgroups.Prefix, os.Getpid())))
		if err != nil {
			return err
		}
		left = append(left, dirs...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, []byte("wrun-oci-")) || bytes.Contains(line, []byte("/ocitest")) {
			left = append(left, string(bytes.TrimSpace(line)))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	return nil
}
