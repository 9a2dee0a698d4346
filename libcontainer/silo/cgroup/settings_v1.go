package cgroup

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The settings of cgroup v1, one function a controller.

func cpusetSettings(r *specs.LinuxResources) (s []setting, err error) {
	if r.CPU.Cpus != "" {
		s = append(s, setting{field: "cpu.cpus", file: "cpuset.cpus", value: r.CPU.Cpus})
	}
	if r.CPU.Mems != "" {
		s = append(s, setting{field: "cpu.mems", file: "cpuset.mems", value: r.CPU.Mems})
	}
	return s, nil
}

func cpuSettings(r *specs.LinuxResources) (s []setting, err error) {
	c := r.CPU
	if c.Shares != nil && *c.Shares != 0 {
		s = append(s, setting{field: "cpu.shares", file: "cpu.shares", value: unsigned(*c.Shares)})
	}
	if c.Period != nil && *c.Period != 0 {
		s = append(s, setting{field: "cpu.period", file: "cpu.cfs_period_us", value: unsigned(*c.Period)})
	}
	if c.Quota != nil && *c.Quota != 0 {
		s = append(s, setting{field: "cpu.quota", file: "cpu.cfs_quota_us", value: strconv.FormatInt(*c.Quota, 10)})
	}
	if c.Burst != nil {
		s = append(s, setting{field: "cpu.burst", file: "cpu.cfs_burst_us", value: unsigned(*c.Burst), absent: passesAtZero(*c.Burst)})
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		s = append(s, setting{field: "cpu.realtimePeriod", file: "cpu.rt_period_us", value: unsigned(*c.RealtimePeriod)})
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		s = append(s, setting{field: "cpu.realtimeRuntime", file: "cpu.rt_runtime_us", value: strconv.FormatInt(*c.RealtimeRuntime, 10)})
	}
	if c.Idle != nil {
		s = append(s, setting{field: "cpu.idle", file: "cpu.idle", value: strconv.FormatInt(*c.Idle, 10), absent: passesAtZero(uint64(*c.Idle))})
	}
	return s, nil
}

// passesAtZero: a kernel too old for the file does what 0 asks for.
func passesAtZero(n uint64) absence {
	if n == 0 {
		return absentPasses
	}
	return absentFails
}

func memorySettings(r *specs.LinuxResources) (s []setting, err error) {
	m := r.Memory
	number := func(field, file string, v *int64, absent absence) {
		if v != nil && *v != 0 {
			s = append(s, setting{field: "memory." + field, file: file, value: strconv.FormatInt(*v, 10), absent: absent})
		}
	}
	number("limit", "memory.limit_in_bytes", m.Limit, absentFails)
	swap := m.Swap
	if (swap == nil || *swap == 0) && m.Limit != nil && *m.Limit == -1 {
		swap = m.Limit // the kernel wants memory+swap never below memory
	}
	// memory.memsw is missing where swap is not accounted; no limit holds there anyhow.
	absent := absentFails
	if swap != nil && *swap < 0 {
		absent = absentPasses
	}
	number("swap", "memory.memsw.limit_in_bytes", swap, absent)
	number("reservation", "memory.soft_limit_in_bytes", m.Reservation, absentFails)
	number("kernel", "memory.kmem.limit_in_bytes", m.Kernel, warnsAbove(m.Kernel))
	number("kernelTCP", "memory.kmem.tcp.limit_in_bytes", m.KernelTCP, warnsAbove(m.KernelTCP))
	if set, err := swappiness(m); err != nil {
		return nil, err
	} else if set {
		s = append(s, setting{field: "memory.swappiness", file: "memory.swappiness", value: unsigned(*m.Swappiness)})
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		s = append(s, setting{field: "memory.disableOOMKiller", file: "memory.oom_control", value: "1"})
	}
	return s, nil
}

// warnsAbove: who asks for no limit misses nothing.
func warnsAbove(v *int64) absence {
	if v != nil && *v < 0 {
		return absentPasses
	}
	return absentWarns
}

// swappiness says whether it is set. Engines write -1 for "not set", which
// arrives as the largest unsigned number.
func swappiness(m *specs.LinuxMemory) (bool, error) {
	if m.Swappiness == nil || *m.Swappiness == math.MaxUint64 {
		return false, nil
	}
	if *m.Swappiness > 100 {
		return false, fmt.Errorf("linux.resources.memory.swappiness %d is not between 0 and 100", *m.Swappiness)
	}
	return true, nil
}

// pidsSettings: 0 is a limit, not the absence of one (config-linux.md, "PIDs").
// It says what 1 says, that nothing may be forked, and systemd knows only 1.
func pidsSettings(r *specs.LinuxResources) (s []setting, err error) {
	if r.Pids.Limit == nil {
		return nil, nil
	}
	pids := *r.Pids.Limit
	if pids == 0 {
		pids = 1
	}
	return []setting{{field: "pids.limit", file: "pids.max", value: limit(pids)}}, nil
}

func blkioSettings(r *specs.LinuxResources) (s []setting, err error) {
	b := r.BlockIO
	weight := func(field, file, or, device string, v *uint16) {
		if v == nil || *v == 0 {
			return
		}
		value := device + strconv.Itoa(int(*v))
		set := setting{field: "blockIO." + field, file: file, value: value}
		if or != "" {
			set.or = &alternative{or, value}
		}
		s = append(s, set)
	}
	// CFQ's files went with CFQ in Linux 5.0; BFQ's took their place, without leaves.
	weight("weight", "blkio.weight", "blkio.bfq.weight", "", b.Weight)
	weight("leafWeight", "blkio.leaf_weight", "", "", b.LeafWeight)
	for _, d := range b.WeightDevice {
		n := deviceNumber(d.LinuxBlockIODevice) + " "
		weight("weightDevice", "blkio.weight_device", "blkio.bfq.weight_device", n, d.Weight)
		weight("weightDevice", "blkio.leaf_weight_device", "", n, d.LeafWeight)
	}
	throttle := func(field, file string, list []specs.LinuxThrottleDevice) {
		for _, d := range list {
			s = append(s, setting{
				field: "blockIO." + field, file: "blkio.throttle." + file,
				value: deviceNumber(d.LinuxBlockIODevice) + " " + unsigned(d.Rate),
			})
		}
	}
	throttle("throttleReadBpsDevice", "read_bps_device", b.ThrottleReadBpsDevice)
	throttle("throttleWriteBpsDevice", "write_bps_device", b.ThrottleWriteBpsDevice)
	throttle("throttleReadIOPSDevice", "read_iops_device", b.ThrottleReadIOPSDevice)
	throttle("throttleWriteIOPSDevice", "write_iops_device", b.ThrottleWriteIOPSDevice)
	return s, nil
}

// hugetlbSettings limits reservations where the kernel accounts them and page
// faults everywhere, as engines read the latter back.
func hugetlbSettings(r *specs.LinuxResources) (s []setting, err error) {
	return hugetlb(r, ".limit_in_bytes")
}

func hugetlb(r *specs.LinuxResources, suffix string) (s []setting, err error) {
	for _, h := range r.HugepageLimits {
		if !plain(h.Pagesize) {
			return nil, fmt.Errorf("linux.resources.hugepageLimits: %q is no page size", h.Pagesize)
		}
		value := unsigned(h.Limit)
		s = append(s,
			setting{field: "hugepageLimits", file: "hugetlb." + h.Pagesize + suffix, value: value},
			setting{field: "hugepageLimits", file: "hugetlb." + h.Pagesize + ".rsvd" + suffix, value: value, absent: absentPasses})
	}
	return s, nil
}

func rdmaSettings(r *specs.LinuxResources) (s []setting, err error) {
	for _, device := range sortedKeys(r.Rdma) {
		v, l := device, r.Rdma[device]
		if l.HcaHandles != nil {
			v += " hca_handle=" + unsigned(uint64(*l.HcaHandles))
		}
		if l.HcaObjects != nil {
			v += " hca_object=" + unsigned(uint64(*l.HcaObjects))
		}
		if v == device {
			return nil, fmt.Errorf("linux.resources.rdma: %q sets neither hcaHandles nor hcaObjects", device)
		}
		s = append(s, setting{field: "rdma", file: "rdma.max", value: v})
	}
	return s, nil
}

func classSettings(r *specs.LinuxResources) (s []setting, err error) {
	if id := r.Network.ClassID; id != nil && *id != 0 {
		s = append(s, setting{field: "network.classID", file: "net_cls.classid", value: unsigned(uint64(*id))})
	}
	return s, nil
}

func prioritySettings(r *specs.LinuxResources) (s []setting, err error) {
	for _, p := range r.Network.Priorities {
		s = append(s, setting{field: "network.priorities", file: "net_prio.ifpriomap", value: p.Name + " " + unsigned(uint64(p.Priority))})
	}
	return s, nil
}

func unifiedSettings(*specs.LinuxResources) ([]setting, error) {
	return nil, errors.New("invalid configuration: linux.resources.unified: cgroup v2 is not mounted on this machine")
}
