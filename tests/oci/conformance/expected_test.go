//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	want := expectations{MinimumClean: 1, Tests: map[string]expectation{
		"a": {OK: 3},
		"b": {OK: 2, NotOK: 1, Kind: "suite bug", Cause: "c"},
		"c": {OK: 1, NotOK: 1, Kind: "machine limit", Limit: "no tape drive", Cause: "c"},
		"r": {OK: 0, NotOK: 1, Kind: "suite bug", Cause: "c", Race: "r"},
	}}
	asListed := func() map[string]result {
		return map[string]result{"a": {OK: 3}, "b": {OK: 2, NotOK: 1}, "c": {OK: 1, NotOK: 1}, "r": {NotOK: 1}}
	}
	limited := machine{Limits: map[string]bool{"no tape drive": true}}
	tests := []struct {
		name    string
		machine machine
		change  func(map[string]result)
		say     string // empty: no difference
	}{
		{"as listed", limited, func(map[string]result) {}, ""},
		{"clean test fails", limited, func(r map[string]result) { r["a"] = result{OK: 2, NotOK: 1} }, "a: not clean"},
		{"clean test asserts less", limited, func(r map[string]result) { r["a"] = result{OK: 2} }, "a: clean with 2 ok"},
		{"clean test leaves a process", limited, func(r map[string]result) { r["a"] = result{OK: 3, Left: []string{"sleep"}} }, "left processes"},
		{"listed test becomes clean", limited, func(r map[string]result) { r["b"] = result{OK: 3} }, "better than listed"},
		{"listed test gets worse", limited, func(r map[string]result) { r["b"] = result{OK: 1, NotOK: 2} }, "listed with 2 ok"},
		{"listed test aborts", limited, func(r map[string]result) { r["b"] = result{OK: 2, NotOK: 1, Exit: 1} }, "listed with 2 ok"},
		{"machine without the limit", machine{}, func(map[string]result) {}, "c: not clean"},
		{"machine without the limit, clean", machine{}, func(r map[string]result) { r["c"] = result{OK: 9} }, ""},
		{"race won", limited, func(r map[string]result) { r["r"] = result{OK: 1} }, ""},
		{"race lost otherwise", limited, func(r map[string]result) { r["r"] = result{NotOK: 2} }, "r: 0/2, listed"},
		{"test missing", limited, func(r map[string]result) { delete(r, "a") }, "no such test"},
		{"test new", limited, func(r map[string]result) { r["d"] = result{OK: 1} }, "d: the suite's test is not listed"},
		{"too few clean", limited, func(r map[string]result) { r["a"] = result{} }, "less than 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := asListed()
			test.change(got)
			differences := strings.Join(want.compare(got, test.machine), "; ")
			if (test.say == "") != (differences == "") || !strings.Contains(differences, test.say) {
				t.Errorf("got %q, want %q", differences, test.say)
			}
		})
	}
}

// The checked-in list itself is read by every run; this also holds its promise
// of 38 clean tests against its own entries.
func TestExpectationsAddUp(t *testing.T) {
	want, err := readExpectations("expected.json")
	if err != nil {
		t.Fatal(err)
	}
	clean := 0
	for _, e := range want.Tests {
		if e.Kind == "" {
			clean++
		}
	}
	if len(want.Tests) != 58 || clean < want.MinimumClean {
		t.Errorf("%d tests, %d clean; want 58 and at least %d", len(want.Tests), clean, want.MinimumClean)
	}
	for name, p := range want.Peers {
		for _, test := range p.NotClean {
			if _, known := want.Tests[test]; !known {
				t.Errorf("%s: %s is no test of the suite", name, test)
			}
		}
	}
}
