//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// subject is a runtime under test and what it needs to run at all.
type subject struct {
	Name, Path, Version string

	// PlainV1: crun refuses a hybrid cgroup layout whose v2 side has
	// controllers, so it sees none.
	PlainV1 bool
	// Lowered: crun 1.8.1 knows no ociVersion above 1.0; the wrapper rewrites
	// the bundle's. Set when the first test says "unknown version".
	Lowered bool
}

// findSubject answers the runtime that the environment variable of its name
// (WRUN, RUNC, CRUN) names, else wrun as built from this repository or the
// peer that PATH holds.
func findSubject(name string, s suite) (subject, error) {
	sub := subject{Name: name, PlainV1: name == "crun"}
	variable := strings.ToUpper(name)
	var err error
	switch given := os.Getenv(variable); {
	case given != "":
		sub.Path, err = exec.LookPath(given)
	case name == "wrun":
		sub.Path = filepath.Join(s.Module, "bin", "wrun")
		err = build(filepath.Join(s.Module, "..", ".."), sub.Path, ".")
	default:
		sub.Path, err = exec.LookPath(name)
	}
	if err == nil {
		sub.Path, err = filepath.Abs(sub.Path)
	}
	if err != nil {
		return subject{}, fmt.Errorf("find %s (%s= names another build; tests/setup.sh installs the peers): %w", name, variable, err)
	}
	lines, err := output("", sub.Path, "--version")
	if err != nil {
		return subject{}, err
	}
	sub.Version, _, _ = strings.Cut(lines, "\n")
	return sub, nil
}

// wrapper is the script that the suite calls: it never passes global flags
// itself, and each test's state must stay in its own confinement.
func (s subject) wrapper(root string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	if s.Lowered {
		b.WriteString(`if [ "$1" = create ]; then
	bundle=.
	for word; do
		[ "$before" = --bundle ] && bundle=$word
		before=$word
	done
	[ -f "$bundle/config.json" ] &&
		sed -i 's/"ociVersion": *"1\.[1-9][0-9.]*"/"ociVersion":"1.0.2"/' "$bundle/config.json"
fi
`)
	}
	fmt.Fprintf(&b, "exec %s --root %s \"$@\"\n", s.Path, root)
	return b.String()
}
