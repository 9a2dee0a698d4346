package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report prints how the stages go and remembers what the end has to say.
type report struct {
	out     io.Writer
	ran     int // stages begun or skipped
	stage   string
	inStage int // packages reported in this stage
	passed  int
	failed  []string
	skipped []skipped
	noTests int
}

func (r *report) beginStage(s stage) {
	r.ran++
	r.stage, r.inStage = s.name, 0
	fmt.Fprintf(r.out, "== %s: %s\n", s.name, s.what)
}

func (r *report) skipStage(s stage) {
	r.ran++
	fmt.Fprintf(r.out, "== %s: skipped: %s\n", s.name, s.skip)
	r.skipped = append(r.skipped, skipped{test: "the whole stage " + s.name, reason: s.skip})
}

// packageDone is one line for a package that is well, everything for one that
// is not.
func (r *report) packageDone(p packageResult) {
	r.inStage++
	r.passed += p.passed
	r.skipped = append(r.skipped, p.skipped...)
	if p.ok && p.noTests {
		r.noTests++
		return
	}
	verdict := "ok  "
	if !p.ok {
		verdict = "FAIL"
		for _, t := range p.failed {
			r.failed = append(r.failed, r.stage+": "+p.name+" "+t)
		}
		if len(p.failed) == 0 {
			r.failed = append(r.failed, r.stage+": "+p.name)
		}
	}
	fmt.Fprintf(r.out, "%s %-36s %6.1f s %5d passed", verdict, p.name, p.elapsed.Seconds(), p.passed)
	if n := len(p.failed); n > 0 {
		fmt.Fprintf(r.out, " %3d failed", n)
	}
	if n := len(p.skipped); n > 0 {
		fmt.Fprintf(r.out, " %3d skipped", n)
	}
	fmt.Fprintln(r.out)
	if !p.ok {
		fmt.Fprintf(r.out, "\n%s\n", strings.TrimRight(p.output, "\n"))
	}
}

// endStage takes a stage's exit code for a failure unless packages of it
// already told theirs.
func (r *report) endStage(s stage, took time.Duration, err error) {
	switch told := len(r.failed) > 0 && strings.HasPrefix(r.failed[len(r.failed)-1], s.name+": "); {
	case err != nil && !told:
		r.failed = append(r.failed, s.name+": "+err.Error())
		fmt.Fprintf(r.out, "FAIL %s: %v\n", s.name, err)
	case err == nil && s.tests && r.inStage == 0:
		r.failed = append(r.failed, s.name+": no package was tested")
	}
	fmt.Fprintf(r.out, "== %s: %.1f s\n\n", s.name, took.Seconds())
}

// conclude prints the end and answers whether all is well.
func (r *report) conclude(took time.Duration) bool {
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "skipped: %d, and why\n", len(r.skipped))
		for _, g := range byReason(r.skipped) {
			fmt.Fprintf(r.out, "  %3d × %s\n", len(g.tests), g.reason)
			for i, t := range g.tests {
				if i == 4 && len(g.tests) > 5 {
					fmt.Fprintf(r.out, "          … and %d more\n", len(g.tests)-i)
					break
				}
				fmt.Fprintf(r.out, "          %s\n", t)
			}
		}
	}
	if len(r.failed) > 0 {
		fmt.Fprintf(r.out, "failed: %d\n", len(r.failed))
		for _, f := range r.failed {
			fmt.Fprintf(r.out, "  %s\n", f)
		}
	}
	verdict := "all passed"
	if len(r.failed) > 0 {
		verdict = "FAILED"
	}
	fmt.Fprintf(r.out, "%s: %d tests passed, %d failed, %d skipped, %d packages without tests, %.0f s\n",
		verdict, r.passed, len(r.failed), len(r.skipped), r.noTests, took.Seconds())
	return len(r.failed) == 0
}

type reasonGroup struct {
	reason string
	tests  []string
}

// byReason groups in the order of first appearance, the largest group first.
func byReason(all []skipped) []reasonGroup {
	var groups []reasonGroup
	for _, s := range all {
		i := slices.IndexFunc(groups, func(g reasonGroup) bool { return g.reason == s.reason })
		if i < 0 {
			i = len(groups)
			groups = append(groups, reasonGroup{reason: s.reason})
		}
		groups[i].tests = append(groups[i].tests, s.test)
	}
	slices.SortStableFunc(groups, func(a, b reasonGroup) int { return len(b.tests) - len(a.tests) })
	return groups
}
