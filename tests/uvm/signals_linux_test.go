package uvm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trapping says when it listens, and ends with a code of its own.
const trapping = "trap 'exit 42' TERM; echo up; while :; do sleep 0.02; done"

// running starts `wrun run` of a script and waits until it says something.
func (r *rig) running(script string) (pid int, wait func() result) {
	r.Helper()
	r.spec.Process.Args = sh(script)
	r.save()
	cmd, done := r.command("run", r.id)
	r.must(cmd.Start())
	name := cmd.Stdout.(*os.File).Name()
	r.until("output of the container", func() bool { return r.read(name) != "" })
	return cmd.Process.Pid, func() result { return done(cmd.Wait()) }
}

// TestSignals: a signal has the effect that it has on the host, whichever way it
// comes.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(r *rig, run int)
		code int
	}{
		{"TERM by name", func(r *rig, _ int) { r.ok("kill", r.id, "TERM") }, 42},
		{"SIGTERM by full name", func(r *rig, _ int) { r.ok("kill", r.id, "SIGTERM") }, 42},
		{"TERM by number", func(r *rig, _ int) { r.ok("kill", r.id, "15") }, 42},
		{"KILL", func(r *rig, _ int) { r.ok("kill", r.id, "KILL") }, 137},
		{"KILL to all", func(r *rig, _ int) { r.ok("kill", "--all", r.id, "9") }, 137},
		{"TERM to the state's pid", func(r *rig, _ int) { r.must(syscall.Kill(r.state(r.id).Pid, syscall.SIGTERM)) }, 42},
		{"KILL to the state's pid", func(r *rig, _ int) { r.must(syscall.Kill(r.state(r.id).Pid, syscall.SIGKILL)) }, 137},
		{"TERM to wrun run", func(r *rig, run int) { r.must(syscall.Kill(run, syscall.SIGTERM)) }, 42},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			run, wait := r.running(trapping)
			begun := time.Now()
			c.send(r, run)
			if res := wait(); res.code != c.code {
				t.Errorf("want exit code %d: %s", c.code, res)
			}
			t.Logf("ended after %v", time.Since(begun).Round(time.Millisecond))
		})
	}
}

// TestDetachedExec: its pid is a host process that ends with the exec's code,
// and whose signals the exec gets.
func TestDetachedExec(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	// Who waits for it is the nearest subreaper, as conmon and a shim are.
	r.must(subreaper(true))
	defer func() { r.must(subreaper(false)) }()
	detached := func(script string) int {
		t.Helper()
		file := filepath.Join(r.dir, "exec.pid")
		r.ok(append([]string{"exec", "-d", "--pid-file", file, r.id}, sh(script)...)...)
		pid, err := strconv.Atoi(strings.TrimSpace(r.read(file)))
		r.must(err)
		return pid
	}
	if code := r.wait4(detached("sleep 0.1; exit 33")); code != 33 {
		t.Errorf("exit code %d, want 33", code)
	}
	pid := detached("trap 'exit 44' TERM; echo up >/tmp/up; while :; do sleep 0.02; done")
	r.until("the trap", func() bool { return r.exists("tmp/up") })
	r.must(syscall.Kill(pid, syscall.SIGTERM))
	if code := r.wait4(pid); code != 44 {
		t.Errorf("exit code %d after TERM, want 44", code)
	}
	pid = detached("sleep 1000")
	r.ok("delete", "--force", r.id)
	if code := r.wait4(pid); code != 137 {
		t.Errorf("exit code %d after the container's end, want 137", code)
	}
}

// wait4 waits for a process that this one has become the parent of.
func (r *rig) wait4(pid int) (code int) {
	r.Helper()
	var st syscall.WaitStatus
	r.until(fmt.Sprintf("end of process %d", pid), func() bool {
		got, err := syscall.Wait4(pid, &st, syscall.WNOHANG, nil)
		if err != nil && err != syscall.EINTR {
			r.Fatalf("wait for process %d: %v", pid, err)
		}
		return got == pid
	})
	if st.Signaled() {
		return 128 + int(st.Signal())
	}
	return st.ExitStatus()
}

// TestCreatedExits: an engine that created a container waits for the pid of
// --pid-file and has its exit code.
func TestCreatedExits(t *testing.T) {
	r := newRig(t, sh("exit 55")...)
	r.save()
	r.must(subreaper(true))
	defer func() { r.must(subreaper(false)) }()
	r.ok("create", r.id)
	pid := r.state(r.id).Pid
	r.ok("start", r.id)
	if code := r.wait4(pid); code != 55 {
		t.Errorf("exit code %d, want 55", code)
	}
	r.ok("delete", r.id)
}
