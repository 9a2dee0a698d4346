//go:build linux

// Command bench measures wrun against Debian's crun and runc: the same
// bundle, in one loop, in turns, so that what disturbs one disturbs all.
//
// It owns the measuring and the verdict over the ratios; it knows the runtimes
// only as programs.
//
//	go run ./tests/bench            everything, some minutes
//	go run ./tests/bench -what run  `run` of true alone
//
// WRUN=, CRUN= and RUNC= name other builds.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// insideVariable tells the second process that it is in its own mount
// namespace, and names the wrun to measure.
const insideVariable = "WRUN_BENCH_INSIDE"

type options struct {
	n        int
	warm     int
	pause    time.Duration
	what     string
	runtimes string
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 250, "measurements of each runtime")
	flag.IntVar(&o.warm, "warm", 5, "turns before the measuring starts")
	flag.DurationVar(&o.pause, "pause", 0, "wait before each measurement, for the kernel to end what the one before left")
	flag.StringVar(&o.what, "what", "run,cycle,steps,many,list,memory", "comma separated: run, cycle (create+start+delete --force of a sleep), steps (create, start, state, exec, kill, delete), many (100 containers by 8 callers), list (of 100 and of 500), memory")
	flag.StringVar(&o.runtimes, "runtimes", "wrun,crun,runc", "comma separated `names`")
	flag.Parse()
	code, err := start(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

// start measures in a second process with a mount namespace of its own: crun
// 1.8.1 refuses a hybrid cgroup layout, and a fair comparison gives all
// runtimes the same.
func start(o options) (int, error) {
	if os.Getenv(insideVariable) != "" {
		return measure(o)
	}
	if os.Getuid() != 0 {
		return 0, fmt.Errorf("containers with all namespaces are made: run as root")
	}
	programs, err := os.MkdirTemp("", "wrun-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	if os.Getenv("WRUN") == "" && strings.Contains(o.runtimes, "wrun") {
		built := filepath.Join(programs, "built")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", built, "wrun")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("build wrun (WRUN= names a built one): %w", err)
		}
		if err := os.Setenv("WRUN", built); err != nil {
			return 0, err
		}
	}
	copies, err := install(strings.Split(o.runtimes, ","), programs)
	if err != nil {
		return 0, err
	}
	private, err := os.MkdirTemp("", "wrun-bench-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(private)

	// The second process ends its loop and cleans up; this one only waits.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), insideVariable+"="+private), copies...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

func measure(o options) (int, error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)

	private := os.Getenv(insideVariable)
	if err := confine(private); err != nil {
		return 0, err
	}
	b, err := makeBench(private, strings.Split(o.runtimes, ","))
	if err != nil {
		return 0, err
	}
	defer b.cleanUp()
	// Nothing here makes garbage worth a collection in the middle of a measurement.
	debug.SetGCPercent(-1)
	for _, s := range b.subjects {
		fmt.Printf("%-5s %s (%s)\n", s.name, s.version, s.path)
	}
	if err := printLoad(); err != nil {
		return 0, err
	}

	kept := true
	for _, what := range strings.Split(o.what, ",") {
		ok, err := b.measure(what, o, interrupted)
		if err != nil {
			return 0, err
		}
		kept = kept && ok
	}
	if err := b.cleanUp(); err != nil {
		return 0, err
	}
	if !kept {
		return 1, nil
	}
	return 0, nil
}

// measure prints a table and its verdict.
func (b *bench) measure(what string, o options, interrupted <-chan os.Signal) (bool, error) {
	few := o
	few.n, few.warm = max(o.n/50, 1), 0
	var rows []row
	var err error
	switch what {
	case "run":
		rows, err = b.alternate(o, interrupted, b.run)
	case "cycle":
		rows, err = b.alternate(o, interrupted, b.cycle)
	case "steps":
		rows, err = b.alternate(o, interrupted, b.steps)
	case "many":
		rows, err = b.alternate(few, interrupted, b.many)
	case "list":
		rows, err = b.alternate(few, interrupted, b.list)
	case "memory":
		all, err := b.memory()
		if err != nil {
			return false, err
		}
		printMemory(os.Stdout, all)
		return judgeMemory(os.Stdout, all), nil
	default:
		err = fmt.Errorf("-what %s: none of run, cycle, steps, many, list, memory", what)
	}
	if err != nil {
		return false, err
	}
	printRows(os.Stdout, rows)
	return judge(os.Stdout, rows, promised), nil
}

// printLoad says how busy the machine is, and what that does to the figures.
func printLoad() error {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("load  %s", text)
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return fmt.Errorf("read /proc/loadavg: %w", err)
	}
	if load > float64(runtime.NumCPU())/2 {
		fmt.Println("NOTE  the machine is busy: medians measure its waiting too, minima and CPU times tell more; measure again when it is quiet")
	}
	return nil
}
