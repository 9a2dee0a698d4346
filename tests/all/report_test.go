package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// run feeds the events of a stage to a report.
func run(t *testing.T, events string, exit error) (string, bool) {
	t.Helper()
	var out strings.Builder
	r := &report{out: &out}
	s := stage{name: "unit", tests: true}
	r.beginStage(s)
	if err := readEvents(strings.NewReader(events), r.packageDone); err != nil {
		t.Fatal(err)
	}
	r.endStage(s, time.Second, exit)
	ok := r.conclude(time.Second)
	return out.String(), ok
}

const (
	passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Output":"ok  \tp\n"}
{"Action":"pass","Package":"p","Elapsed":0.5}
`
	skipping = `{"Action":"run","Package":"q","Test":"TestB/sub"}
{"Action":"output","Package":"q","Test":"TestB/sub","Output":"=== RUN   TestB/sub\n"}
{"Action":"output","Package":"q","Test":"TestB/sub","Output":"    b_test.go:7: needs a moon: none up\n"}
{"Action":"output","Package":"q","Test":"TestB/sub","Output":"    --- SKIP: TestB/sub (0.00s)\n"}
{"Action":"skip","Package":"q","Test":"TestB/sub","Elapsed":0}
{"Action":"pass","Package":"q","Elapsed":0.1}
`
	failing = `{"Action":"run","Package":"f","Test":"TestGood"}
{"Action":"output","Package":"f","Test":"TestGood","Output":"good chatter\n"}
{"Action":"pass","Package":"f","Test":"TestGood","Elapsed":0}
{"Action":"run","Package":"f","Test":"TestBad"}
{"Action":"output","Package":"f","Test":"TestBad","Output":"    f_test.go:1: broken\n"}
{"Action":"fail","Package":"f","Test":"TestBad","Elapsed":0}
{"Action":"fail","Package":"f","Elapsed":0.1}
`
)

func TestReport(t *testing.T) {
	exit1 := errors.New("exit status 1")
	for _, tt := range []struct {
		name, events string
		exit         error
		ok           bool
		has, hasNot  string // parts of the output, separated by "|"
	}{
		{"passing", passing, nil, true, "ok   p |all passed: 1 tests passed, 0 failed, 0 skipped", "chatter"},
		{"skipping", passing + skipping, nil, true, "skipped: 1, and why\n    1 × needs a moon: none up\n          q TestB/sub|1 skipped", ""},
		{"failing", failing, exit1, false, "FAIL f |1 failed|f_test.go:1: broken|unit: f TestBad|FAILED: 1 tests passed, 1 failed", "good chatter|exit status"},
		{"no package", "", nil, false, "no package was tested|FAILED", ""},
		{"only an exit code", passing, exit1, false, "FAIL unit: exit status 1", ""},
		{"not built", `{"ImportPath":"f [f.test]","Action":"build-output","Output":"f.go:1: syntax error\n"}
{"ImportPath":"f [f.test]","Action":"build-fail"}
{"Action":"start","Package":"f"}
{"Action":"fail","Package":"f","Elapsed":0,"FailedBuild":"f [f.test]"}
`, exit1, false, "f.go:1: syntax error|unit: f\n", ""},
		{"panic", `{"Action":"run","Package":"f","Test":"TestX"}
{"Action":"output","Package":"f","Test":"TestX","Output":"panic: oops\n"}
{"Action":"fail","Package":"f","Elapsed":0}
`, exit1, false, "panic: oops", ""},
		{"cut off", `{"Action":"run","Package":"f","Test":"TestX"}
{"Action":"output","Package":"f","Test":"TestX","Output":"last words\n"}
`, exit1, false, "last words|never ended", ""},
		{"not of go test", "go: cannot find module\n", exit1, false, "exit status 1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, ok := run(t, tt.events, tt.exit)
			if ok != tt.ok {
				t.Errorf("all is well: %v, want %v", ok, tt.ok)
			}
			for part := range strings.SplitSeq(tt.has, "|") {
				if !strings.Contains(out, part) {
					t.Errorf("no %q in\n%s", part, out)
				}
			}
			for part := range strings.SplitSeq(tt.hasNot, "|") {
				if part != "" && strings.Contains(out, part) {
					t.Errorf("%q in\n%s", part, out)
				}
			}
		})
	}
}

// TestReasons: equal reasons are one entry with all its tests.
func TestReasons(t *testing.T) {
	groups := byReason([]skipped{{"a", "x"}, {"b", "y"}, {"c", "y"}})
	if len(groups) != 2 || groups[0].reason != "y" || len(groups[0].tests) != 2 {
		t.Errorf("got %+v", groups)
	}
	if got := reasonOf("    testscript.go:9: > [!x] skip 'no x'\n--- SKIP: TestScript/a\n"); got != "no x" {
		t.Errorf("a script's reason: %q", got)
	}
	if got := reasonOf("--- SKIP: TestX\n"); got != "no reason given" {
		t.Errorf("a silent skip's reason: %q", got)
	}
}
