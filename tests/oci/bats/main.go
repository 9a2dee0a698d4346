//go:build linux

// Command bats runs runc's own integration suite, unmodified, against wrun and
// its peers and prints the passes of each file side by side.
//
// The suite belongs to runc and is fetched by hand: -suite is tests/integration
// of a checkout whose helper programs are built (tests/cmd/_bin) and whose
// images lie in its testdata. What is missing is named before anything runs.
//
//	go run ./bats -suite ~/runc/tests/integration -runtime wrun=../../bin/wrun -runtime crun=/usr/bin/crun
//	go run ./bats -suite … -runtime wrun=… -files exec,run -failures
//	go run ./bats -suite … -runtime wrun=… -filter 'exec --user'
//
// It owns the confinement and the counting; what a test asserts is the suite's
// business, and why wrun does not pass one stands in docs/conformance-runc.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	suite    string
	runtimes []subject
	files    string
	filter   string
	jobs     int
	timeout  time.Duration
	failures bool
	lines    int
	out      string
	record   string
	retry    bool
}

// subject is one runtime of the table.
type subject struct{ name, path string }

func main() {
	if len(os.Args) == 2 && os.Args[1] == confinedCommand {
		os.Exit(confinedMain())
	}
	var o options
	flag.StringVar(&o.suite, "suite", "", "tests/integration of a runc checkout")
	flag.Func("runtime", "`name=path` of a runtime; may be given more than once", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want name=path")
		}
		path, err := filepath.Abs(path)
		o.runtimes = append(o.runtimes, subject{name, path})
		return err
	})
	flag.StringVar(&o.files, "files", "", "only these `files`, comma separated, without .bats")
	flag.StringVar(&o.filter, "filter", "", "only the tests that match this `regexp`")
	flag.IntVar(&o.jobs, "jobs", 2, "files that run at the same time")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "time limit of each file")
	flag.BoolVar(&o.failures, "failures", false, "print each failed test with the last lines of its output")
	flag.IntVar(&o.lines, "lines", 20, "how many lines -failures prints of a test")
	flag.StringVar(&o.out, "out", "", "keep each file's output in this `folder`")
	flag.BoolVar(&o.retry, "retry", false, "run failed tests once more, alone: the suite starts the other end of a console socket in the background and does not wait for it")
	flag.StringVar(&o.record, "record", "", "write the table, and why wrun does not pass what it does not, to this `file`")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bats:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if os.Getuid() != 0 {
		return errors.New("mounts, namespaces and cgroups are made for each file: run as root")
	}
	if o.suite == "" || len(o.runtimes) == 0 {
		return errors.New("-suite and at least one -runtime are needed; -h tells more")
	}
	var err error
	if o.suite, err = filepath.Abs(o.suite); err != nil {
		return err
	}
	if err := missing(o); err != nil {
		return err
	}
	files, err := o.selected()
	if err != nil {
		return err
	}
	m, err := readMachine()
	if err != nil {
		return err
	}
	t := newTable(files, o.runtimes)
	var failed []error
	for _, s := range o.runtimes {
		failed = append(failed, column(o, m, s, files, t))
	}
	t.print(os.Stdout)
	if o.failures {
		t.printFailures(os.Stdout, o.lines)
	}
	if err := errors.Join(append(failed, m.leftBehind())...); err != nil || o.record == "" {
		return err
	}
	return t.record(o.record, o.suite)
}

// column runs all files with one runtime. A failed test is a result; an error
// is a confinement that did not work.
func column(o options, m machine, s subject, files []string, t *table) error {
	queue := make(chan string)
	var lock sync.Mutex
	var errs []error
	var workers sync.WaitGroup
	for range max(o.jobs, 1) {
		workers.Go(func() {
			for file := range queue {
				r, text, err := runFile(o, m, s, file)
				if err == nil && o.retry {
					err = again(o, m, s, file, &r)
				}
				if err == nil && o.out != "" {
					err = keep(filepath.Join(o.out, s.name), file, text)
				}
				lock.Lock()
				t.add(s.name, file, r)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s with %s: %w", file, s.name, err))
				}
				fmt.Fprintf(os.Stderr, "%s %s: %s\n", s.name, file, r)
				lock.Unlock()
			}
		})
	}
	for _, file := range files {
		queue <- file
	}
	close(queue)
	workers.Wait()
	return errors.Join(errs...)
}

// again gives failed tests a second chance, and says so in the result.
func again(o options, m machine, s subject, file string, r *result) error {
	for i := range r.tests {
		t := &r.tests[i]
		if t.verdict != failed {
			continue
		}
		o.filter = "^" + regexp.QuoteMeta(t.name) + "$"
		second, _, err := runFile(o, m, s, file)
		if err != nil {
			return err
		}
		if len(second.tests) == 1 && second.tests[0].verdict == passed {
			t.verdict, t.output = passed, nil
			r.second++
		}
	}
	return nil
}

func keep(dir, file string, text []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file+".tap"), text, 0o644)
}

// selected are the names of the files to run. The longest start first, so that
// they do not prolong the whole.
func (o options) selected() ([]string, error) {
	all, err := filepath.Glob(filepath.Join(o.suite, "*.bats"))
	if err != nil {
		return nil, err
	}
	for i, p := range all {
		all[i] = strings.TrimSuffix(filepath.Base(p), ".bats")
	}
	files := all
	if o.files != "" {
		files = strings.Split(o.files, ",")
	}
	for _, f := range files {
		if !slices.Contains(all, f) {
			return nil, fmt.Errorf("%s has no file %s.bats", o.suite, f)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no .bats files", o.suite)
	}
	slow := []string{"idmap", "events", "exec", "cgroups", "kill", "tty", "mounts_recursive"}
	rank := func(f string) int {
		if i := slices.Index(slow, f); i >= 0 {
			return i
		}
		return len(slow)
	}
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	return files, nil
}

// goArch is the name the suite's images carry.
const goArch = runtime.GOARCH
