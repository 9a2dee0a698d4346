//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

const suiteModule = "github.com/opencontainers/runtime-tools"

// suite is the built validation suite: what ran is what go.mod pins.
type suite struct {
	Dir      string   // holds the programs, runtimetest and the rootfs archive: a test's working directory
	Tests    []string // names, sorted, without runtimetest
	Version  string   // of the module
	Module   string   // folder of this Go module
	Expected string   // checked-in expectations
}

// buildSuite builds every tool that go.mod names. Go leaves programs that are
// up to date alone, so only the first call costs seconds.
func buildSuite() (suite, error) {
	gomod, err := output("", "go", "env", "GOMOD")
	if err != nil {
		return suite{}, err
	}
	s := suite{Module: filepath.Dir(gomod)}
	if filepath.Base(s.Module) != "oci" {
		return suite{}, fmt.Errorf("run inside tests/oci, not %s", s.Module)
	}
	s.Expected = filepath.Join(s.Module, "conformance", "expected.json")
	s.Dir = filepath.Join(s.Module, "bin", "suite")
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return suite{}, err
	}
	// runtimetest runs inside a busybox rootfs: without cgo it is static.
	if err := build(s.Module, s.Dir+"/", "tool"); err != nil {
		return suite{}, err
	}
	where, err := output(s.Module, "go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", suiteModule)
	if err != nil {
		return suite{}, err
	}
	dir, version, _ := strings.Cut(where, " ")
	s.Version = version
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	data, err := os.ReadFile(filepath.Join(dir, archive))
	if err != nil {
		return suite{}, fmt.Errorf("the suite brings no root file system for this machine: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, archive), data, 0o644); err != nil {
		return suite{}, err
	}
	tools, err := output(s.Module, "go", "list", "tool")
	if err != nil {
		return suite{}, err
	}
	for _, pkg := range strings.Fields(tools) {
		if name, ok := strings.CutPrefix(pkg, suiteModule+"/validation/"); ok {
			s.Tests = append(s.Tests, name)
		}
	}
	sort.Strings(s.Tests)
	return s, nil
}

func build(dir, out, pkg string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s in %s: %w", pkg, dir, err)
	}
	return nil
}

// output answers a command's standard output without the final line feed.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
