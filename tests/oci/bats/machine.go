//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"wrun/tests/oci/cgroups"
)

// machine is the hierarchies every file gets a cgroup of its own in.
type machine struct {
	hierarchies []cgroups.Hierarchy
	shown       []cgroups.Hierarchy // of these; on a hybrid machine v1 alone, which all runtimes can work with
}

func readMachine() (machine, error) {
	all, err := cgroups.Read()
	if err != nil {
		return machine{}, err
	}
	if err := cgroups.Sweep(all); err != nil {
		return machine{}, err
	}
	m := machine{hierarchies: all}
	for _, h := range all {
		if !h.V2() || len(all) == 1 {
			m.shown = append(m.shown, h)
		}
	}
	return m, nil
}

// leftBehind looks for what a run must not leave outside its confinements:
// cgroups and mounts. Processes cannot outlive their pid namespace.
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
		if bytes.Contains(line, []byte(privatePrefix)) {
			left = append(left, string(bytes.TrimSpace(line)))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	return nil
}
