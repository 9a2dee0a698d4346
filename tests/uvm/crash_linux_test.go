package uvm

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCreateIsKilled: whenever wrun create dies, delete --force returns 0, and
// soon afterwards nothing is left.
func TestCreateIsKilled(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.save()
	r.crash(20, r.usual())
}

// TestTemplateIsKilled: the same while it makes a template; the next create makes
// it anew.
func TestTemplateIsKilled(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.copyImage() // of which there is none
	r.save()
	r.crash(6, time.Second)
	r.ok("create", r.id)
	r.ok("delete", "--force", r.id)
}

// usual is what a create takes just now.
func (r *rig) usual() time.Duration {
	r.Helper()
	r.ok("create", r.id) // the template's
	r.ok("delete", "--force", r.id)
	begun := time.Now()
	r.ok("create", r.id)
	took := time.Since(begun)
	r.ok("delete", "--force", r.id)
	return took
}

// crash kills creates at moments spread over most.
func (r *rig) crash(times int, most time.Duration) {
	r.Helper()
	begun, late := time.Now(), 0
	for i := range times {
		after := most*time.Duration(i)/time.Duration(times) + rand.N(most/time.Duration(times))
		cmd, done := r.command("create", r.id)
		r.must(cmd.Start())
		time.Sleep(after) // the moment is what is tested
		_ = cmd.Process.Kill()
		if res := done(cmd.Wait()); res.code == 0 {
			late++
		}
		if i%2 == 0 {
			if res := r.wrun("state", r.id); res.code != 0 && res.code != 1 || res.took > 5*time.Second {
				r.Errorf("state of a create killed after %v: %s", after, res)
			}
		}
		if res := r.wrun("delete", "--force", r.id); res.code != 0 || res.took > 15*time.Second {
			r.Errorf("delete --force of a create killed after %v: %s", after, res)
		}
		r.within(5*time.Second, "end of all processes", func() bool { return len(r.processes()) == 0 })
		if left := r.cgroups(); len(left) > 0 {
			r.Errorf("left after a create killed after %v: %v", after, left)
		}
		if r.Failed() {
			return
		}
	}
	r.Logf("%d creates of %v killed in %v, %d had ended", times, most.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), late)
}

// TestSignalsDuringCreate: a system call of the monitor's that a signal interrupts
// is made again; Go's own scheduler sends it such signals at any moment.
func TestSignalsDuringCreate(t *testing.T) {
	r := newRig(t, "true")
	r.output() // now there is a template
	for range 4 {
		r.save()
		cmd, done := r.command("run", r.id)
		r.must(cmd.Start())
		var over atomic.Bool
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			monitor := 0
			for !over.Load() {
				if monitor == 0 {
					for _, p := range r.processes() {
						if p.kind == "monitor" {
							monitor = p.pid
						}
					}
					continue
				}
				threads, err := os.ReadDir(proc{pid: monitor}.file("task"))
				if err != nil {
					return // it has ended
				}
				for _, thread := range threads {
					id, _ := strconv.Atoi(thread.Name())
					for range 3 {
						_ = unix.Tgkill(monitor, id, syscall.SIGURG)
					}
				}
			}
		}()
		res := done(cmd.Wait())
		over.Store(true)
		<-stopped
		switch {
		case strings.Contains(res.err, "map backing store"):
			r.Errorf("a signal makes QEMU's opening of its memory answer with descriptor 0: %s", res.err)
		case res.code != 0 || res.err != "":
			t.Errorf("%s", res)
		}
	}
}
