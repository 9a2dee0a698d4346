package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wrun/tests/unified/order"
)

func TestMain(m *testing.M) {
	Share()
	os.Exit(m.Run())
}

// in runs a shell script in the machine until it ends or said is told so.
func in(t *testing.T, script string, said func(stdout string) (enough bool)) (code int, stdout, stderr string, err error) {
	t.Helper()
	if why := WhyNot(); why != "" {
		t.Skip(why)
	}
	module, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs strings.Builder
	code, err = Run(ctx, module, order.Order{
		Argv: []string{"sh", "-c", script}, Dir: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH"), "WORD=given"},
	}, writer(func(b []byte) {
		out.Write(b)
		if said != nil && said(out.String()) {
			cancel()
		}
	}), &errs)
	return code, out.String(), errs.String(), err
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// TestRun: what the machine is, and that a program's ways of telling something
// get out of it while what it writes does not.
func TestRun(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	code, out, errs, err := in(t, `stat -fc %T /sys/fs/cgroup; cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.controllers
echo $WORD >`+mark+`; cat `+mark+`; head -c 300000 /dev/zero | tr '\0' x >&2; exit 7`, nil)
	if err != nil || code != 7 || out != "cgroup2fs\n0::/tests/session\ncpuset cpu io memory hugetlb pids rdma misc\ngiven\n" {
		t.Errorf("code %d, %v, output:\n%s", code, err, out)
	}
	if len(errs) != 300000 || strings.Trim(errs, "x") != "" {
		t.Errorf("%d bytes on standard error, want 300000", len(errs))
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the host has the machine's file: %v", err)
	}
}

// TestNoAnswer: a machine that hangs or dies is an error that shows its console.
func TestNoAnswer(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"hangs", "echo '<0>last words' >/dev/kmsg; echo ready; sleep 1000", "context canceled"},
		{"dies", "echo '<0>last words' >/dev/kmsg; echo c >/proc/sysrq-trigger", "sysrq triggered crash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, _, err := in(t, c.script, func(said string) bool { return strings.Contains(said, "ready") })
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "last words") {
				t.Errorf("got %v", err)
			}
		})
	}
}
