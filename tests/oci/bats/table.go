//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table holds the results by runtime and file.
type table struct {
	files    []string
	subjects []subject
	cells    map[string]map[string]result
}

func newTable(files []string, subjects []subject) *table {
	t := &table{files: slices.Sorted(slices.Values(files)), subjects: subjects, cells: map[string]map[string]result{}}
	for _, s := range subjects {
		t.cells[s.name] = map[string]result{}
	}
	return t
}

func (t *table) add(name, file string, r result) { t.cells[name][file] = r }

// print is one line a file: passed/failed/skipped of every runtime.
func (t *table) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "file\ttests")
	for _, s := range t.subjects {
		fmt.Fprint(tw, "\t", s.name)
	}
	fmt.Fprintln(tw)
	for _, f := range t.files {
		planned := 0
		for _, s := range t.subjects {
			planned = max(planned, t.cells[s.name][f].planned)
		}
		fmt.Fprintf(tw, "%s\t%d", f, planned)
		for _, s := range t.subjects {
			fmt.Fprint(tw, "\t", t.cells[s.name][f])
		}
		fmt.Fprintln(tw)
	}
	fmt.Fprint(tw, "passed\t")
	for _, s := range t.subjects {
		pass, all := t.sum(s.name)
		fmt.Fprintf(tw, "\t%d of %d", pass, all)
	}
	fmt.Fprintln(tw)
	tw.Flush()
}

// sum is how many tests of all files a runtime passed.
func (t *table) sum(name string) (pass, all int) {
	for _, r := range t.cells[name] {
		pass += r.count(passed)
		all += max(r.planned, len(r.tests))
	}
	return pass, all
}

// printFailures lists every test that did not pass, the skipped ones with
// their reason, the others with the end of what they printed.
func (t *table) printFailures(w io.Writer, lines int) {
	for _, s := range t.subjects {
		fmt.Fprintf(w, "\n%s\n", s.name)
		for _, f := range t.files {
			for _, o := range t.cells[s.name][f].tests {
				switch o.verdict {
				case skipped:
					fmt.Fprintf(w, "  skipped %s %d %s: %s\n", f, o.number, o.name, o.reason)
				case failed:
					fmt.Fprintf(w, "  FAILED %s %d %s\n", f, o.number, o.name)
					tail := o.output[max(0, len(o.output)-lines):]
					fmt.Fprintf(w, "      %s\n", strings.Join(tail, "\n      "))
				}
			}
			if n := t.cells[s.name][f].count(lost); n > 0 {
				fmt.Fprintf(w, "  lost %s: %d tests were never reported\n", f, n)
			}
		}
	}
}
