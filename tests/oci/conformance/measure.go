//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// work is what is to be measured, all built.
type work struct {
	Suite    suite
	Subjects []subject
	Expected string // file
	Run      string // only the tests that match
	Sanity   bool   // of others than wrun a few tests
	Jobs     int
	Timeout  time.Duration
	Out      string
}

// measurement is what came of it on one machine.
type measurement struct {
	Machine machine
	Columns []column
}

func prepare(o options) (work, error) {
	s, err := buildSuite()
	if err != nil {
		return work{}, err
	}
	w := work{Suite: s, Expected: o.expected, Run: o.run, Sanity: o.sanity, Jobs: o.jobs, Timeout: o.timeout, Out: o.out}
	if w.Expected == "" {
		w.Expected = s.Expected
	}
	if o.sanity {
		o.runtimes = "wrun,runc"
	}
	for name := range strings.SplitSeq(o.runtimes, ",") {
		sub, err := findSubject(name, s)
		if err != nil {
			return w, err
		}
		w.Subjects = append(w.Subjects, sub)
	}
	return w, nil
}

// measure runs everything on the machine that this process is on.
func (w work) measure() (measurement, error) {
	var got measurement
	want, err := readExpectations(w.Expected)
	if err != nil {
		return got, err
	}
	selected, err := regexp.Compile(w.Run)
	if err != nil {
		return got, err
	}
	if got.Machine, err = readMachine(); err != nil {
		return got, err
	}
	for _, s := range w.Subjects {
		var tests []string
		for _, t := range w.Suite.Tests {
			if selected.MatchString(t) && (!w.Sanity || s.Name == "wrun" || want.sanity(t)) {
				tests = append(tests, t)
			}
		}
		c, err := w.runColumn(s, tests, want, got.Machine)
		if err != nil {
			return got, err
		}
		got.Columns = append(got.Columns, c)
	}
	return got, got.Machine.leftBehind()
}

// measureCommand is the hidden first argument of the process that measures on
// another machine; the second is a file with its work.
const measureCommand = "measure-process"

// unifiedLimit is the time of the machine with cgroup v2 alone: four times what
// three runtimes take.
const unifiedLimit = 20 * time.Minute

// measureUnified measures on a machine with cgroup v2 alone, which sees the
// files of this one and keeps what it writes.
func (w work) measureUnified() (measurement, error) {
	var got measurement
	top := filepath.Join(w.Suite.Module, "..", "..")
	unified := filepath.Join(w.Suite.Module, "bin", "unified")
	if err := build(top, unified, "./tests/unified"); err != nil {
		return got, err
	}
	w.Out = ""
	text, err := json.Marshal(w)
	if err != nil {
		return got, err
	}
	file := filepath.Join(w.Suite.Module, "bin", fmt.Sprintf("work-%d", os.Getpid()))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return got, err
	}
	defer os.Remove(file)
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	cmd := exec.Command(unified, "-limit", unifiedLimit.String(), "-command", self, measureCommand, file)
	cmd.Dir, cmd.Stderr = w.Suite.Module, os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return got, fmt.Errorf("measure on the machine with cgroup v2 alone: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		return got, fmt.Errorf("read what the machine with cgroup v2 alone measured: %w", err)
	}
	if !got.Machine.Limits[noV1] {
		return got, fmt.Errorf("the machine with cgroup v2 alone has v1")
	}
	return got, nil
}

// measureMain prints a measurement as JSON.
func measureMain(file string) int {
	var w work
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	var got measurement
	if err == nil {
		got, err = w.measure()
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(got)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 1
	}
	return 0
}
