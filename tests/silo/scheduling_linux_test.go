package silo

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// processors are the first and the last that this process may run on.
func processors(t *testing.T) (first, last int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	first, last = -1, -1
	for i := range 1024 {
		if set.IsSet(i) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first == last {
		t.Skip("one processor: there is nothing to choose")
	}
	return first, last
}

const allowed = "grep Cpus_allowed_list /proc/self/status | cut -f2"

// TestAffinityOfCaller: what restricts wrun's caller does not restrict the
// container, whose cpuset says what it may run on.
func TestAffinityOfCaller(t *testing.T) {
	first, last := processors(t)
	r := newRig(t, sh(allowed)...)
	r.save()
	whole := r.ok("run", r.id)
	pin := func(args ...string) string {
		cmd, done := r.command(args...)
		cmd.Path, cmd.Args = "/usr/bin/taskset", append([]string{"taskset", "-c", itoa(first)}, cmd.Args...)
		if _, err := os.Stat(cmd.Path); err != nil {
			t.Skip("no taskset (util-linux)")
		}
		r.must(cmd.Start())
		res := done(cmd.Wait())
		if res.code != 0 {
			t.Fatalf("%v: %s", args, res)
		}
		return res.out
	}
	r.equal("run", pin("run", r.id), whole)
	r.needV1("cpuset")
	r.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: itoa(last), Mems: "0"}}
	r.save()
	r.equal("run in a cpuset", pin("run", r.id), itoa(last))
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	r.equal("exec in a cpuset", pin("exec", r.id, "sh", "-c", allowed), itoa(last))
}

// TestExecAffinity: process.execCPUAffinity.
func TestExecAffinity(t *testing.T) {
	first, last := processors(t)
	r := newRig(t, "sleep", "100")
	r.spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: itoa(first), Final: itoa(last)}
	r.start()
	r.equal("final", r.ok("exec", r.id, "sh", "-c", allowed), itoa(last))
	p := *r.spec.Process
	p.Args = sh(allowed)
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: itoa(first)}
	r.process("p.json", &p)
	if got := strings.TrimSpace(r.ok("exec", "--process", "p.json", r.id)); got == itoa(first) {
		t.Errorf("initial alone is the final affinity: %s", got)
	}
	p.ExecCPUAffinity.Final = "0-99999"
	r.process("p.json", &p)
	if res := r.wrun("exec", "--process", "p.json", r.id); res.code != 255 || !strings.Contains(res.err, "execCPUAffinity.final") {
		t.Errorf("a processor that no kernel has: %s", res)
	}
}

// process writes a file for exec --process.
func (r *rig) process(name string, p *specs.Process) {
	r.Helper()
	data, err := json.Marshal(p)
	r.must(err)
	r.write(name, string(data))
}

// TestScheduler: process.scheduler of the container, which an exec inherits, and
// of an exec of its own.
func TestScheduler(t *testing.T) {
	policy := func(r *rig, pid int) uint32 {
		attr, err := unix.SchedGetAttr(pid, 0)
		r.must(err)
		return attr.Policy
	}
	r := newRig(t, "sleep", "100")
	r.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 19}
	pid := r.start()
	if got := policy(r, pid); got != 3 {
		t.Errorf("policy %d, want SCHED_BATCH", got)
	}
	attr, err := unix.SchedGetAttr(pid, 0)
	r.must(err)
	if attr.Nice != 19 {
		t.Errorf("nice %d", attr.Nice)
	}
	r.ok("exec", "--detach", "--pid-file", "pid", r.id, "sleep", "99")
	exec, err := strconv.Atoi(r.read(r.dir + "/pid"))
	r.must(err)
	if got := policy(r, exec); got != 3 {
		t.Errorf("exec: policy %d, want SCHED_BATCH", got)
	}
	p := *r.spec.Process
	p.Args = []string{"sleep", "99"}
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
	r.process("p.json", &p)
	r.ok("exec", "--detach", "--pid-file", "pid", "--process", "p.json", r.id)
	exec, err = strconv.Atoi(r.read(r.dir + "/pid"))
	r.must(err)
	attr, err = unix.SchedGetAttr(exec, 0)
	r.must(err)
	if attr.Policy != 5 || attr.Flags&1 == 0 {
		t.Errorf("exec with its own: policy %d flags %d, want SCHED_IDLE, reset on fork", attr.Policy, attr.Flags)
	}
}

func TestSchedulerRefused(t *testing.T) {
	r := newRig(t, "true")
	r.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}
	r.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 42000, Deadline: 1000000, Period: 1000000}
	r.refused("process scheduler can't be used together with AllowedCPUs")
}

// TestMemoryPolicy: as the kernel shows it, for the container and for an exec.
func TestMemoryPolicy(t *testing.T) {
	const first = "head -n 1 /proc/self/numa_maps | cut -d' ' -f2"
	r := newRig(t, "sleep", "100")
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("this kernel has no NUMA")
	}
	for _, c := range []struct {
		policy specs.LinuxMemoryPolicy
		want   string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}, "interleave:0"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, "bind=static:0"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, "default"},
	} {
		r.spec.Linux.MemoryPolicy = &c.policy
		r.spec.Process.Args = sh(first)
		r.equal("run", r.output(), c.want)
	}
	r.spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	r.equal("exec", r.ok("exec", r.id, "sh", "-c", first), "interleave:0")
}

// TestIOPriorityIdle: the idle class has no priority, so none has to be given.
func TestIOPriorityIdle(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.start()
	r.write("p.json", `{"cwd": "/", "args": ["/bin/ionice"], "ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}`)
	r.equal("exec", r.ok("exec", "--process", "p.json", r.id), "idle")
}

// TestPersonalityOfExec: an exec takes the container's domain.
func TestPersonalityOfExec(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	r.start()
	if got := strings.TrimSpace(r.ok("exec", r.id, "uname", "-m")); got == "x86_64" || got == "aarch64" {
		t.Errorf("uname -m says %s in LINUX32", got)
	}
}
