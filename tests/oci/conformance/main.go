//go:build linux

// Command conformance runs the 58 validation programs of
// opencontainers/runtime-tools, unmodified, against wrun and its peers, prints
// one table and compares wrun's column with expected.json.
//
// It owns the run: building, confining, counting, comparing. What each test
// asserts is the suite's business, and why one is not clean stands in
// expected.json.
//
//	go run ./conformance                      wrun, runc and crun
//	go run ./conformance -runtimes wrun       wrun only
//	go run ./conformance -sanity              wrun, and a few tests of runc that must come out as known
//	go run ./conformance -unified             on a machine with cgroup v2 alone, which tests/unified boots
//
// WRUN=, RUNC= and CRUN= name other builds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

type options struct {
	runtimes string
	run      string
	jobs     int
	timeout  time.Duration
	out      string
	expected string
	record   string
	sanity   bool
	unified  bool
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == confinedCommand {
		os.Exit(confinedMain())
	}
	if len(os.Args) == 3 && os.Args[1] == measureCommand {
		os.Exit(measureMain(os.Args[2]))
	}
	var o options
	flag.StringVar(&o.runtimes, "runtimes", "wrun,runc,crun", "comma separated `names`, run one after the other")
	flag.StringVar(&o.run, "run", "", "run only the tests that match this `regexp`; nothing is compared then")
	flag.IntVar(&o.jobs, "jobs", 4, "tests of one runtime that run at the same time")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "time limit of each test")
	flag.StringVar(&o.out, "out", "", "keep each test's output in this `folder`")
	flag.StringVar(&o.expected, "expected", "", "expectations (default: conformance/expected.json)")
	flag.StringVar(&o.record, "record", "", "write the table, the causes and the tests that prove nothing to this `file`")
	flag.BoolVar(&o.sanity, "sanity", false, "run wrun, and those tests of runc whose verdict is known")
	flag.BoolVar(&o.unified, "unified", false, "run on a machine with cgroup v2 alone, instead of this one")
	flag.Parse()
	if err := conform(o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func conform(o options) error {
	if os.Getuid() != 0 {
		return errors.New("mounts, namespaces and cgroups are made for each test: run as root")
	}
	w, err := prepare(o)
	if err != nil {
		return err
	}
	want, err := readExpectations(w.Expected)
	if err != nil {
		return err
	}
	if o.unified {
		there, err := w.measureUnified()
		if err != nil {
			return err
		}
		return there.judge(want, w)
	}
	here, err := w.measure()
	if err != nil {
		return err
	}
	if o.record == "" {
		return here.judge(want, w)
	}
	there, err := w.measureUnified()
	if err != nil {
		return err
	}
	if err := writeRecord(o.record, here, there, w.Suite, want); err != nil {
		return err
	}
	return errors.Join(here.judge(want, w), there.judge(want, w))
}

// judge prints the table and what differs from expected.json, and answers
// whether anything does.
func (got measurement) judge(want expectations, w work) error {
	fmt.Printf("Linux %s, %s\n", got.Machine.Kernel, got.Machine.cgroups())
	printTable(os.Stdout, got.Columns, w.Suite.Tests, want)
	var differences []string
	for _, c := range got.Columns {
		switch {
		case w.Run != "":
			fmt.Printf("%s: a selection of tests ran, nothing compared\n", c.Subject.Name)
		case c.Subject.Name == "wrun":
			differences = append(differences, want.compare(c.Results, got.Machine)...)
		case w.Sanity:
			differences = append(differences, want.comparePeer(c.Subject, c.Results, got.Machine)...)
		default:
			for _, d := range want.comparePeer(c.Subject, c.Results, got.Machine) {
				fmt.Println("note:", d)
			}
		}
	}
	for _, d := range differences {
		fmt.Println("DIFFERS:", d)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d differences from %s", len(differences), w.Expected)
	}
	return nil
}
