package uvm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestMemoryLimit: who takes more than the limit is killed in the VM, which goes
// on.
func TestMemoryLimit(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	limit := int64(64 << 20)
	r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	r.start()
	const eat = "exec dd if=/dev/zero of=/dev/null bs=%dM count=1"
	if res := r.wrun(append([]string{"exec", r.id}, sh(fmt.Sprintf(eat, 30))...)...); res.code != 0 {
		t.Errorf("below the limit: %s", res)
	}
	if res := r.wrun(append([]string{"exec", r.id}, sh(fmt.Sprintf(eat, 150))...)...); res.code != 137 {
		t.Errorf("above the limit: %s", res)
	}
	r.equal("afterwards", r.inside("echo on"), "on")
	r.ok("delete", "--force", r.id)
	r.spec.Process.Args = sh(fmt.Sprintf(eat, 150))
	if res := r.run(); res.code != 137 {
		t.Errorf("run above the limit: %s", res)
	}
}

// TestNoLimit: without a limit it is the VM's memory that ends, and the kernel
// finds who to kill.
func TestNoLimit(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	if res := r.bounded(30*time.Second, append([]string{"exec", r.id}, sh("exec dd if=/dev/zero of=/dev/null bs=2000M count=1")...)...); res.code == 0 {
		t.Errorf("more than there is: %s", res)
	}
	if res := r.bounded(30*time.Second, append([]string{"exec", r.id}, sh(`awk 'BEGIN { while (1) a[i++] = sprintf("%1000000d", i) }'; exit 5`)...)...); res.code != 5 && res.code != 137 {
		t.Errorf("more than there is, by and by: %s", res)
	}
	r.equal("afterwards", r.inside("echo on"), "on")
}

// underLimit puts what the container has on the host below a cgroup with so much
// memory, as an engine does with a pod's.
func (r *rig) underLimit(limit int) {
	r.Helper()
	const memory = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(memory + "/memory.limit_in_bytes"); err != nil {
		r.Skip("no cgroup v1 with memory on this machine, which the test makes its limit in")
	}
	parent := r.id + "-pod"
	r.must(os.Mkdir(filepath.Join(memory, parent), 0o755))
	r.Cleanup(func() {
		r.wrun("delete", "--force", r.id)
		left, _ := filepath.Glob("/sys/fs/cgroup/*/" + parent)
		for _, dir := range left {
			if err := os.Remove(dir); err != nil {
				r.Error(err)
			}
		}
	})
	r.must(os.WriteFile(filepath.Join(memory, parent, "memory.limit_in_bytes"), []byte(strconv.Itoa(limit)), 0))
	r.spec.Linux.CgroupsPath = "/" + parent + "/" + r.id
}

// TestHostMemory: QEMU gets less of the host's memory than its guest takes.
func TestHostMemory(t *testing.T) {
	t.Run("to boot", func(t *testing.T) {
		r := newRig(t, "true")
		r.underLimit(48 << 20)
		res := r.run("--uvm-template", "off")
		if res.code == 0 || res.took > 10*time.Second || !strings.Contains(res.err, "signal 9") || !strings.Contains(res.err, "memory") {
			t.Errorf("run: %s", res)
		}
	})
	t.Run("to go on", func(t *testing.T) {
		r := newRig(t, sh("echo up; dd if=/dev/zero of=/mnt/much bs=1M count=400; sleep 1000")...)
		r.mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=450m"}})
		r.underLimit(250 << 20)
		if res := r.run("--uvm-template", "off"); res.code != 137 || res.out != "up\n" || res.took > 20*time.Second {
			t.Errorf("run: %s", res)
		}
	})
}

// TestOOMEvent: a process that the guest's kernel kills for want of memory is an
// event on the host, once for each who listens, and the end of the container is
// the end of events.
func TestOOMEvent(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	limit := int64(32 << 20)
	r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	r.start()
	listen := func() (said func() int, end func()) {
		cmd, done := r.command("events", "--interval", "1h", r.id)
		out := cmd.Stdout.(*os.File).Name()
		r.must(cmd.Start())
		r.until("the first line", func() bool { return strings.Contains(r.read(out), `"stats"`) })
		return func() int { return strings.Count(r.read(out), `{"type":"oom","id":"`+r.id+`"}`) }, func() {
			if res := done(cmd.Wait()); res.code != 0 {
				t.Errorf("events: %s", res)
			}
		}
	}
	eat := func() {
		if res := r.wrun(append([]string{"exec", r.id}, sh("exec dd if=/dev/zero of=/dev/null bs=100M count=1")...)...); res.code != 137 {
			t.Errorf("above the limit: %s", res)
		}
	}
	first, firstEnds := listen()
	// The watch begins behind the first line and says nothing when it stands.
	r.until("an event", func() bool { eat(); return first() > 0 })
	before := first()
	second, secondEnds := listen()
	r.until("an event for both", func() bool { eat(); return second() > 0 })
	// They are two processes, and the other one may be the quicker.
	r.until("as many events for who came first", func() bool { return first()-before >= second() })
	r.ok("delete", "--force", r.id)
	firstEnds()
	secondEnds()
}

// TestUpdateBeyondVM: what the VM has not, no limit gives.
func TestUpdateBeyondVM(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	limit := int64(64 << 20)
	r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	r.start()
	r.ok("update", "--memory", "100M", r.id)
	if stats := r.ok("events", "--stats", r.id); !strings.Contains(stats, `"limit":104857600`) {
		t.Errorf("after update to 100M: %s", stats)
	}
	res := r.wrun("update", "--memory", "1G", r.id)
	if res.code == 0 || !strings.Contains(res.err, "the utility VM has") {
		t.Errorf("update to more than there is: %s", res)
	}
}

// TestRings: the rings of the ports hold some 1 MiB each, where the kernel by
// itself would give them 4.
func TestRings(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	slabs := r.inside("test ! -r /proc/slabinfo || awk '$1 == \"kmalloc-4k\" { print $2 }' /proc/slabinfo")
	if slabs == "" {
		t.Skip("the guest's kernel does not tell what it has of slabs")
	}
	if n, err := strconv.Atoi(slabs); err != nil || n < 3*256 || n > 3*512 {
		t.Errorf("the guest has %s blocks of 4 KiB (%v), want three rings of 256 and not much else", slabs, err)
	}
}
