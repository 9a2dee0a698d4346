package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"wrun/libcontainer"
)

// hostFor says which host serves which isolation on Windows.
func hostFor(i libcontainer.Isolation) (libcontainer.Host, error) {
	return nil, fmt.Errorf("no host for a %s bundle in a %s on windows yet", i.OS, i.Kind)
}

func defaultRoot() string {
	dir := os.Getenv("ProgramData")
	if dir == "" {
		dir = `C:\ProgramData`
	}
	return filepath.Join(dir, "wrun")
}

// addHostFeatures adds nothing: features.md has no object for Windows.
func addHostFeatures(*features.Features) {}
