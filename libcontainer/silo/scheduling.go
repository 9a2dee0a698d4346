package silo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// fixedAddresses is for the Wine personality, which translates its bundles: a
// Linux bundle may name no flags (config-linux.md, "personality").
const fixedAddresses = "ADDR_NO_RANDOMIZE"

// scheduling is what of the process's place among others is set by a plain
// call on itself, while it still may.
func (b *builder) scheduling(p *specs.Process, l *specs.Linux) error {
	if l.Personality != nil {
		const perLinux32 = 8
		domain := Int(0)
		if l.Personality.Domain == specs.PerLinux32 {
			domain = perLinux32
		}
		for _, f := range l.Personality.Flags {
			if f != fixedAddresses {
				return fmt.Errorf("linux.personality.flags: %q is unknown", f)
			}
			const addrNoRandomize = 0x40000
			domain |= addrNoRandomize
		}
		b.call("linux.personality", "personality", domain)
	}
	if p.IOPriority != nil {
		// ioprio_set(2): class in bits 13…, data below.
		class := 0
		switch p.IOPriority.Class {
		case specs.IOPRIO_CLASS_RT:
			class = 1
		case specs.IOPRIO_CLASS_BE:
			class = 2
		case specs.IOPRIO_CLASS_IDLE:
			class = 3
		}
		b.call("process.ioPriority", "ioprio_set", Int(1), Int(0), Int(class<<13|p.IOPriority.Priority))
	}
	if l.MemoryPolicy != nil {
		if err := b.memoryPolicy(l.MemoryPolicy); err != nil {
			return err
		}
	}
	if p.Scheduler != nil {
		return b.scheduler(p.Scheduler, l.Resources)
	}
	return nil
}

// scheduler: sched_setattr(2), struct sched_attr of the first version.
func (b *builder) scheduler(s *specs.Scheduler, r *specs.LinuxResources) error {
	policy, ok := schedulerPolicy(s.Policy)
	if !ok {
		return fmt.Errorf("process.scheduler.policy %q is not known", s.Policy)
	}
	if s.Policy == specs.SchedDeadline && r != nil && r.CPU != nil && r.CPU.Cpus != "" {
		// sched_setattr(2), EPERM: "The CPU affinity mask … does not include all
		// CPUs in the system". The text is runc's.
		return errors.New("process.scheduler.policy SCHED_DEADLINE: process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus " + r.CPU.Cpus + ")")
	}
	var flags uint64
	for i, f := range s.Flags {
		bit, ok := schedulerFlag(f)
		if !ok {
			return fmt.Errorf("process.scheduler.flags[%d] %q is not known", i, f)
		}
		flags |= bit
	}
	attr := make(Bytes, 48)
	put32(attr, uint32(len(attr)))
	put32(attr[4:], policy)
	put64(attr[8:], flags)
	put32(attr[16:], uint32(s.Nice))
	put32(attr[20:], uint32(s.Priority))
	put64(attr[24:], s.Runtime)
	put64(attr[32:], s.Deadline)
	put64(attr[40:], s.Period)
	b.call("process.scheduler "+string(s.Policy), "sched_setattr", Int(0), attr, Int(0))
	return nil
}

func schedulerPolicy(p specs.LinuxSchedulerPolicy) (uint32, bool) {
	for n, name := range [...]specs.LinuxSchedulerPolicy{
		0: specs.SchedOther, 1: specs.SchedFIFO, 2: specs.SchedRR, 3: specs.SchedBatch,
		4: specs.SchedISO, 5: specs.SchedIdle, 6: specs.SchedDeadline,
	} {
		if p == name {
			return uint32(n), true
		}
	}
	return 0, false
}

func schedulerFlag(f specs.LinuxSchedulerFlag) (uint64, bool) {
	for n, name := range [...]specs.LinuxSchedulerFlag{
		specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
	} {
		if f == name {
			return 1 << n, true
		}
	}
	return 0, false
}

// memoryPolicy: set_mempolicy(2).
func (b *builder) memoryPolicy(m *specs.LinuxMemoryPolicy) error {
	mode := -1
	for n, name := range [...]specs.MemoryPolicyModeType{
		0: specs.MpolDefault, 1: specs.MpolPreferred, 2: specs.MpolBind, 3: specs.MpolInterleave,
		4: specs.MpolLocal, 5: specs.MpolPreferredMany, 6: specs.MpolWeightedInterleave,
	} {
		if m.Mode == name {
			mode = n
		}
	}
	if mode < 0 {
		return fmt.Errorf("linux.memoryPolicy.mode: invalid memory policy mode %q", m.Mode)
	}
	for i, f := range m.Flags {
		switch f {
		case specs.MpolFNumaBalancing:
			mode |= 1 << 13
		case specs.MpolFRelativeNodes:
			mode |= 1 << 14
		case specs.MpolFStaticNodes:
			mode |= 1 << 15
		default:
			return fmt.Errorf("linux.memoryPolicy.flags[%d]: invalid memory policy flag %q", i, f)
		}
	}
	const why = "linux.memoryPolicy"
	if m.Nodes == "" {
		b.call(why, "set_mempolicy", Int(mode), Int(0), Int(0))
		return nil
	}
	const most = 1024 // MAX_NUMNODES of every kernel wrun builds for
	mask, err := numberMask(m.Nodes, most)
	if err != nil {
		return fmt.Errorf("linux.memoryPolicy.nodes: invalid memory policy node: %w", err)
	}
	b.call(why, "set_mempolicy", Int(mode), mask, Int(most))
	return nil
}

// numberMask reads a list such as "0-3,7" into a bit mask of most bits.
func numberMask(list string, most int) (Bytes, error) {
	mask := make(Bytes, most/8)
	for part := range strings.SplitSeq(list, ",") {
		first, last, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			last = first
		}
		a, err := strconv.Atoi(first)
		z, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil || a < 0 || z < a {
			return nil, fmt.Errorf("%q is no list of numbers and ranges, such as 0-3,7", list)
		}
		if z >= most {
			return nil, fmt.Errorf("%d in %q is above %d, the highest that wrun can say", z, list, most-1)
		}
		for n := a; n <= z; n++ {
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}

// maxCPUs is the largest NR_CPUS of a kernel.
const maxCPUs = 8192

// affinity puts the child on the processors that are meant for it. The kernel
// keeps a process's own mask when it changes its cgroup, so what restricts
// wrun's caller would restrict the container; all processors means those of
// its cpuset, sched_setaffinity(2).
func (b *builder) affinity(why, cpus string) error {
	if cpus != "" {
		mask, err := numberMask(cpus, maxCPUs)
		if err == nil {
			b.call(why, "sched_setaffinity", Int(0), Int(len(mask)), mask)
		}
		return err
	}
	mask := make(Bytes, maxCPUs/8)
	for i := range mask {
		mask[i] = 0xff
	}
	s := b.call(why, "sched_setaffinity", Int(0), Int(len(mask)), mask)
	s.Rescue = []Rescue{{}} // as it was, then
	return nil
}
