//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
)

const sample = `1..4
ok 1 a passes
not ok 2 b fails
# (in test file x.bats, line 3)
#   ` + "`[ 1 = 2 ]' failed" + `
ok 3 c # skip test requires systemd
`

func TestReadTAP(t *testing.T) {
	r := readTAP([]byte(sample))
	if r.planned != 4 || r.count(passed) != 1 || r.count(failed) != 1 || r.count(skipped) != 1 || r.count(lost) != 1 {
		t.Fatalf("counted %s of %d", r, r.planned)
	}
	if o := r.tests[1]; o.name != "b fails" || len(o.output) != 2 || o.output[1] != "  `[ 1 = 2 ]' failed" {
		t.Errorf("failed test: %+v", o)
	}
	if o := r.tests[2]; o.name != "c" || o.reason != "test requires systemd" {
		t.Errorf("skipped test: %+v", o)
	}
	// A file that was cut off before its first word has no test that passed.
	if r := readTAP(nil); r.count(passed) != 0 || r.planned != 0 {
		t.Errorf("nothing counts as %s", r)
	}
}

func TestTable(t *testing.T) {
	tb := newTable([]string{"x", "y"}, []subject{{name: "one"}, {name: "two"}})
	tb.add("one", "x", readTAP([]byte(sample)))
	tb.add("two", "x", result{planned: 4})
	var out bytes.Buffer
	tb.print(&out)
	tb.printFailures(&out, 1)
	for _, want := range []string{"1/1/1 lost 1", "0/0/0 lost 4", "x 2 b fails", "`[ 1 = 2 ]' failed", "test requires systemd"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "in test file") {
		t.Errorf("more lines than asked for:\n%s", &out)
	}
}

// TestRecord: a failure needs a reason, and a reason needs a failure.
func TestRecord(t *testing.T) {
	tb := newTable([]string{"x"}, []subject{{name: "wrun"}})
	tb.add("wrun", "x", readTAP([]byte(sample)))
	err := tb.record(t.TempDir()+"/page", t.TempDir())
	for _, want := range []string{"x 2 fails and has no reason", "1 tests of x were never reported", "version 1 has a reason and does not fail"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
}
