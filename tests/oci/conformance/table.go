//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// String is one cell of the table without its verdict: assertions and whatever else tells.
func (r result) String() string {
	if r.Skipped != "" {
		return "skipped: " + r.Skipped
	}
	s := fmt.Sprintf("%d/%d", r.OK, r.NotOK)
	if r.Exit != 0 {
		s += fmt.Sprintf(" exit %d", r.Exit)
	}
	if r.Errored && r.OK+r.NotOK == 0 {
		s += " error"
	}
	if r.TimedOut {
		s += " timed out"
	}
	if r.Tries > 1 {
		s += fmt.Sprintf(" (run %d, alone)", r.Tries)
	}
	return s
}

func (c column) cell(test string, want expectations) string {
	r, ran := c.Results[test]
	switch {
	case !ran:
		return "-"
	case r.Skipped != "":
		return r.String()
	case r.clean(want.Tests[test].Silent):
		return "clean " + r.String()
	}
	return "NOT   " + r.String()
}

type totals struct{ clean, ran, skipped, ok, notOK, left int }

func (c column) totals(want expectations) totals {
	var t totals
	for test, r := range c.Results {
		if r.Skipped != "" {
			t.skipped++
			continue
		}
		t.ran++
		t.ok += r.OK
		t.notOK += r.NotOK
		t.left += len(r.Left)
		if r.clean(want.Tests[test].Silent) {
			t.clean++
		}
	}
	return t
}

// printTable prints test × runtime as ok/not ok, then the totals.
func printTable(out io.Writer, columns []column, tests []string, want expectations) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprint(w, "test")
	for _, c := range columns {
		fmt.Fprintf(w, "\t%s", c.Subject.Name)
	}
	fmt.Fprintln(w)
	for _, test := range tests {
		if !slices.ContainsFunc(columns, func(c column) bool { _, ran := c.Results[test]; return ran }) {
			continue
		}
		fmt.Fprint(w, test)
		for _, c := range columns {
			fmt.Fprintf(w, "\t%s", c.cell(test, want))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	for _, c := range columns {
		t := c.totals(want)
		fmt.Fprintf(out, "%s: %d clean of %d", c.Subject.Name, t.clean, t.ran)
		if t.skipped > 0 {
			fmt.Fprintf(out, ", %d skipped", t.skipped)
		}
		fmt.Fprintf(out, " (assertions %d ok, %d not ok; %d processes left by tests and ended) in %s: %s",
			t.ok, t.notOK, t.left, c.Took.Round(100*time.Millisecond), c.Subject.Version)
		if c.Subject.Lowered {
			fmt.Fprint(out, ", ociVersion lowered to 1.0.2")
		}
		fmt.Fprintln(out)
		for _, test := range names(c.Results) {
			if left := c.Results[test].Left; len(left) > 0 {
				fmt.Fprintf(out, "  %s left %q\n", test, left)
			}
		}
	}
}
