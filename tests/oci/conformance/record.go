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
peers on one machine. ` + "`make conformance`" + ` wrote this page; ` + "`make test`" + ` runs
wrun's column and fails if it differs from
[expected.json](../tests/oci/conformance/expected.json), for the worse or for
the better.

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

// writeRecord writes the page: table, causes, and the tests whose word is not enough.
func writeRecord(path string, columns []column, s suite, want expectations) error {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, suiteModule, s.version)
	b.WriteString("\n## Test by runtime\n\n| test |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.subject.name)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(columns)))
	for _, test := range s.tests {
		fmt.Fprintf(&b, "| %s |", test)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", strings.Join(strings.Fields(c.cell(test, want)), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("| **clean** |")
	for _, c := range columns {
		t := c.totals(want)
		fmt.Fprintf(&b, " **%d of %d** (%d/%d) |", t.clean, t.ran, t.ok, t.notOK)
	}
	b.WriteString("\n\n")
	for _, c := range columns {
		fmt.Fprintf(&b, "- %s: %s", c.subject.name, c.subject.version)
		if known := want.Peers[c.subject.name]; known.Version == c.subject.version && len(known.Unsteady) > 0 {
			fmt.Fprintf(&b, "; clean or not from run to run: %s (%s)", strings.Join(known.Unsteady, ", "), known.Why)
		}
		b.WriteByte('\n')
	}

	b.WriteString("\n## What wrun is not clean in, and why\n")
	for _, kind := range kinds {
		fmt.Fprintf(&b, "\n### %s%s\n\n", strings.ToUpper(kind[:1]), kind[1:])
		if kind == "machine limit" {
			b.WriteString("Probed at every run; on a machine without the limit the test must be clean.\n\n")
		}
		for _, test := range s.tests {
			if e := want.Tests[test]; e.Kind == kind {
				fmt.Fprintf(&b, "- **%s** (%s): %s\n", test, e.listed(test), e.Cause)
			}
		}
	}

	b.WriteString("\n## Races of the suite\n\nRun again alone, at most twice, if they differ from the list; the table says so.\n\n")
	for _, test := range s.tests {
		if e := want.Tests[test]; e.Race != "" {
			fmt.Fprintf(&b, "- **%s**: %s\n", test, e.Race)
		}
	}

	b.WriteString("\n## Tests whose word is not enough\n\nThey assert nothing, or pass in a void; wrun's own test beside them asserts it.\n\n| test | what it does not prove | wrun's own test |\n|---|---|---|\n")
	for _, test := range s.tests {
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

func (e expectation) listed(test string) string {
	return result{test: test, ok: e.OK, notOK: e.NotOK, exit: e.Exit, errored: e.Errored}.String()
}
