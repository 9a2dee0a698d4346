package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"wrun": main})
}

// TestScript runs tests/script/*.txt through the real main. Each file is a
// description of what wrun does that happens to be checked. Besides the
// commands of testscript there are
//
//	rc N command…    run a command that must exit with code N
//	bundle DIR ARG…  make a bundle of busybox; its program is the arguments
//	lines FILE N     the file must have N lines
//
// and the condition [silo]: containers can be run here.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "tests/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rc": exitsWith, "bundle": makeBundle, "lines": countLines,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "silo" {
				return false, errors.New("unknown condition")
			}
			reason := noSilo()
			if reason != "" {
				t.Logf("no containers here: %s", reason)
			}
			return reason == "", nil
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", filepath.Join(e.WorkDir, "state"))
			return nil
		},
	})
}

// noSilo says why this machine cannot run containers.
func noSilo() string {
	if os.Geteuid() != 0 {
		return "not root"
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		return err.Error()
	}
	return ""
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: rc code command [argument…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func countLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file count")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}

// makeBundle writes what `wrun spec` writes, with the program exchanged and
// without a terminal, over a root file system with nothing but busybox.
func makeBundle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: bundle directory program [argument…]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(writeBundle(dir, args[1:]))
}
