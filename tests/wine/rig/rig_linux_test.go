package rig

import (
	"os"
	"slices"
	"strings"
	"testing"
)

var site Site

func TestMain(m *testing.M) { os.Exit(site.Main(m)) }

// TestMachine: arguments, text and exit codes get through Wine unharmed, and the
// machine is the Windows that a test asks for.
func TestMachine(t *testing.T) {
	x := site.New(t)
	r := x.Do(Call{Program: Probe, Args: []string{"args", "a b", `c"d\`, "ü€😀", ""}})
	x.Equal("arguments", r.Stdout, "\"a b\"\n\"c\\\"d\\\\\"\n\"ü€😀\"\n\"\"\n")
	x.Equal("version", x.Do(Call{Program: Probe, Args: []string{"version"}}).Stdout, "10.0.20348 type 3\n")
	x.Windows(Windows10)
	x.Equal("version", x.Do(Call{Program: Probe, Args: []string{"version"}}).Stdout, "10.0.19045 type 1\n")
	if code, r := x.ExitCode("nosuch"); code != 3 {
		t.Errorf("exit code %d: %s", code, r)
	}
	if r := x.Do(Call{Program: "sh", Args: []string{"-c", "exit 300"}}); r.Code != 300%256 {
		t.Errorf("Linux sees %d of exit code 300", r.Code)
	}
	r = x.Do(Call{Program: "cat", Stdin: "in\r\n"})
	x.Equal("stdin", r.Stdout, "in\n")
}

// TestLeftoversAreSeen: what the end of each test relies on.
func TestLeftoversAreSeen(t *testing.T) {
	x := site.New(t)
	if left := x.remains(); len(left) != 0 {
		t.Fatalf("before: %v", left)
	}
	sleeper := x.Go(Call{Program: Probe, Args: []string{"sleep"}})
	endpoint := x.Endpoint()
	x.own = nil // as if wrun had made it
	x.Bundle(Silo, "sleep", "1000").Started()
	seen := func(what string) bool {
		return slices.ContainsFunc(x.remains(), func(s string) bool { return strings.Contains(s, what) })
	}
	for _, what := range []string{"probe.exe", "endpoint " + endpoint, "system t", "layer C:", "sleep.exe", "wrun.exe", "handle"} {
		if !seen(what) {
			t.Errorf("%q is not among %v", what, x.remains())
		}
	}
	x.OK("delete", "--force", x.ID)
	x.own = []string{endpoint}
	sleeper.Kill()
	if _, err := sleeper.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFaultsReach: a fault that is asked for happens, once, and the journal has
// what was asked for.
func TestFaultsReach(t *testing.T) {
	x := site.New(t)
	x.Fault("op=HcsEnumerateComputeSystems", "nth=1", "hr=0x80370109")
	b := x.Bundle(Silo, "true")
	calls := x.Since(func() { x.Refused([]string{"0x80370109"}, b.Args("create")...) })
	if got := calls.Named("HcsEnumerateComputeSystems"); len(got) != 1 || len(got.Good()) != 0 || got[0].HResult != "0x80370109" {
		t.Errorf("journal: %+v", got)
	}
	calls = x.Since(func() { b.Create() })
	if len(calls.Good().Named("HcsCreateComputeSystem")) != 1 || len(calls.About(x.ID).HCS()) == 0 {
		t.Errorf("journal: %s", calls)
	}
}

func TestWithoutWine(t *testing.T) {
	const coverage = "error: coverage meta-data emit failed: Access denied.\n"
	for text, want := range map[string]string{
		"one\n\ntwo\n":                   "one\n\ntwo\n",
		coverage + "\none\n\n":           "one\n\n",
		"one\n" + coverage + coverage:    "one\n",
		"wine client error:1\n\none\n":   "\none\n",
		coverage + "\n\none\n" + "two\n": "\none\ntwo\n",
	} {
		if got := withoutWine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
