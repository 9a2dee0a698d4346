// Command unit runs Go tests of this repository as Windows programs: on the
// machine of tests/wine/rig, with the emulated Host Compute Service running.
// It prints the events of `go test -json`.
//
//	go run ./tests/wine/unit                      the core, its hosts and the top level
//	go run ./tests/wine/unit ./libcontainer/hcs   what is named, or options of go test
//
// The tests find the service by the environment: HCSEMU_EXE is the program whose
// `ctl leftovers` tells what it holds.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"wrun/tests/hcsemu/build"
	"wrun/tests/wine/rig"
)

// inWine marks the arguments of the call that `go test` makes for each test
// program.
const inWine = "in-wine"

func main() {
	args := os.Args[1:]
	if len(args) > 1 && args[0] == inWine {
		os.Exit(runOne(args[1:]))
	}
	code, err := runAll(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unit:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runAll(args []string) (code int, err error) {
	if why := rig.WhyNot(); why != "" {
		return 0, errors.New(why)
	}
	runs := [][]string{args}
	if len(args) == 0 {
		others, err := packages()
		if err != nil {
			return 0, err
		}
		// What a test leaves at the service is seen by all: one after the other.
		runs = [][]string{{"-p=1", service + "/..."}, others}
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// An interrupt reaches go test as well: what remains is to take the machine
	// down behind it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
	site := &rig.Site{}
	defer func() { err = errors.Join(err, site.Down()) }()
	if err := site.Up(); err != nil {
		return 0, err
	}
	for _, run := range runs {
		cmd := exec.Command("go", slices.Concat([]string{"test", "-json", "-count=1", "-timeout=4m", "-exec", self + " " + inWine}, run)...)
		cmd.Env = append(site.Host.Environment(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0", "HCSEMU_EXE="+rig.Hcsemu)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err = cmd.Run()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			code, err = max(code, failed.ExitCode()), nil
		}
		if err != nil {
			return code, err
		}
	}
	return code, nil
}

const service = "./libcontainer/hcs"

// packages are those of the product with tests, but for the service's.
func packages() ([]string, error) {
	list := exec.Command("go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./libcontainer/...", ".")
	list.Env = append(os.Environ(), "GOOS=windows")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool {
		return strings.HasPrefix(p, "wrun/libcontainer/hcs/") || p == "wrun/libcontainer/hcs"
	}), nil
}

// runOne is Wine for one test program. Its output goes through a file: go test
// would wait for the end of a pipe, which every process that the tests leave
// behind holds open (Wine hands descriptor 2 on to all).
func runOne(argv []string) int {
	out, err := os.CreateTemp("", "wrun-unit-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(out.Name())
	defer out.Close()
	argv = build.Fixed(append([]string{"wine"}, argv...)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	if _, seek := out.Seek(0, io.SeekStart); seek == nil {
		_, _ = io.Copy(os.Stdout, out)
	}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}
