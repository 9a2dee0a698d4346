package uvm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestSameAsSilo: what a program prints and how it ends does not tell where it
// ran.
func TestSameAsSilo(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"both streams and a code", "echo out; echo err >&2; exit 7"},
		{"nothing", ":"},
		{"itself", "id; pwd; hostname; env | sort; echo $$; umask; cat /proc/self/cmdline | tr '\\0' ' '"},
		{"its root", "ls -1 /; ls -1 /dev | sort; cat /proc/mounts | wc -l"},
		{"a signal of its own", "kill -SEGV $$"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh(c.script)...)
			in := r.run()
			r.inSilo()
			out := r.run()
			t.Logf("utility VM %v, silo %v", in.took.Round(time.Millisecond), out.took.Round(time.Millisecond))
			in.took, out.took = 0, 0
			if in != out {
				t.Errorf("in a utility VM: %s\nin a silo: %s", in, out)
			}
		})
	}
}

// TestLifeCycle: every command of an engine, on one container.
func TestLifeCycle(t *testing.T) {
	r := newRig(t, sh("echo up >/tmp/up; trap 'exit 3' TERM; while :; do sleep 0.05; done")...)
	r.save()
	status := func(want specs.ContainerState) {
		t.Helper()
		if s := r.state(r.id); s.Status != want || s.Bundle != r.dir || (s.Pid == 0) != (want == "stopped") {
			t.Errorf("state %+v, want %s", s, want)
		}
	}
	pidFile := filepath.Join(r.dir, "pid")
	r.ok("create", "--pid-file", pidFile, r.id)
	status("created")
	if r.exists("tmp/up") {
		t.Error("the program ran before start")
	}
	r.equal("pid file", r.read(pidFile), fmt.Sprint(r.state(r.id).Pid))
	if res := r.wrun("delete", r.id); res.code == 0 {
		t.Errorf("delete of a created container (runtime.md, Delete): %s", res)
	}
	r.ok("start", r.id)
	status("running")
	r.until("program", func() bool { return r.exists("tmp/up") })
	for _, args := range [][]string{{"start", r.id}, {"create", r.id}, {"delete", r.id}, {"resume", r.id}, {"kill", r.id, "NOSUCH"}} {
		if res := r.wrun(args...); res.code != 1 || res.err == "" {
			t.Errorf("%v: %s", args, res)
		}
	}
	var list []struct {
		ID, Status string
		Pid        int
	}
	r.must(json.Unmarshal([]byte(r.ok("list", "--format", "json")), &list))
	if len(list) != 1 || list[0].ID != r.id || list[0].Status != "running" {
		t.Errorf("list: %+v", list)
	}
	if out := r.ok("ps", r.id); !strings.Contains(out, "sh") {
		t.Errorf("ps: %s", out)
	}
	var pids []int
	r.must(json.Unmarshal([]byte(r.ok("ps", "--format", "json", r.id)), &pids))
	if len(pids) < 1 {
		t.Errorf("ps --format json: %v", pids)
	}
	r.equal("exec", r.inside("echo $((6*7))"), "42")
	var event struct {
		Type string
		Data struct {
			CPU struct {
				Usage struct{ Total uint64 }
			}
			Memory struct {
				Usage struct{ Usage uint64 }
			}
			Pids struct{ Current uint64 }
		}
	}
	r.must(json.Unmarshal([]byte(r.ok("events", "--stats", r.id)), &event))
	if event.Type != "stats" || event.Data.CPU.Usage.Total == 0 || event.Data.Memory.Usage.Usage == 0 || event.Data.Pids.Current == 0 {
		t.Errorf("events --stats: %+v", event)
	}
	r.ok("update", "--pids-limit", "77", r.id)
	r.ok("pause", r.id)
	status("paused")
	if res := r.wrun("exec", r.id, "true"); res.code != 255 || res.took > 10*time.Second {
		t.Errorf("exec in a paused container: %s", res)
	}
	r.ok("resume", r.id)
	status("running")
	r.equal("exec after resume", r.inside("echo on"), "on")
	r.ok("kill", r.id)
	r.until("end", r.stopped)
	status("stopped")
	if res := r.wrun("kill", r.id); !strings.Contains(res.err, "container not running") {
		t.Errorf("kill of a stopped container: %s", res)
	}
	r.ok("delete", r.id)
	if res := r.wrun("state", r.id); res.code != 1 || !strings.Contains(res.err, "does not exist") {
		t.Errorf("state after delete: %s", res)
	}
	r.ok("delete", "--force", r.id)
}

// TestStateWhileEnding: a container that is killed goes from running to stopped,
// whenever somebody looks.
func TestStateWhileEnding(t *testing.T) {
	for range 4 {
		r := newRig(t, "sleep", "1000")
		r.start()
		killed := make(chan result, 1)
		go func() { killed <- r.wrun("kill", r.id, "KILL") }()
		r.until("end", func() bool {
			s := r.state(r.id)
			if s.Status != specs.StateRunning && s.Status != specs.StateStopped {
				t.Errorf("it is %s", s.Status)
			}
			return s.Status == specs.StateStopped
		})
		if res := <-killed; res.code != 0 {
			t.Errorf("kill: %s", res)
		}
		r.ok("delete", r.id)
	}
}

// exists looks into the root file system from the host.
func (r *rig) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(r.rootfs, name))
	return err == nil
}

// TestPaused: the container's clock stands, and it can be killed all the same.
func TestPaused(t *testing.T) {
	r := newRig(t, sh("while :; do echo x >>/tmp/beat; usleep 20000; done")...)
	r.start()
	size := func() int64 {
		st, err := os.Stat(filepath.Join(r.rootfs, "tmp/beat"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	r.until("beats", func() bool { return size() > 2 })
	r.ok("pause", r.id)
	before := size()
	time.Sleep(300 * time.Millisecond) // a time in which it would have beaten often
	if after := size(); after > before+2 {
		t.Errorf("%d beats while paused", (after-before)/2)
	}
	r.ok("kill", r.id, "KILL")
	r.until("end", r.stopped)
	r.ok("delete", r.id)
}

// TestExitCodes: all of them come out, of a container and of an exec.
func TestExitCodes(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	for _, code := range []int{0, 1, 42, 255} {
		r.spec.Process.Args = sh(fmt.Sprintf("exit %d", code))
		if res := r.run(); res.code != code || res.err != "" {
			t.Errorf("run, exit %d: %s", code, res)
		}
	}
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	begun := time.Now()
	codes := make(chan int)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for code := range codes {
				cmd, done := r.command(append([]string{"exec", r.id}, sh(fmt.Sprintf("exit %d", code))...)...)
				if res := done(cmd.Run()); res.code != code || res.err != "" {
					t.Errorf("exec, exit %d: %s", code, res)
				}
			}
		})
	}
	for code := range 256 {
		codes <- code
	}
	close(codes)
	callers.Wait()
	t.Logf("256 execs, 4 at once: %v", time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	r.ok("exec", r.id, "true")
	t.Logf("one exec: %v", time.Since(begun).Round(time.Millisecond))
}

// TestMany: one after another, and four at once; none is lost, nothing is left.
func TestMany(t *testing.T) {
	r := newRig(t, sh("echo $$ $(hostname)")...)
	begun := time.Now()
	const inTurn, callers, each = 20, 4, 2
	for i := range inTurn {
		if res := r.run(); res.code != 0 || res.out != "1 inside\n" || res.err != "" {
			t.Errorf("%d: %s", i, res)
		}
		if left := r.processes(); len(left) > 0 {
			t.Errorf("%d: right after run: %v", i, left)
		}
		if left := r.cgroups(); len(left) > 0 {
			t.Errorf("%d: right after run: %v", i, left)
		}
	}
	t.Logf("%d one after another: %v", inTurn, time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	r.spec.Linux.CgroupsPath = "" // by the id
	r.save()
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			for i := range each {
				cmd, done := r.command("run", fmt.Sprintf("%s-%d-%d", r.id, n, i))
				if res := done(cmd.Run()); res.code != 0 || res.out != "1 inside\n" || res.err != "" {
					t.Errorf("%d-%d: %s", n, i, res)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d, %d at once: %v", callers*each, callers, time.Since(begun).Round(time.Millisecond))
}

// TestKernelParameters: also those that the kernel does not know, which it hands
// to its first process.
func TestKernelParameters(t *testing.T) {
	r := newRig(t, "cat", "/proc/cmdline")
	r.spec.VM = &specs.VM{Kernel: specs.VMKernel{Path: r.image + "/kernel", InitRD: r.image + "/initrd", Parameters: []string{"nokaslr", "template", "ipv6.disable=1"}}}
	for _, template := range []string{"off", "auto"} {
		if res := r.run("--uvm-template", template); res.code != 0 || !strings.Contains(res.out, " nokaslr template ipv6.disable=1 ") {
			t.Errorf("template %s: %s", template, res)
		}
	}
}
