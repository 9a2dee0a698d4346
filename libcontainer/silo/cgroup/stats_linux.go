package cgroup

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Stats measures the group. What the kernel does not count stays 0; only a
// group that is not there is an error.
func (g *Group) Stats() (*Stats, error) {
	if d := g.tracker(); d != nil {
		if there, err := exists(g.dir(d)); err != nil {
			return nil, err
		} else if !there {
			return nil, fmt.Errorf("measure cgroup %s: %w", g.dir(d), unix.ENOENT)
		}
	}
	s := &Stats{Hugetlb: map[string]HugePage{}}
	for i := range g.Dirs {
		d := &g.Dirs[i]
		dir := meter(g.dir(d) + "/")
		if d.Controllers == "" {
			dir.unified(s, g.pure())
			continue
		}
		for c := range strings.SplitSeq(d.Controllers, ",") {
			switch c {
			case "cpu":
				dir.cpu(&s.CPU)
			case "cpuacct":
				dir.cpuacct(&s.CPU)
			case "cpuset":
				dir.cpuset(&s.CPUSet)
			case "memory":
				dir.memory(&s.Memory)
			case "pids":
				dir.pids(&s.Pids)
			case "blkio":
				dir.blkio(&s.Blkio)
			case "hugetlb":
				dir.hugetlb(s.Hugetlb, ".usage_in_bytes", ".max_usage_in_bytes", ".failcnt")
			}
		}
	}
	return s, nil
}

// meter is a directory whose files are read for what they are worth: "" when
// one is not there.
type meter string

func (m meter) text(file string) string {
	b, err := read(string(m) + file)
	if err != nil {
		return ""
	}
	return string(b)
}

func (m meter) number(file string) uint64 { return number(m.text(file)) }

func (m meter) cpu(c *CPU) {
	st := pairs(m.text("cpu.stat"))
	c.Throttling.Periods = st["nr_periods"]
	c.Throttling.ThrottledPeriods = st["nr_throttled"]
	c.Throttling.ThrottledTime = st["throttled_time"]
}

func (m meter) cpuacct(c *CPU) {
	c.Usage.Total = m.number("cpuacct.usage")
	c.Usage.Percpu = numbers(m.text("cpuacct.usage_percpu"))
	c.perCPU(m.text("cpuacct.usage_all"))
	for i := range c.Usage.PercpuUser {
		c.Usage.User += c.Usage.PercpuUser[i]
		c.Usage.Kernel += c.Usage.PercpuKernel[i]
	}
}

func (m meter) cpuset(c *CPUSet) {
	c.CPUs = list(m.text("cpuset.cpus"))
	c.Mems = list(m.text("cpuset.mems"))
	c.CPUExclusive = m.number("cpuset.cpu_exclusive")
	c.MemHardwall = m.number("cpuset.mem_hardwall")
	c.MemExclusive = m.number("cpuset.mem_exclusive")
	c.MemoryMigrate = m.number("cpuset.memory_migrate")
	c.MemorySpreadPage = m.number("cpuset.memory_spread_page")
	c.MemorySpreadSlab = m.number("cpuset.memory_spread_slab")
	c.MemoryPressure = m.number("cpuset.memory_pressure")
	c.SchedLoadBalance = m.number("cpuset.sched_load_balance")
	c.SchedRelaxDomain = int64(m.number("cpuset.sched_relax_domain_level")) // -1 is no number and wraps to itself
}

func (m meter) memory(s *Memory) {
	s.Raw = pairs(m.text("memory.stat"))
	s.Cache = s.Raw["cache"]
	for _, e := range [...]struct {
		to     *MemoryEntry
		prefix string
	}{
		{&s.Usage, "memory."}, {&s.Swap, "memory.memsw."},
		{&s.Kernel, "memory.kmem."}, {&s.KernelTCP, "memory.kmem.tcp."},
	} {
		e.to.Usage = m.number(e.prefix + "usage_in_bytes")
		e.to.Max = m.number(e.prefix + "max_usage_in_bytes")
		e.to.Failcnt = m.number(e.prefix + "failcnt")
		e.to.Limit = m.number(e.prefix + "limit_in_bytes")
	}
}

func (m meter) pids(p *Pids) {
	p.Current = m.number("pids.current")
	if v := m.text("pids.max"); !strings.HasPrefix(v, "max") {
		p.Limit = number(v)
	}
}

// blkio prefers BFQ's counters, which know of proportional sharing, to those of
// the throttling layer, which see every device.
func (m meter) blkio(b *Blkio) {
	prefix := "blkio.bfq."
	b.Serviced = blkioEntries(m.text(prefix + "io_serviced_recursive"))
	if len(b.Serviced) == 0 {
		prefix = "blkio.throttle."
		b.Serviced = blkioEntries(m.text(prefix + "io_serviced_recursive"))
	}
	b.ServiceBytes = blkioEntries(m.text(prefix + "io_service_bytes_recursive"))
	if prefix == "blkio.throttle." {
		return
	}
	b.ServiceTime = blkioEntries(m.text(prefix + "io_service_time_recursive"))
	b.WaitTime = blkioEntries(m.text(prefix + "io_wait_time_recursive"))
	b.Merged = blkioEntries(m.text(prefix + "io_merged_recursive"))
	b.Queued = blkioEntries(m.text(prefix + "io_queued_recursive"))
	b.Time = blkioEntries(m.text(prefix + "time_recursive"))
	b.Sectors = blkioEntries(m.text(prefix + "sectors_recursive"))
}

// hugetlb finds the page sizes by the files there are.
func (m meter) hugetlb(to map[string]HugePage, usage, peak, failures string) {
	for _, name := range files(string(m)) {
		rest, ok := strings.CutPrefix(name, "hugetlb.")
		if !ok {
			continue
		}
		size, ok := strings.CutSuffix(rest, usage)
		if !ok || strings.Contains(size, ".") { // also .rsvd
			continue
		}
		prefix := "hugetlb." + size
		h := HugePage{Usage: m.number(prefix + usage)}
		if peak != "" {
			h.Max = m.number(prefix + peak)
		}
		if failures == ".events" {
			h.Failcnt = pairs(m.text(prefix + failures))["max"]
		} else {
			h.Failcnt = m.number(prefix + failures)
		}
		to[size] = h
	}
}

// unified reads a v2 group. On a hybrid machine v1 has counted all but the huge pages.
func (m meter) unified(s *Stats, pure bool) {
	m.hugetlb(s.Hugetlb, ".current", "", ".events")
	if !pure {
		return
	}
	cpu := pairs(m.text("cpu.stat"))
	s.CPU.Usage.Total = cpu["usage_usec"] * 1000
	s.CPU.Usage.User = cpu["user_usec"] * 1000
	s.CPU.Usage.Kernel = cpu["system_usec"] * 1000
	s.CPU.Throttling.Periods = cpu["nr_periods"]
	s.CPU.Throttling.ThrottledPeriods = cpu["nr_throttled"]
	s.CPU.Throttling.ThrottledTime = cpu["throttled_usec"] * 1000
	s.CPU.PSI = pressure(m.text("cpu.pressure"))
	s.CPUSet.CPUs = list(m.text("cpuset.cpus"))
	s.CPUSet.Mems = list(m.text("cpuset.mems"))

	mem := &s.Memory
	mem.Raw = pairs(m.text("memory.stat"))
	mem.Cache = mem.Raw["file"]
	events := pairs(m.text("memory.events"))
	mem.Usage = MemoryEntry{
		Limit: m.number("memory.max"), Usage: m.number("memory.current"),
		Max: m.number("memory.peak"), Failcnt: events["max"],
	}
	// Swap is memory and swap together, as in v1.
	mem.Swap = MemoryEntry{
		Limit: sum(mem.Usage.Limit, m.number("memory.swap.max")),
		Usage: mem.Usage.Usage + m.number("memory.swap.current"),
	}
	mem.Kernel.Usage = mem.Raw["kernel"]
	mem.PSI = pressure(m.text("memory.pressure"))

	m.pids(&s.Pids)
	s.Blkio.ioStat(m.text("io.stat"))
	s.Blkio.PSI = pressure(m.text("io.pressure"))
}
