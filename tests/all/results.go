package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	FailedBuild string // import path whose build output tells why
	Test        string
	Output      string
	Elapsed     float64
}

// skipped is a test that did not run.
type skipped struct {
	test   string
	reason string
}

// packageResult is how the tests of one package went.
type packageResult struct {
	name    string
	elapsed time.Duration
	passed  int
	failed  []string
	skipped []skipped
	ok      bool
	noTests bool
	output  string // of what failed, in full; empty if nothing did
}

// packageLog collects the events of one package until its end.
type packageLog struct {
	packageResult
	own   strings.Builder             // output of no single test
	tests map[string]*strings.Builder // output of each test
	order []string
}

// readEvents calls done for each package as it ends. The error tells of
// packages that never ended: their test program, or go itself, was killed.
func readEvents(r io.Reader, done func(packageResult)) error {
	open := map[string]*packageLog{}
	builds := map[string]*strings.Builder{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				e = event{Action: "build-output", Output: line} // go's own words
			}
			take(&e, open, builds, done)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the results: %w", err)
		}
	}
	for name, p := range open {
		p.output = p.own.String() + "the package's tests never ended\n"
		for _, t := range p.order {
			p.output += p.tests[t].String()
		}
		done(p.packageResult)
		delete(open, name)
	}
	return nil
}

func take(e *event, open map[string]*packageLog, builds map[string]*strings.Builder, done func(packageResult)) {
	switch e.Action {
	case "build-output":
		if builds[e.ImportPath] == nil {
			builds[e.ImportPath] = &strings.Builder{}
		}
		builds[e.ImportPath].WriteString(e.Output)
		return
	case "build-fail":
		return // the package's own fail event follows
	}
	p := open[e.Package]
	if p == nil {
		p = &packageLog{packageResult: packageResult{name: e.Package}, tests: map[string]*strings.Builder{}}
		open[e.Package] = p
	}
	if e.Test != "" {
		p.takeTest(e)
		return
	}
	switch e.Action {
	case "output":
		p.own.WriteString(e.Output)
	case "pass", "fail", "skip":
		p.elapsed = time.Duration(e.Elapsed * float64(time.Second))
		p.ok = e.Action != "fail"
		p.noTests = e.Action == "skip"
		if !p.ok {
			p.explain(builds[e.FailedBuild])
		}
		done(p.packageResult)
		delete(open, e.Package)
	}
}

func (p *packageLog) takeTest(e *event) {
	b := p.tests[e.Test]
	if b == nil {
		b = &strings.Builder{}
		p.tests[e.Test] = b
		p.order = append(p.order, e.Test)
	}
	switch e.Action {
	case "output":
		b.WriteString(e.Output)
	case "pass":
		p.passed++
	case "fail":
		p.failed = append(p.failed, e.Test)
	case "skip":
		p.skipped = append(p.skipped, skipped{test: p.name + " " + e.Test, reason: reasonOf(b.String())})
	}
}

// explain gathers the output of everything that failed.
func (p *packageLog) explain(build *strings.Builder) {
	var b strings.Builder
	if build != nil {
		b.WriteString(build.String())
	}
	for _, t := range p.order {
		failed := false
		for _, f := range p.failed {
			failed = failed || f == t
		}
		if failed {
			b.WriteString(p.tests[t].String())
		}
	}
	if len(p.failed) == 0 { // a panic, a time-out, TestMain: not one test's failure
		for _, t := range p.order {
			b.WriteString(p.tests[t].String())
		}
	}
	b.WriteString(p.own.String())
	p.output = b.String()
}

// reasonOf finds what a test said as it skipped: its last words, without the
// framing lines and the source line.
func reasonOf(output string) string {
	reason := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		reason = line
	}
	if place, said, found := strings.Cut(reason, ": "); found && strings.Contains(place, ".go:") {
		reason = said
	}
	if _, said, found := strings.Cut(reason, " skip '"); found && reason[0] == '>' { // testscript shows the line
		reason = strings.TrimSuffix(said, "'")
	}
	if reason == "" {
		return "no reason given"
	}
	return reason
}
