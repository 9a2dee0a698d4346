package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"wrun/tests/hcsemu/build"
)

// goProgram is a Windows program of this repository.
type goProgram struct {
	name  string // file without .exe
	from  string // package
	tags  string
	cover bool // counts what its statements are worth, into $GOCOVERDIR
}

// build compiles for Windows into dir.
func (g goProgram) build(dir string) error {
	args := []string{"build", "-tags", g.tags, "-o", filepath.Join(dir, g.name+".exe")}
	if g.cover {
		args = append(args, "-cover")
	} else {
		args = append(args, "-trimpath", "-ldflags=-s -w")
	}
	cmd := exec.Command("go", append(args, g.from)...)
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for windows: %w\n%s", g.from, err, out)
	}
	return nil
}

// together runs functions at once and answers the first error.
func together(all ...func() error) error {
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, f := range all {
		wait.Go(func() { errs[i] = f() })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// build makes all that runs on the machine, into bin.
func (s *Site) build(bin string) error {
	return together(
		func() error { return build.All(bin) },
		func() error {
			return goProgram{name: "wrun", from: "wrun", tags: productTags, cover: !s.Plain}.build(bin)
		},
		func() error { return goProgram{name: "probe", from: "wrun/tests/wine/probe"}.build(bin) },
	)
}

// productTags are those of the Makefile's build.
const productTags = "urfave_cli_no_docs"

// BuildModule compiles the main package of another module, in the directory dir
// of Linux, and puts it on the machine.
func (t *Test) BuildModule(dir, windows string) {
	t.Helper()
	made := filepath.Join(t.dir, "bin", filepath.Base(t.Host.Unix(windows)))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", made, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	t.Install(made, windows)
}
