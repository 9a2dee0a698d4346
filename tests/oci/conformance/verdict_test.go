//go:build linux

package main

import "testing"

func TestVerdict(t *testing.T) {
	tests := []struct {
		name   string
		tap    string
		exit   int
		silent bool
		ok     int
		notOK  int
		clean  bool
	}{
		{name: "assertions that hold", tap: "TAP version 13\n1..2\nok 1 - a\n  ---\n  {\n    \"reference\": \"x\"\n  }\n  ...\nok 2 - b # SKIP c\n", ok: 2, clean: true},
		{name: "not ok with exit code 0", tap: "ok 1 - a\nnot ok 2 - b\n", ok: 1, notOK: 1},
		{name: "ok, then aborted", tap: "ok 1 - a\n", exit: 1, ok: 1},
		{name: "no assertion in a test that should make some", tap: "TAP version 13\n1..0\n"},
		{name: "silent test without diagnostic", tap: "TAP version 13\n1..0\n", silent: true, clean: true},
		{name: "silent test with an error", tap: "TAP version 13\n  ---\n  {\n    \"error\": \"exit status 1\"\n  }\n  ...\n1..0\n", silent: true},
		{name: "silent test that aborts", exit: 1, silent: true},
		{name: "an expected error beside an assertion is no failure", tap: "ok 1 - create must fail\n  ---\n  {\n    \"error\": \"exit status 1\"\n  }\n  ...\n", ok: 1, clean: true},
		{name: "the words in a container's quoted output do not count", tap: "  {\n    \"stdout\": \"ok 1\\nnot ok 2\"\n  }\nok 1 - a\n", ok: 1, clean: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := result{Exit: test.exit}
			r.count([]byte(test.tap))
			if r.OK != test.ok || r.NotOK != test.notOK || r.clean(test.silent) != test.clean {
				t.Errorf("%d ok, %d not ok, clean %t; want %d, %d, %t", r.OK, r.NotOK, r.clean(test.silent), test.ok, test.notOK, test.clean)
			}
		})
	}
}

func TestTimedOutIsNotClean(t *testing.T) {
	if (result{OK: 3, TimedOut: true}).clean(false) {
		t.Error("a test that ran into its time limit counts as clean")
	}
}
