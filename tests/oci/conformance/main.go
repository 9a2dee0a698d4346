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
//
// WRUN=, RUNC= and CRUN= name other builds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
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
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == confinedCommand {
		os.Exit(confinedMain())
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
	suite, err := buildSuite()
	if err != nil {
		return err
	}
	if o.expected == "" {
		o.expected = suite.expected
	}
	want, err := readExpectations(o.expected)
	if err != nil {
		return err
	}
	machine, err := readMachine()
	if err != nil {
		return err
	}
	selected, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	if o.sanity {
		o.runtimes = "wrun,runc"
	}
	var columns []column
	for _, name := range strings.Split(o.runtimes, ",") {
		s, err := findSubject(name, suite)
		if err != nil {
			return err
		}
		var tests []string
		for _, t := range suite.tests {
			if selected.MatchString(t) && (!o.sanity || name == "wrun" || want.sanity(t)) {
				tests = append(tests, t)
			}
		}
		c, err := runColumn(s, suite, tests, want, machine, o)
		if err != nil {
			return err
		}
		columns = append(columns, c)
	}
	if err := machine.leftBehind(); err != nil {
		return err
	}
	printTable(os.Stdout, columns, suite.tests, want)
	if o.record != "" {
		if err := writeRecord(o.record, columns, suite, want); err != nil {
			return err
		}
	}
	return judge(columns, want, machine, o)
}

// judge prints what differs from expected.json and answers whether anything does.
func judge(columns []column, want expectations, m machine, o options) error {
	var differences []string
	for _, c := range columns {
		switch {
		case o.run != "":
			fmt.Printf("%s: a selection of tests ran, nothing compared\n", c.subject.name)
		case c.subject.name == "wrun":
			differences = append(differences, want.compare(c.results, m)...)
		case o.sanity:
			differences = append(differences, want.comparePeer(c.subject, c.results)...)
		default:
			for _, d := range want.comparePeer(c.subject, c.results) {
				fmt.Println("note:", d)
			}
		}
	}
	for _, d := range differences {
		fmt.Println("DIFFERS:", d)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d differences from %s", len(differences), o.expected)
	}
	return nil
}
