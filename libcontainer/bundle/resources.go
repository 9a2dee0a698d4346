package bundle

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// resources checks config-linux.md, Control groups. What engines write for
// "nothing asked" passes: weights and shares of 0, limits of 0 or -1.
func (c *checker) resources(at string, r *specs.LinuxResources) {
	c.deviceRules(join(at, "devices"), r.Devices)
	if r.Memory != nil {
		c.memory(join(at, "memory"), r.Memory)
	}
	if r.CPU != nil {
		c.cpu(join(at, "cpu"), r.CPU)
	}
	if r.Pids != nil {
		c.limit(join(at, "pids.limit"), r.Pids.Limit, "config-linux.md, PIDs")
	}
	if r.BlockIO != nil {
		c.blockIO(join(at, "blockIO"), r.BlockIO)
	}
	for i, h := range r.HugepageLimits {
		const clause = "config-linux.md, Huge page limits"
		if !pageSize(h.Pagesize) {
			c.bad(index(join(at, "hugepageLimits"), i, "pageSize"), quote(h.Pagesize), "is not of the form <size><unit-prefix>B", clause, "such as 2MB")
		}
		if len(c.absent) > 0 {
			c.need(index(join(at, "hugepageLimits"), i, "limit"), clause)
		}
	}
	if r.Network != nil {
		for i, p := range r.Network.Priorities {
			const clause = "config-linux.md, Network"
			if !interfaceName(p.Name) {
				c.bad(index(join(at, "network.priorities"), i, "name"), quote(p.Name), "is no name of a network device", clause, "")
			}
			if len(c.absent) > 0 {
				c.need(index(join(at, "network.priorities"), i, "priority"), clause)
			}
		}
	}
	for _, name := range sorted(r.Rdma) {
		if d := r.Rdma[name]; d.HcaHandles == nil && d.HcaObjects == nil {
			c.bad(entry(join(at, "rdma"), name), "", "has neither hcaHandles nor hcaObjects; you MUST specify at least one", "config-linux.md, RDMA", "")
		}
	}
	for _, file := range sorted(r.Unified) {
		// "Each key in the map refers to a file in the cgroup unified hierarchy."
		controller, rest, _ := strings.Cut(file, ".")
		if controller == "" || rest == "" || strings.Contains(file, "/") {
			c.bad(entry(join(at, "unified"), file), "", "is no name of a cgroup file", "config-linux.md, Unified", "such as memory.high")
		}
	}
}

func (c *checker) deviceRules(at string, rules []specs.LinuxDeviceCgroup) {
	const clause = "config-linux.md, Allowed Device list"
	for i := range rules {
		r := &rules[i]
		if len(c.absent) > 0 {
			c.need(index(at, i, "allow"), clause)
		}
		switch r.Type {
		case "", "a", "b", "c":
		default:
			c.bad(index(at, i, "type"), quote(r.Type), "is not known", clause, "use one of a, b, c")
		}
		if strings.Trim(r.Access, "rwm") != "" {
			c.bad(index(at, i, "access"), quote(r.Access), "is no composition of r, w and m", clause, "")
		}
		// -1 stands for "all" in libcontainer, and some write it.
		if r.Major != nil && *r.Major < -1 {
			c.bad(index(at, i, "major"), strconv.FormatInt(*r.Major, 10), "is no device number", clause, "leave it out for all")
		}
		if r.Minor != nil && *r.Minor < -1 {
			c.bad(index(at, i, "minor"), strconv.FormatInt(*r.Minor, 10), "is no device number", clause, "leave it out for all")
		}
	}
}

// limit: a number, or -1 for no limit.
func (c *checker) limit(at string, n *int64, clause string) {
	if n != nil && *n < -1 {
		c.bad(at, strconv.FormatInt(*n, 10), "is below -1", clause, "write -1 for no limit")
	}
}

func (c *checker) memory(at string, m *specs.LinuxMemory) {
	const clause = "config-linux.md, Memory"
	c.limit(join(at, "limit"), m.Limit, clause)
	c.limit(join(at, "reservation"), m.Reservation, clause)
	c.limit(join(at, "swap"), m.Swap, clause)
	c.limit(join(at, "kernel"), m.Kernel, clause) //nolint:staticcheck // deprecated, still sent
	c.limit(join(at, "kernelTCP"), m.KernelTCP, clause)
	if m.Swap != nil && m.Limit != nil && *m.Swap > 0 && *m.Swap < *m.Limit {
		c.bad(join(at, "swap"), strconv.FormatInt(*m.Swap, 10), "is memory and swap together and below limit, "+strconv.FormatInt(*m.Limit, 10), clause, "add limit to it")
	}
	// Docker writes its default, -1, as an unsigned number.
	if s := m.Swappiness; s != nil && *s > 100 && *s != math.MaxUint64 {
		c.bad(join(at, "swappiness"), strconv.FormatUint(*s, 10), "is not between 0 and 100", clause, "")
	}
}

func (c *checker) cpu(at string, p *specs.LinuxCPU) {
	const clause = "config-linux.md, CPU"
	c.cpuList(join(at, "cpus"), p.Cpus, clause)
	c.cpuList(join(at, "mems"), p.Mems, clause)
	if p.Burst != nil && p.Quota != nil && *p.Quota > 0 && *p.Burst > uint64(*p.Quota) {
		c.bad(join(at, "burst"), strconv.FormatUint(*p.Burst, 10), "is larger than quota, "+strconv.FormatInt(*p.Quota, 10), clause, "")
	}
	if p.Idle != nil && *p.Idle != 0 && *p.Idle != 1 {
		c.bad(join(at, "idle"), strconv.FormatInt(*p.Idle, 10), "is neither 0 nor 1", clause, "")
	}
}

func (c *checker) blockIO(at string, b *specs.LinuxBlockIO) {
	const clause = "config-linux.md, Block IO"
	for i := range b.WeightDevice {
		w := &b.WeightDevice[i]
		c.blockDevice(join(at, "weightDevice"), i, &w.LinuxBlockIODevice)
		if w.Weight == nil && w.LeafWeight == nil {
			c.bad(index(join(at, "weightDevice"), i, ""), "", "has neither weight nor leafWeight; you MUST specify at least one", clause, "")
		}
	}
	for _, t := range [...]struct {
		key  string
		list []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	} {
		for i := range t.list {
			c.blockDevice(join(at, t.key), i, &t.list[i].LinuxBlockIODevice)
			if len(c.absent) > 0 {
				c.need(index(join(at, t.key), i, "rate"), clause)
			}
		}
	}
}

func (c *checker) blockDevice(at string, i int, d *specs.LinuxBlockIODevice) {
	const clause = "config-linux.md, Block IO"
	if len(c.absent) > 0 {
		c.need(index(at, i, "major"), clause)
		c.need(index(at, i, "minor"), clause)
	}
	if d.Major < 0 {
		c.bad(index(at, i, "major"), strconv.FormatInt(d.Major, 10), "is no device number", clause, "")
	}
	if d.Minor < 0 {
		c.bad(index(at, i, "minor"), strconv.FormatInt(d.Minor, 10), "is no device number", clause, "")
	}
}

// pageSize: 64KB, 2MB, 1GB.
func pageSize(s string) bool {
	n := strings.TrimRight(s, "KMGB")
	unit := s[len(n):]
	return n != "" && n[0] != '0' && strings.Trim(n, "0123456789") == "" && (unit == "KB" || unit == "MB" || unit == "GB")
}
