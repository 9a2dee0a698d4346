package uvm

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// bounded calls wrun and holds it to a time.
func (r *rig) bounded(most time.Duration, args ...string) result {
	r.Helper()
	res := r.wrun(args...)
	r.Logf("%s: exit code %d after %v %s", args[0], res.code, res.took.Round(time.Millisecond), strings.TrimSpace(short(res.err)))
	if res.took > most {
		r.Errorf("%v took longer than %v: %s", args, most, res)
	}
	return res
}

// gone is what must hold when a VM has died, and afterwards.
func (r *rig) gone() {
	r.Helper()
	r.within(time.Second, "state says stopped", r.stopped)
	for _, args := range [][]string{{"kill", r.id, "TERM"}, {"exec", r.id, "true"}, {"pause", r.id}, {"events", "--stats", r.id}} {
		if res := r.bounded(5*time.Second, args...); res.code == 0 || res.err == "" {
			r.Errorf("%v of a dead container: %s", args, res)
		}
	}
	r.deleted()
}

// deleted removes the container by force; at once nothing of it may be left.
func (r *rig) deleted() {
	r.Helper()
	if res := r.bounded(15*time.Second, "delete", "--force", r.id); res.code != 0 {
		r.Errorf("delete --force: %s", res)
	}
	if left := r.processes(); len(left) > 0 {
		r.Errorf("right after delete: %v", left)
	}
}

// TestDeaths: whatever process of a container dies, the container has ended and
// can be deleted, and who waits for it has its exit code.
func TestDeaths(t *testing.T) {
	for _, kind := range []string{"qemu", "monitor"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, "sleep", "1000")
			r.start()
			r.must(syscall.Kill(r.the(kind).pid, syscall.SIGKILL))
			r.gone()
			_, wait := r.running("echo up; sleep 1000")
			begun := time.Now()
			r.must(syscall.Kill(r.the(kind).pid, syscall.SIGKILL))
			if res := wait(); res.code != 137 {
				t.Errorf("run: %s", res)
			}
			t.Logf("run ended after %v", time.Since(begun).Round(time.Millisecond))
		})
	}
	t.Run("with an exec", func(t *testing.T) {
		r := newRig(t, "sleep", "1000")
		r.start()
		cmd, done := r.command(append([]string{"exec", r.id}, sh("echo up >/tmp/up; sleep 1000")...)...)
		r.must(cmd.Start())
		r.until("the exec", func() bool { return r.exists("tmp/up") })
		r.must(syscall.Kill(r.the("qemu").pid, syscall.SIGKILL))
		if res := done(cmd.Wait()); res.code != 137 {
			t.Errorf("exec: %s", res)
		}
		r.gone()
	})
	t.Run("created only", func(t *testing.T) {
		r := newRig(t, "sleep", "1000")
		r.save()
		r.ok("create", r.id)
		r.must(syscall.Kill(r.the("qemu").pid, syscall.SIGKILL))
		r.gone()
	})
}

// TestFileServerDies: without its files a container may fail in any way, but it
// can be killed and deleted.
func TestFileServerDies(t *testing.T) {
	for _, last := range []string{"kill", "delete"} {
		t.Run(last, func(t *testing.T) {
			r := newRig(t, sh("while :; do ls /mnt >/dev/null; sleep 0.1; done")...)
			r.start()
			r.must(syscall.Kill(r.the("files").pid, syscall.SIGKILL))
			r.bounded(2*time.Second, "state", r.id)
			if last == "kill" {
				r.bounded(10*time.Second, "kill", r.id, "KILL")
				r.within(10*time.Second, "state says stopped", r.stopped)
			}
			r.deleted()
		})
	}
}

// TestPanic: a container that may do everything can end its kernel; that is the
// container's end and nothing else's.
func TestPanic(t *testing.T) {
	r := newRig(t, sh("echo up; exec sleep 1000")...)
	r.privileged()
	_, wait := r.running("echo up; echo c >/proc/sysrq-trigger; sleep 1000")
	if res := wait(); res.code != 137 || res.took > 20*time.Second {
		t.Errorf("run: %s", res)
	}
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	begun := time.Now()
	res := r.wrun(append([]string{"exec", r.id}, sh("echo c >/proc/sysrq-trigger; sleep 1000")...)...)
	if res.code != 137 {
		t.Errorf("exec: %s", res)
	}
	t.Logf("the exec ended after %v", time.Since(begun).Round(time.Millisecond))
	r.gone()
}

// privileged gives the container all that root has.
func (r *rig) privileged() {
	all := []string{"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME"}
	c := r.spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		*set = append((*set)[:len(*set):len(*set)], all...)
	}
}

// TestPowerOff: a container that turns its machine off has ended, too.
func TestPowerOff(t *testing.T) {
	r := newRig(t, sh("echo up; echo o >/proc/sysrq-trigger; sleep 30")...)
	r.privileged()
	if res := r.run(); res.code != 137 || res.took > 20*time.Second {
		t.Errorf("run: %s", res)
	}
}

// TestHangs: a VM that does not answer keeps nobody for long.
func TestHangs(t *testing.T) {
	hang := func(t *testing.T) *rig {
		t.Parallel() // they only wait
		r := newRig(t, "sleep", "1000")
		r.start()
		r.must(syscall.Kill(r.the("qemu").pid, syscall.SIGSTOP))
		return r
	}
	t.Run("kill", func(t *testing.T) {
		r := hang(t)
		if res := r.bounded(2*time.Second, "state", r.id); res.code != 0 {
			t.Errorf("state: %s", res)
		}
		r.bounded(2*time.Second, "list")
		if res := r.bounded(10*time.Second, "kill", r.id, "KILL"); res.code != 0 {
			t.Errorf("kill: %s", res)
		}
		r.gone()
	})
	t.Run("delete", func(t *testing.T) { hang(t).deleted() })
	t.Run("what needs an answer", func(t *testing.T) {
		r := hang(t)
		var both sync.WaitGroup
		for _, args := range [][]string{{"kill", r.id, "TERM"}, {"pause", r.id}} {
			both.Go(func() {
				cmd, done := r.command(args...)
				if res := done(cmd.Run()); res.code == 0 || res.err == "" || res.took > 15*time.Second {
					t.Errorf("%v: %s", args, res)
				}
			})
		}
		both.Wait()
		r.must(syscall.Kill(r.the("qemu").pid, syscall.SIGCONT))
		cmd, done := r.command(append([]string{"exec", r.id}, sh("echo on")...)...)
		r.must(cmd.Start())
		late := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		res := done(cmd.Wait())
		if status := r.state(r.id).Status; !late.Stop() {
			r.Errorf("a pause that failed pauses the VM when it goes on, and its status is %s", status)
		}
		r.equal("when it goes on", res.out, "on")
	})
	t.Run("the monitor", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "sleep", "1000")
		r.start()
		pid := r.the("monitor").pid
		r.must(syscall.Kill(pid, syscall.SIGSTOP))
		late := time.AfterFunc(12*time.Second, func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		res := r.wrun("delete", "--force", r.id)
		if res.code != 0 {
			t.Errorf("delete --force: %s", res)
		}
		if !late.Stop() {
			r.Errorf("delete --force waits a minute for the answer of a monitor that is stopped")
		}
	})
}

// TestStarvedAgent: a container with all that root has cannot stop the agent, but
// can take the VM's only processor for itself.
func TestStarvedAgent(t *testing.T) {
	r := newRig(t)
	r.privileged()
	r.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 99}
	run, wait := r.running("echo -1 >/proc/sys/kernel/sched_rt_runtime_us || exit; echo up; sleep 1; while :; do :; done")
	time.Sleep(2 * time.Second)
	if res := r.bounded(2*time.Second, "state", r.id); res.code != 0 {
		t.Errorf("state: %s", res)
	}
	if res := r.bounded(15*time.Second, "kill", r.id, "TERM"); res.code == 0 || !strings.Contains(res.err, "does not answer") {
		t.Errorf("a signal that the agent would have to give: %s", res)
	}
	if res := r.bounded(10*time.Second, "kill", r.id, "KILL"); res.code != 0 {
		t.Errorf("kill: %s", res)
	}
	if res := wait(); res.code != 137 {
		t.Errorf("run, process %d: %s", run, res)
	}
}
