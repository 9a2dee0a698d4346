//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
)

// introduction heads docs/conformance.md; this file writes all of it, so
// record, list and run cannot drift apart.
const introduction = `# Conformance

The validation programs of %[1]s (%[2]s), unmodified, against wrun and its
peers, on a machine with cgroup v1 and on one with cgroup v2 alone.
` + "`make conformance`" + ` wrote this page; ` + "`make test`" + ` runs wrun's column on both and
fails if it differs from [expected.json](../tests/oci/conformance/expected.json),
for the worse or for the better.

Each test runs in mount, pid, ipc, uts and cgroup namespaces of its own, with a
cgroup of its own as root of every hierarchy: nothing that a test or a runtime
leaves can reach the machine or another test. crun is given no cgroup v2 beside
v1, which it refuses; crun 1.8.1 also gets ociVersion lowered to 1.0.2, the
newest it accepts.

The exit code alone is no verdict. A test is clean if it exits with 0, has no
"not ok" and at least one "ok"; a silent test, which makes no assertion, is
clean if it also prints no error. All of it counts only if the suite's
"default" test is clean. Cells are ok/not ok.
`

const unifiedIntroduction = `
The same programs and runtimes on a machine with cgroup v2 alone: a VM that
[tests/unified](../tests/unified/main_linux.go) boots, with %[1]s and two
translated processors.%[2]s
`

// writeRecord writes the page: tables, causes, and the tests whose word is not enough.
func writeRecord(path string, here, there measurement, s suite, want expectations) error {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, suiteModule, s.Version)
	b.WriteString("\n## Cgroup v1\n\n")
	here.table(&b, s, want)
	b.WriteString("\n")
	for _, c := range here.Columns {
		fmt.Fprintf(&b, "- %s: %s", c.Subject.Name, c.Subject.Version)
		if known := want.Peers[c.Subject.Name]; known.Version == c.Subject.Version && len(known.Unsteady) > 0 {
			fmt.Fprintf(&b, "; clean or not from run to run: %s (%s)", strings.Join(known.Unsteady, ", "), known.Why)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n## Cgroup v2, in a VM\n")
	more := ""
	if here.Machine.Limits[noResource] && !there.Machine.Limits[noResource] {
		more = " Its root has CAP_SYS_RESOURCE, which that of the other machine has not."
	}
	fmt.Fprintf(&b, unifiedIntroduction, "Linux "+there.Machine.Kernel, more)
	b.WriteByte('\n')
	there.table(&b, s, want)
	b.WriteByte('\n')
	for _, limit := range names(there.Machine.Limits) {
		var tests []string
		for _, test := range s.Tests {
			if want.needless(test, there.Machine) == limit {
				tests = append(tests, test)
			}
		}
		if len(tests) > 0 {
			fmt.Fprintf(&b, "- Not run, %s: %s\n", limit, strings.Join(tests, ", "))
		}
	}
	b.WriteString("\n## What wrun is not clean in, and why\n")
	for _, kind := range kinds {
		fmt.Fprintf(&b, "\n### %s%s\n\n", strings.ToUpper(kind[:1]), kind[1:])
		if kind == "machine limit" {
			b.WriteString("Probed at every run; on a machine without the limit the test must be clean.\n\n")
		}
		for _, test := range s.Tests {
			if e := want.Tests[test]; e.Kind == kind {
				fmt.Fprintf(&b, "- **%s** (%s): %s\n", test, e.listed(test), e.Cause)
			}
		}
	}

	b.WriteString("\n## Races of the suite\n\nRun again alone, at most twice, if they differ from the list; the table says so.\n\n")
	for _, test := range s.Tests {
		if e := want.Tests[test]; e.Race != "" {
			fmt.Fprintf(&b, "- **%s**: %s\n", test, e.Race)
		}
	}

	b.WriteString("\n## Tests whose word is not enough\n\nThey assert nothing, or pass in a void; wrun's own test beside them asserts it.\n\n| test | what it does not prove | wrun's own test |\n|---|---|---|\n")
	for _, test := range s.Tests {
		e := want.Tests[test]
		lack := e.Void
		if e.Silent {
			lack = strings.TrimSuffix("makes no assertion; "+e.Void, "; ")
		}
		if lack != "" {
			backed := e.BackedBy
			if backed == "" {
				backed = "none named yet"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", test, lack, backed)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// table writes the tests that ran, and how many were clean.
func (got measurement) table(b *strings.Builder, s suite, want expectations) {
	b.WriteString("| test |")
	for _, c := range got.Columns {
		fmt.Fprintf(b, " %s |", c.Subject.Name)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(got.Columns)))
	for _, test := range s.Tests {
		if want.needless(test, got.Machine) != "" {
			continue
		}
		fmt.Fprintf(b, "| %s |", test)
		for _, c := range got.Columns {
			fmt.Fprintf(b, " %s |", strings.Join(strings.Fields(c.cell(test, want)), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("| **clean** |")
	for _, c := range got.Columns {
		t := c.totals(want)
		fmt.Fprintf(b, " **%d of %d** (%d/%d) |", t.clean, t.ran, t.ok, t.notOK)
	}
	b.WriteByte('\n')
}

func (e expectation) listed(test string) string {
	return result{Test: test, OK: e.OK, NotOK: e.NotOK, Exit: e.Exit, Errored: e.Errored}.String()
}
