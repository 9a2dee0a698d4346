package silo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLifeCycle(t *testing.T) {
	r := newRig(t, sh("echo up >/tmp/up; trap 'exit 0' TERM; while :; do sleep 0.05; done")...)
	r.save()
	status := func(want specs.ContainerState) {
		t.Helper()
		if s := r.state(r.id); s.Status != want || s.Bundle != r.dir || (s.Pid == 0) != (want == "stopped") {
			t.Errorf("state %+v, want %s", s, want)
		}
	}
	r.ok("create", r.id)
	status("created")
	if _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); err == nil {
		t.Error("the program ran before start")
	}
	if res := r.wrun("delete", r.id); res.code == 0 {
		t.Errorf("delete of a created container (runtime.md, Delete): %s", res)
	}
	r.ok("start", r.id)
	status("running")
	r.until("program", func() bool { _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); return err == nil })
	for _, args := range [][]string{{"start", r.id}, {"create", r.id}, {"delete", r.id}, {"resume", r.id}, {"kill", r.id, "NOSUCH"}} {
		if res := r.wrun(args...); res.code != 1 || res.err == "" {
			t.Errorf("%v: %s", args, res)
		}
	}
	status("running")
	r.ok("kill", r.id)
	r.until("end", func() bool { return r.state(r.id).Status == "stopped" })
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

// TestKillAll: without a pid namespace the others live on when init ends.
func TestKillAll(t *testing.T) {
	r := newRig(t, sh("sleep 97 & sleep 97 & echo up >/tmp/up; exec sleep 96")...)
	r.without(specs.PIDNamespace)
	r.start()
	r.until("children", func() bool { _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); return err == nil })
	r.ok("exec", "-d", r.id, "sleep", "95")
	if n := len(r.processes()); n != 4 {
		t.Errorf("%d processes: %v", n, r.processes())
	}
	r.ok("kill", "--all", r.id, "KILL")
	r.until("end of all", func() bool { return len(r.processes()) == 0 && r.state(r.id).Status == "stopped" })
	r.ok("delete", r.id)
}

// TestDeleteForceKillsAll: what init left behind goes, too.
func TestDeleteForceKillsAll(t *testing.T) {
	for _, shared := range []bool{false, true} {
		r := newRig(t, sh("(setsid sleep 97 &) ; (trap '' TERM INT HUP; sleep 97 &); echo up >/tmp/up; exec sleep 96")...)
		if shared {
			r.without(specs.PIDNamespace)
		}
		r.start()
		r.until("children", func() bool { _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); return err == nil })
		r.ok("delete", "--force", r.id)
		if left := r.processes(); len(left) > 0 {
			t.Errorf("shared %v: right after delete: %v", shared, left)
		}
	}
}

// TestParallel: four callers make twenty containers; none is lost, no two are
// one, and list shows each.
func TestParallel(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.spec.Linux.CgroupsPath = "" // by the id
	r.save()
	const callers, each = 4, 5
	failed := make(chan string, callers)
	id := func(n, i int) string { return fmt.Sprintf("%s-%d-%d", r.id, n, i) }
	for n := range callers {
		go func() {
			for i := range each {
				for _, args := range [][]string{{"create", id(n, i)}, {"start", id(n, i)}} {
					cmd, done := r.command(args...)
					if res := done(cmd.Run()); res.code != 0 {
						failed <- fmt.Sprint(args, res)
						return
					}
				}
			}
			failed <- ""
		}()
	}
	for range callers {
		if why := <-failed; why != "" {
			t.Error(why)
		}
	}
	var list []struct {
		ID, Status string
		Pid        int
	}
	r.must(json.Unmarshal([]byte(r.ok("list", "--format", "json")), &list))
	pids := map[int]bool{}
	for _, c := range list {
		pids[c.Pid] = true
		if c.Status != "running" {
			t.Errorf("%+v", c)
		}
	}
	if len(list) != callers*each || len(pids) != callers*each {
		t.Errorf("%d containers, %d processes: %+v", len(list), len(pids), list)
	}
	for n := range callers {
		go func() {
			for i := range each {
				cmd, done := r.command("delete", "--force", id(n, i))
				if res := done(cmd.Run()); res.code != 0 {
					failed <- res.String()
					return
				}
			}
			failed <- ""
		}()
	}
	for range callers {
		if why := <-failed; why != "" {
			t.Error(why)
		}
	}
}

// TestSameID: of several that create the same id at once exactly one succeeds.
func TestSameID(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.save()
	const callers = 6
	codes := make(chan result, callers)
	for range callers {
		go func() {
			cmd, done := r.command("create", r.id)
			codes <- done(cmd.Run())
		}()
	}
	succeeded := 0
	for range callers {
		if res := <-codes; res.code == 0 {
			succeeded++
		} else if !strings.Contains(res.err, "already exists") && !strings.Contains(res.err, "cgroup") {
			t.Errorf("%s", res)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d of %d succeeded", succeeded, callers)
	}
	if s := r.state(r.id); s.Status != "created" {
		t.Errorf("%+v", s)
	}
}

// TestFailingStart: whatever step fails, create's error names it and nothing
// is left.
func TestFailingStart(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(r *rig)
		want string
	}{
		{"mount of an unknown file system", func(r *rig) { r.mount(specs.Mount{Destination: "/x", Type: "nosuchfs", Source: "x"}) }, "mounts[3] /x"},
		{"mount option the file system refuses", func(r *rig) {
			r.mount(specs.Mount{Destination: "/x", Type: "tmpfs", Source: "x", Options: []string{"nosuch=1"}})
		}, "mounts[3] /x"},
		{"directory onto a file", func(r *rig) {
			r.write("rootfs/file", "")
			r.write("src/a", "")
			r.mount(specs.Mount{Destination: "/file", Source: "src", Options: []string{"bind"}})
		}, "mounts[3] /file"},
		{"missing source", func(r *rig) { r.mount(specs.Mount{Destination: "/x", Source: "/no/such", Options: []string{"bind"}}) }, "/no/such"},
		{"unknown sysctl", func(r *rig) { r.spec.Linux.Sysctl = map[string]string{"net.no.such": "1"} }, "net.no.such"},
		{"bad value of a sysctl", func(r *rig) { r.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "x"} }, "net.ipv4.ip_forward"},
		{"cwd is a file", func(r *rig) { r.write("rootfs/file", ""); r.spec.Process.Cwd = "/file" }, "chdir to cwd"},
		{"limit above the machine's", func(r *rig) {
			if r.mayGrant("CAP_SYS_RESOURCE", 24) {
				r.Skip("this machine lets root raise limits")
			}
			r.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 30, Hard: 1 << 30}}
		}, "error setting rlimits"},
		{"resource director of a machine without one", func(r *rig) {
			if data, _ := os.ReadFile("/proc/filesystems"); strings.Contains(string(data), "resctrl") {
				r.Skip("this machine has one")
			}
			r.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"}
		}, "linux.intelRdt: this kernel has no resctrl file system"},
		{"root is not there", func(r *rig) { r.spec.Root.Path = "nosuch" }, "nosuch"},
		{"cgroup path that leaves", func(r *rig) { r.spec.Linux.CgroupsPath = "../../x" }, "cgroupsPath"},
		{"device on a path that is a file", func(r *rig) {
			r.write("rootfs/file", "")
			r.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/file/x", Type: "c", Major: 1, Minor: 3}}
		}, "linux.devices[0]"},
		{"pid in a joined namespace that is gone", func(r *rig) { r.with(specs.PIDNamespace, "/proc/999999999/ns/pid") }, "/proc/999999999/ns/pid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			c.edit(r)
			r.refused(c.want)
		})
	}
}

// TestKillWithoutPidNamespace: KILL is for all processes of a container whose
// first one takes nobody with it, also when that is gone already.
func TestKillWithoutPidNamespace(t *testing.T) {
	for _, name := range []string{"first lives", "first is gone"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "sleep", "100")
			r.without(specs.PIDNamespace)
			pid := r.start()
			for range 2 {
				r.ok("exec", "--detach", r.id, "sleep", "99")
			}
			if name == "first is gone" {
				r.must(unix.Kill(pid, unix.SIGKILL))
				r.until("the first one's end", func() bool { return r.state(r.id).Status == "stopped" })
				if res := r.wrun("kill", r.id, "TERM"); res.code == 0 || !strings.Contains(res.err, "container not running") {
					t.Errorf("TERM: %s", res)
				}
			}
			r.ok("kill", r.id, "KILL")
			r.until("the end of all", func() bool { return len(r.processes()) == 0 })
		})
	}
}

// TestOOMEvent: a process that is killed for want of memory is an event.
func TestOOMEvent(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.need("memory")
	limit := int64(16 << 20)
	r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"); err == nil {
		r.spec.Linux.Resources.Memory.Swap = &limit
	}
	r.start()
	cmd, done := r.command("events", "--interval", "1h", r.id)
	out := cmd.Stdout.(*os.File)
	r.must(cmd.Start())
	r.until("the first line", func() bool { return strings.Contains(r.read(out.Name()), `"stats"`) })
	// The watch begins behind the first line and says nothing when it stands.
	r.until("oom", func() bool {
		r.wrun("exec", r.id, "sh", "-c", `x=$(tail -c 40m /dev/zero | tr '\0' a)`)
		return strings.Contains(r.read(out.Name()), `{"type":"oom","id":"`+r.id+`"}`)
	})
	r.ok("delete", "--force", r.id)
	if res := done(cmd.Wait()); res.code != 0 { // it ends with the container, not an hour later
		t.Errorf("events: %s", res)
	}
}

// TestTermBeforeStart: what ends a program that does not care ends a container
// whose program does not run yet.
func TestTermBeforeStart(t *testing.T) {
	r := newRig(t, "true")
	r.save()
	r.ok("create", r.id)
	r.ok("kill", r.id, "WINCH")
	if s := r.state(r.id); s.Status != specs.StateCreated {
		t.Fatalf("after WINCH: %s", s.Status)
	}
	r.ok("kill", r.id, "TERM")
	r.until("end", func() bool { return r.state(r.id).Status == "stopped" })
}
