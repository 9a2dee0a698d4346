package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"wrun": main})
}

// TestScript runs tests/script/*.txt through the real main. Each file is a
// description of what wrun does that happens to be checked. Besides the
// commands of testscript there are
//
//	rc N command…        run a command that must exit with code N
//	apart N command…     the same with its streams in the files out and err: a
//	                     container keeps them open, and pipes would be waited for
//	until REGEXP cmd…    run a command until its output matches, for 10 s
//	bundle DIR ARG…      make a bundle over nothing but busybox; its program is the arguments
//	lines FILE N         the file must have N lines
//
// the condition [silo], containers can be run here, and in the environment
// ROOT, a state root, and C, which container ids start with.
func TestScript(t *testing.T) {
	runScripts(t, testscript.Params{Dir: "tests/script"})
}

func runScripts(t *testing.T, p testscript.Params, edit ...func(*bundleConfig)) {
	makeBundle := func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: bundle directory program [argument…]")
		}
		ts.Check(writeBundle(ts.MkAbs(args[0]), args[1:], edit...))
	}
	testscript.Run(t, testscript.Params{
		Dir: p.Dir, Files: p.Files,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rc": exitsWith, "apart": apart, "until": until, "bundle": makeBundle, "lines": countLines,
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
			root := filepath.Join(e.WorkDir, "state")
			e.Setenv("ROOT", root)
			// The default cgroup is named after the id, for all state roots.
			e.Setenv("C", fmt.Sprintf("wrun-test-%d-%s", os.Getpid(), filepath.Base(e.WorkDir)))
			e.Defer(func() { removeContainers(t, root) })
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

func apart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: apart code command [argument…]")
	}
	exitsWith(ts, neg, append([]string{args[0], "sh", "-c", `exec "$@" </dev/null >out 2>err`, "sh"}, args[1:]...))
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until regexp command [argument…]")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no match for %q in 10 s", args[0])
		}
	}
}

// removeContainers is for scripts that failed half way.
func removeContainers(t *testing.T, root string) {
	left, _ := os.ReadDir(root)
	for _, c := range left {
		cmd := exec.Command("wrun", "--root", root, "delete", "--force", c.Name())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("delete --force %s: %v: %s", c.Name(), err, out)
		}
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
