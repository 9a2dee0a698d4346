//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

//go:embed introduction.txt
var introduction string

//go:embed taught.txt
var taught string

// reasons says of each test that wrun does not pass why, by file and number.
//
//go:embed reasons.json
var reasons []byte

// record writes docs/conformance-runc.md, all of it: what came out, and why. A
// test that fails without a reason, or has one and passes, is an error, so page
// and runs cannot drift apart.
func (t *table) record(path, suite string) error {
	var why map[string]string
	if err := json.Unmarshal(reasons, &why); err != nil {
		return fmt.Errorf("reasons.json: %w", err)
	}
	wrun, ok := t.cells["wrun"]
	if !ok {
		return fmt.Errorf("-record needs a runtime named wrun")
	}
	var b strings.Builder
	fmt.Fprintf(&b, introduction, revision(suite))
	b.WriteString("\n## File by runtime\n\n| file | tests |")
	for _, s := range t.subjects {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(t.subjects)) + "\n")
	for _, f := range t.files {
		planned := 0
		for _, s := range t.subjects {
			planned = max(planned, t.cells[s.name][f].planned)
		}
		fmt.Fprintf(&b, "| %s | %d |", f, planned)
		for _, s := range t.subjects {
			b.WriteString(" " + t.cells[s.name][f].String() + " |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("| **passed** | |")
	for _, s := range t.subjects {
		pass, all := t.sum(s.name)
		fmt.Fprintf(&b, " **%d of %d** |", pass, all)
	}
	b.WriteString("\n\n")
	for _, s := range t.subjects {
		fmt.Fprintf(&b, "- %s: %s\n", s.name, version(s.path))
	}
	b.WriteString("\n## What wrun does not pass, and why\n\n")
	skips := map[string]int{}
	var unknown []string
	for _, f := range t.files {
		for _, o := range wrun[f].tests {
			key := f + " " + strconv.Itoa(o.number)
			switch o.verdict {
			case failed:
				reason, ok := why[key]
				if !ok {
					unknown = append(unknown, key+" fails and has no reason")
				}
				delete(why, key)
				fmt.Fprintf(&b, "- **%s**: %s.\n", key, reason)
			case skipped:
				skips[o.reason]++
			}
		}
		if n := wrun[f].count(lost); n > 0 {
			unknown = append(unknown, fmt.Sprintf("%d tests of %s were never reported", n, f))
		}
	}
	for key := range why {
		unknown = append(unknown, key+" has a reason and does not fail")
	}
	b.WriteString("\nSkipped by the suite itself when it ran wrun:\n\n")
	for _, reason := range slices.Sorted(keys(skips)) {
		fmt.Fprintf(&b, "- %d: %s\n", skips[reason], reason)
	}
	b.WriteString("\n" + taught)
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("reasons.json is not up to date:\n  %s", strings.Join(unknown, "\n  "))
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// revision is what the checkout says of itself.
func revision(suite string) string {
	data, err := os.ReadFile(suite + "/../../VERSION")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}

func version(path string) string {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "unknown"
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[0])
}
