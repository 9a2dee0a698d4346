package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs"
	"wrun/libcontainer/winver"
)

// hostFor says which host serves which isolation on Windows: the Host Compute
// Service all of them.
func hostFor(i libcontainer.Isolation) (libcontainer.Host, error) {
	if i.OS == "linux" && i.Kind == libcontainer.Silo {
		return nil, libcontainer.WithHint(
			fmt.Errorf("a Linux bundle cannot share the kernel of a Windows host: process isolation is impossible (%s)", i.Reason),
			`add "hyperv": {} to the windows section for a utility VM with a Linux kernel`)
	}
	return hcs.New(), nil
}

func defaultRoot() string {
	dir := os.Getenv("ProgramData")
	if dir == "" {
		dir = `C:\ProgramData`
	}
	return filepath.Join(dir, "wrun")
}

// unifiedCgroups is what a Linux container finds in a utility VM of wrun's.
func unifiedCgroups() bool { return true }

// defaultIsolation is what this Windows runs a container in unless it is told:
// "process" on Server, "hyperv" on client, as Docker has it.
func defaultIsolation() string { return winver.DefaultIsolation(hcs.Version()) }

// monitor is the whole life of a container's resident process.
func monitor(file string, ready, creator uintptr) int { return hcs.Monitor(file, ready, creator) }

// addHostFeatures adds nothing: features.md has no object for Windows.
func addHostFeatures(*features.Features) {}
