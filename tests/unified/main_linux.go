// Command unified runs tests of this repository on a machine whose cgroups are
// v2 alone: a VM of tests/unified/vm, translated by QEMU, with the host's files.
// It prints the events of `go test -json`.
//
//	go run ./tests/unified                              what make test runs there
//	go run ./tests/unified -all                         everything that applies
//	go run ./tests/unified ./tests/silo -run TestPause  what is named, or options of go test
//	go run ./tests/unified -command ls -l /             one program instead
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"wrun/tests/container"
	"wrun/tests/unified/order"
	"wrun/tests/unified/vm"
)

func main() {
	vm.Share()
	var o options
	flag.BoolVar(&o.all, "all", false, "run all tests that apply, for half an hour")
	flag.BoolVar(&o.command, "command", false, "run the program that follows, with its arguments, instead of tests")
	flag.DurationVar(&o.limit, "limit", time.Hour, "time of the machine; then its console is shown")
	flag.Parse()
	// go test asks a program that is too late to quit, before it kills it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	code, err := run(ctx, o, flag.Args())
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "unified:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

type options struct {
	all, command bool
	limit        time.Duration
}

func run(ctx context.Context, o options, args []string) (code int, err error) {
	if why := vm.WhyNot(); why != "" {
		return 0, errors.New(why)
	}
	module, err := findModule()
	if err != nil {
		return 0, err
	}
	if o.command {
		if len(args) == 0 {
			return 0, errors.New("-command wants a program")
		}
		return command(ctx, module, args)
	}
	runs := [][]string{args}
	if o.all {
		runs[0] = slices.Concat(all, args)
	} else if len(args) == 0 {
		runs = few
	}
	return test(ctx, module, runs)
}

// findModule is the folder of wrun's go.mod, from wherever go test starts this.
func findModule() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		text, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
		if strings.HasPrefix(string(text), "module wrun\n") {
			return dir, nil
		}
		if dir == "/" {
			err = errors.New("not within wrun's repository")
		}
	}
	return "", err
}

// command runs one program in the machine.
func command(ctx context.Context, module string, argv []string) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TMPDIR=") })
	return vm.Run(ctx, module, order.Order{Argv: argv, Dir: dir, Env: append(env, "TMPDIR="+order.Scratch)}, os.Stdout, os.Stderr)
}

// few is what make test has time for: what makes cgroups.
var few = [][]string{
	{"./libcontainer/silo/cgroup", "./libcontainer/silo", "./tests/silo"},
	{"-run=TestCgroups", "./tests/broken"},
	{"-run=TestFaultPoints/plain", "./tests/crash"},
}

// all is what applies.
var all = []string{".", "./libcontainer/silo/...", "./tests/silo", "./tests/broken", "./tests/crash", "./tests/systemd"}

// test has go test build the programs here and run each in a machine of its own.
func test(ctx context.Context, module string, runs [][]string) (code int, err error) {
	built, err := os.MkdirTemp("", "wrun-unified-built-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(built)
	if err := container.Prebuild(built); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	for _, args := range runs {
		cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-json", "-count=1", "-p=1", "-timeout=20m", "-exec", self + " -command"}, args)...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), container.Built+"="+built)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 30 * time.Second
		err := cmd.Run()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			code, err = max(code, failed.ExitCode()), nil
		}
		if err != nil {
			return code, err
		}
	}
	return code, nil
}
