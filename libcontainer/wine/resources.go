package wine

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// period is that of CPU quotas, in microseconds: cgroups' own default.
const period uint64 = 100000

// Disk is the block device that the scratch lies on; the zero Disk is none, as
// where the file system spans several or none.
type Disk struct{ Major, Minor int64 }

// Resources are Windows' limits as cgroups have them, on a machine with so many
// processors. What cannot be kept is a warning.
func Resources(r *specs.WindowsResources, cpus int, disk Disk) (*specs.LinuxResources, []string, error) {
	l := new(specs.LinuxResources)
	if r == nil {
		return l, nil, nil
	}
	if m := r.Memory; m != nil && m.Limit != nil && *m.Limit != 0 {
		if *m.Limit > math.MaxInt64 {
			return nil, nil, bad("windows.resources.memory.limit", "%d bytes is more than Linux counts", *m.Limit)
		}
		limit := int64(*m.Limit)
		l.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	if r.CPU != nil {
		var err error
		if l.CPU, err = processors(r.CPU, cpus); err != nil {
			return nil, nil, err
		}
	}
	var warnings []string
	if s := r.Storage; s != nil {
		l.BlockIO, warnings = throttle(s, disk)
	}
	return l, warnings, nil
}

// processors: of count, shares and maximum there is one, which the bundle's check
// has seen to ("mutually exclusive", config-windows.md). Windows keeps a count in a
// silo as a rate, too: so much time as that many processors have.
func processors(c *specs.WindowsCPUResources, cpus int) (*specs.LinuxCPU, error) {
	l := new(specs.LinuxCPU)
	quota := func(q uint64) {
		p, n := period, int64(max(q, 1000)) // cgroups take no less
		l.Quota, l.Period = &n, &p
	}
	switch {
	case c.Count != nil && *c.Count != 0:
		n := *c.Count
		if cpus > 0 {
			n = min(n, uint64(cpus)) // more than there are is all of them
		}
		quota(n * period)
	case c.Maximum != nil && *c.Maximum != 0:
		// Cycles of 10,000 of the whole machine.
		quota(uint64(*c.Maximum) * uint64(max(cpus, 1)) * period / 10000)
	case c.Shares != nil && *c.Shares != 0:
		// 5,000 is who asks for nothing, as 1,024 is for cgroups.
		n := max(uint64(*c.Shares)*1024/5000, 2)
		l.Shares = &n
	}
	var list []string
	for i, a := range c.Affinity {
		if a.Group > 15 {
			return nil, bad(index("windows.resources.cpu.affinity", i, "group"), "%d is no group of 64 processors that Linux can have", a.Group)
		}
		for bit := range uint64(64) {
			cpu := uint64(a.Group)*64 + bit
			if a.Mask&(1<<bit) == 0 {
				continue
			}
			if cpus > 0 && cpu >= uint64(cpus) {
				return nil, bad(index("windows.resources.cpu.affinity", i, "mask"), "names processor %d, and this machine has %d", cpu, cpus)
			}
			list = append(list, strconv.FormatUint(cpu, 10))
		}
	}
	l.Cpus = strings.Join(list, ",")
	return l, nil
}

// throttle limits what goes to the scratch's disk, reads and writes each.
func throttle(s *specs.WindowsStorageResources, d Disk) (*specs.LinuxBlockIO, []string) {
	iops, bps := s.Iops != nil && *s.Iops != 0, s.Bps != nil && *s.Bps != 0
	switch {
	case !iops && !bps:
		return nil, nil
	case d == Disk{}:
		return nil, []string{"windows.resources.storage is left out: the scratch is on no block device that a cgroup could limit"}
	}
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		t := specs.LinuxThrottleDevice{Rate: n}
		t.Major, t.Minor = d.Major, d.Minor
		return []specs.LinuxThrottleDevice{t}
	}
	b := new(specs.LinuxBlockIO)
	if iops {
		b.ThrottleReadIOPSDevice, b.ThrottleWriteIOPSDevice = rate(*s.Iops), rate(*s.Iops)
	}
	if bps {
		b.ThrottleReadBpsDevice, b.ThrottleWriteBpsDevice = rate(*s.Bps), rate(*s.Bps)
	}
	return b, nil
}
