//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// verdict is how one test came out.
type verdict int

const (
	passed verdict = iota
	failed
	skipped
	lost // planned and never reported: the file was cut off
)

// outcome is one test.
type outcome struct {
	number  int
	name    string
	verdict verdict
	reason  string   // of a skip
	output  []string // of a failure
}

// result is one file.
type result struct {
	planned  int
	tests    []outcome
	timedOut bool
	exit     int
	second   int // of the passed ones, how many only in a second run
}

// readTAP understands what `bats --tap` prints: a plan, a line for each test,
// and comment lines below the ones that failed.
func readTAP(text []byte) result {
	var r result
	for line := range bytes.Lines(text) {
		s := strings.TrimRight(string(line), "\r\n")
		if n, ok := strings.CutPrefix(s, "1.."); ok && r.planned == 0 {
			r.planned, _ = strconv.Atoi(n)
			continue
		}
		v := passed
		rest, ok := strings.CutPrefix(s, "ok ")
		if !ok {
			v = failed
			rest, ok = strings.CutPrefix(s, "not ok ")
		}
		if !ok {
			if n := len(r.tests); n > 0 && strings.HasPrefix(s, "#") && r.tests[n-1].verdict == failed {
				r.tests[n-1].output = append(r.tests[n-1].output, strings.TrimPrefix(strings.TrimPrefix(s, "#"), " "))
			}
			continue
		}
		number, name, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		o := outcome{number: n, name: name, verdict: v}
		if before, reason, ok := strings.Cut(name, " # skip"); ok && v == passed {
			o.name, o.reason, o.verdict = before, strings.TrimSpace(reason), skipped
		}
		r.tests = append(r.tests, o)
	}
	return r
}

func (r result) count(v verdict) int {
	n := 0
	for _, t := range r.tests {
		if t.verdict == v {
			n++
		}
	}
	if v == lost {
		n += max(0, r.planned-len(r.tests))
	}
	return n
}

// String is passed/failed/skipped, and what was never reported.
func (r result) String() string {
	s := fmt.Sprintf("%d/%d/%d", r.count(passed), r.count(failed), r.count(skipped))
	if r.second > 0 {
		s += fmt.Sprintf(" (%d in a second run)", r.second)
	}
	if n := r.count(lost); n > 0 {
		s += fmt.Sprintf(" lost %d", n)
	}
	if r.timedOut && r.count(lost) > 0 { // else only what a test left behind kept bats from ending
		s += " timed out"
	}
	return s
}
