package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"wrun/tests/unified/vm"
	"wrun/tests/wine/rig"
)

// stage is one program that tests something.
type stage struct {
	name  string
	what  string // in the words of the report
	dir   string // relative to the repository, where the program starts
	env   []string
	argv  []string
	tests bool   // it prints the events of `go test -json`
	skip  string // why it cannot run here
	long  bool   // only when its whole name is asked for
}

// findStages answers the stages, the quickest to fail first.
func findStages(ctx context.Context) ([]stage, error) {
	faulty, err := faultPackages(ctx)
	if err != nil {
		return nil, err
	}
	notRoot := ""
	if os.Geteuid() != 0 {
		notRoot = "not root: namespaces, mounts and cgroups are made"
	}
	packages, err := withoutWine(ctx)
	if err != nil {
		return nil, err
	}
	// -count=1: what the machine does is no file whose change the cache sees.
	test := []string{"go", "test", "-json", "-count=1", "-timeout=8m"}
	return []stage{
		{name: "vet", what: "vet for linux", argv: []string{"go", "vet", "./..."}},
		{name: "vet-faults", what: "vet with fault points", argv: append([]string{"go", "vet", "-tags=wrunfault"}, faulty...)},
		{name: "vet-windows", what: "vet for windows", env: []string{"GOOS=windows"}, argv: []string{"go", "vet", "./..."}},
		{name: "vet-windows-faults", what: "vet for windows with fault points", env: []string{"GOOS=windows"}, argv: []string{"go", "vet", "-tags=wrunfault", "./libcontainer/...", "."}},
		{name: "vet-client", what: "vet of the client of runhcs", dir: "tests/wine/client", env: []string{"GOOS=windows"}, argv: []string{"go", "vet", "./..."}},
		{name: "vet-arm64", what: "vet for linux on arm64", env: []string{"GOARCH=arm64", "CGO_ENABLED=0"}, argv: []string{"go", "vet", "./..."}},
		{name: "vet-oci", what: "vet of the conformance module", dir: "tests/oci", argv: []string{"go", "vet", "./..."}},
		{name: "vet-engines", what: "vet of the engines' module", dir: "tests/engines", argv: []string{"go", "vet", "./..."}},
		{name: "unit", what: "tests of all packages, scripts through the real main", tests: true, argv: slices.Concat(test, packages)},
		{name: "faults", what: "kill -9 at every fault point", tests: true, argv: slices.Concat(test, []string{"-tags=wrunfault"}, faulty)},
		{name: "windows-unit", what: "tests of Windows-only packages, under Wine", tests: true, skip: rig.WhyNot(),
			argv: []string{"go", "run", "./tests/wine/unit"}},
		{name: "windows", what: "wrun.exe under Wine against an emulated Host Compute Service", tests: true, skip: rig.WhyNot(),
			argv: append(slices.Clone(test), "./tests/wine/...", "./tests/hcsemu/differential")},
		{name: "oci", what: "runtime-tools: tests of the harness, second opinion on bundles", dir: "tests/oci", tests: true, argv: append(slices.Clone(test), "./...")},
		{name: "engines", what: "filters of podman's, Docker's and containerd's profiles beside libseccomp's", dir: "tests/engines", tests: true,
			argv: append(slices.Clone(test), "./...")},
		{name: "conformance", what: "runtime-tools' validation programs on wrun", dir: "tests/oci", skip: notRoot,
			argv: []string{"go", "run", "./conformance", "-sanity"}},
		{name: "unified", what: "tests on a machine with cgroup v2 alone, a VM", tests: true, skip: vm.WhyNot(),
			argv: []string{"go", "run", "./tests/unified"}},
		{name: "unified-conformance", what: "runtime-tools' validation programs on wrun, on that machine", dir: "tests/oci", skip: vm.WhyNot(),
			argv: []string{"go", "run", "./conformance", "-sanity", "-unified"}},
		{name: "unified-all", what: "all tests that apply on that machine", tests: true, skip: vm.WhyNot(), long: true,
			argv: []string{"go", "run", "./tests/unified", "-all"}},
		{name: "demo", what: "make demo: what is isolated and what pierces, in silos and utility VMs", skip: noDemo(notRoot),
			argv: []string{"make", "-s", "demo"}},
	}, nil
}

// noDemo is why the Isolation Modes experiment cannot run here: it wants what utility
// VMs and Wine want.
func noDemo(notRoot string) string {
	switch why := rig.WhyNot(); {
	case notRoot != "":
		return notRoot
	case why != "":
		return why
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return "QEMU is missing: sh tests/setup.sh qemu-system-x86"
	}
	return ""
}

// withoutWine are all packages but those of the stage windows, which has two
// processors to itself.
func withoutWine(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool {
		return strings.HasPrefix(p, "wrun/tests/wine/") || p == "wrun/tests/hcsemu/differential"
	}), nil
}

// faultPackages are those with tests for builds with fault points: the others
// would only repeat the unit stage.
func faultPackages(ctx context.Context) ([]string, error) {
	const format = "{{.ImportPath}} {{.TestGoFiles}} {{.XTestGoFiles}}"
	var lists [2]string
	for i, tags := range []string{"-tags=", "-tags=wrunfault"} {
		cmd := exec.CommandContext(ctx, "go", "list", tags, "-f", format, "./...")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("list the packages with %s: %w", tags, err)
		}
		lists[i] = string(out)
	}
	without := strings.Split(lists[0], "\n")
	var packages []string
	for line := range strings.Lines(lists[1]) {
		if line = strings.TrimSpace(line); !slices.Contains(without, line) {
			packages = append(packages, strings.Fields(line)[0])
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("no package has tests for builds with fault points: the tag's name must have changed")
	}
	return packages, nil
}
