package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The settings of cgroup v2, one function a controller. What the Spec words in
// terms of v1 is converted, or is an error.

func cpusetSettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) {
	return cpusetSettings(r) // same names
}

func cpuSettingsV2(r *specs.LinuxResources, now reader) (s []setting, err error) {
	c := r.CPU
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		return nil, noEquivalent("cpu.realtimePeriod", *c.RealtimePeriod)
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		return nil, noEquivalent("cpu.realtimeRuntime", *c.RealtimeRuntime)
	}
	if c.Shares != nil && *c.Shares != 0 {
		s = append(s, setting{field: "cpu.shares", file: "cpu.weight", value: unsigned(weightOfShares(*c.Shares))})
	}
	quota, period := c.Quota != nil && *c.Quota != 0, c.Period != nil && *c.Period != 0
	if quota || period {
		// "$QUOTA $PERIOD"; without a second word the period stays.
		v := "max"
		switch {
		case quota:
			v = limit(*c.Quota)
		default:
			if cur, ok := now("cpu.max"); ok {
				v, _, _ = strings.Cut(cur, " ")
			}
		}
		if period {
			v += " " + unsigned(*c.Period)
		}
		s = append(s, setting{field: "cpu.quota", file: "cpu.max", value: v})
	}
	if c.Burst != nil {
		s = append(s, setting{field: "cpu.burst", file: "cpu.max.burst", value: unsigned(*c.Burst), absent: passesAtZero(*c.Burst)})
	}
	if c.Idle != nil {
		s = append(s, setting{field: "cpu.idle", file: "cpu.idle", value: strconv.FormatInt(*c.Idle, 10), absent: passesAtZero(uint64(*c.Idle))})
	}
	return s, nil
}

// weightOfShares maps cpu.shares (2…262144, default 1024) to cpu.weight
// (1…10000, default 100). Both ends and the default meet; in between runs a
// parabola in the logarithms, which keeps small shares from collapsing to a
// weight of 1: the curve that Kubernetes and the other runtimes agreed upon.
func weightOfShares(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	w := math.Pow(10, (l*l+125*l)/612-7.0/34)
	return uint64(math.Ceil(w - 1e-9)) // 1024 is 100, whatever the last bit of Pow
}

func memorySettingsV2(r *specs.LinuxResources, now reader) (s []setting, err error) {
	m := r.Memory
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		return nil, noEquivalent("memory.disableOOMKiller", true)
	}
	if m.KernelTCP != nil && *m.KernelTCP > 0 {
		return nil, noEquivalent("memory.kernelTCP", *m.KernelTCP)
	}
	if set, err := swappiness(m); err != nil {
		return nil, err
	} else if set {
		return nil, noEquivalent("memory.swappiness", *m.Swappiness)
	}
	if err := checkMemory(m, now); err != nil {
		return nil, err
	}
	swap, err := swapMax(m, now)
	if err != nil {
		return nil, err
	}
	if swap != "" {
		// Without swap accounting the file is missing, and "no swap" and "any
		// amount of it" are both what one gets.
		absent := absentFails
		if swap == "max" || swap == "0" {
			absent = absentPasses
		}
		s = append(s, setting{field: "memory.swap", file: "memory.swap.max", value: swap, absent: absent})
	}
	if m.Limit != nil && *m.Limit != 0 {
		s = append(s, setting{field: "memory.limit", file: "memory.max", value: limit(*m.Limit)})
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		s = append(s, setting{field: "memory.reservation", file: "memory.low", value: limit(*m.Reservation)})
	}
	if m.Kernel != nil && *m.Kernel > 0 {
		s = append(s, setting{field: "memory.kernel", file: "memory.kmem.limit_in_bytes", value: limit(*m.Kernel), absent: absentWarns})
	}
	return s, nil
}

// swapMax converts swap, which in the Spec is memory+swap, to memory.swap.max,
// which is swap alone; "" leaves it.
func swapMax(m *specs.LinuxMemory, now reader) (string, error) {
	limit := int64(0)
	if m.Limit != nil {
		limit = *m.Limit
	}
	if m.Swap == nil || *m.Swap == 0 {
		if limit == -1 {
			return "max", nil
		}
		return "", nil
	}
	if *m.Swap < 0 {
		return "max", nil
	}
	if limit == 0 {
		cur, _ := now("memory.max")
		n, err := strconv.ParseInt(cur, 10, 64)
		if err != nil {
			return "", fmt.Errorf("linux.resources.memory.swap %d limits memory and swap together, but no memory.limit is set", *m.Swap)
		}
		limit = n
	}
	if limit < 0 || *m.Swap < limit {
		return "", fmt.Errorf("linux.resources.memory.swap %d (memory and swap together) is below memory.limit %d", *m.Swap, limit)
	}
	return strconv.FormatInt(*m.Swap-limit, 10), nil
}

// checkMemory carries out checkBeforeUpdate: v1 refuses a limit below the usage
// by itself, v2 would call the OOM killer.
func checkMemory(m *specs.LinuxMemory, now reader) error {
	if m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || m.Limit == nil || *m.Limit <= 0 {
		return nil
	}
	cur, ok := now("memory.current")
	if !ok {
		return nil
	}
	used, err := strconv.ParseInt(cur, 10, 64)
	if err != nil {
		return fmt.Errorf("read memory.current: %w", err)
	}
	if used > *m.Limit {
		return fmt.Errorf("linux.resources.memory.limit %d is below the current usage %d", *m.Limit, used)
	}
	return nil
}

func pidsSettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) { return pidsSettings(r) }

func ioSettings(r *specs.LinuxResources, _ reader) (s []setting, err error) {
	b := r.BlockIO
	weight := func(field, device string, v *uint16) {
		if v == nil || *v == 0 {
			return
		}
		s = append(s, setting{
			field: "blockIO." + field,
			file:  "io.bfq.weight", value: device + strconv.Itoa(int(*v)),
			or: &alternative{"io.weight", device + unsigned(ioWeight(*v))},
		})
	}
	leaf := func(v *uint16) bool { return v != nil && *v != 0 }
	if leaf(b.LeafWeight) {
		return nil, noEquivalent("blockIO.leafWeight", *b.LeafWeight)
	}
	weight("weight", "", b.Weight)
	for _, d := range b.WeightDevice {
		if leaf(d.LeafWeight) {
			return nil, noEquivalent("blockIO.weightDevice[].leafWeight", *d.LeafWeight)
		}
		weight("weightDevice", deviceNumber(d.LinuxBlockIODevice)+" ", d.Weight)
	}
	throttle := func(field, key string, list []specs.LinuxThrottleDevice) {
		for _, d := range list {
			v := "max" // 0 lifts the limit, as in v1
			if d.Rate != 0 {
				v = unsigned(d.Rate)
			}
			s = append(s, setting{
				field: "blockIO." + field, file: "io.max",
				value: deviceNumber(d.LinuxBlockIODevice) + " " + key + "=" + v,
			})
		}
	}
	throttle("throttleReadBpsDevice", "rbps", b.ThrottleReadBpsDevice)
	throttle("throttleWriteBpsDevice", "wbps", b.ThrottleWriteBpsDevice)
	throttle("throttleReadIOPSDevice", "riops", b.ThrottleReadIOPSDevice)
	throttle("throttleWriteIOPSDevice", "wiops", b.ThrottleWriteIOPSDevice)
	return s, nil
}

// ioWeight maps blkio.weight (10…1000) linearly to io.weight (1…10000).
func ioWeight(w uint16) uint64 {
	if w < 10 {
		return 1
	}
	return 1 + (uint64(w)-10)*9999/990
}

func hugetlbSettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) {
	return hugetlb(r, ".max")
}

func rdmaSettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) { return rdmaSettings(r) }

func classSettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) {
	if id := r.Network.ClassID; id != nil && *id != 0 {
		return nil, noEquivalent("network.classID", *id)
	}
	return nil, nil
}

func prioritySettingsV2(r *specs.LinuxResources, _ reader) ([]setting, error) {
	if len(r.Network.Priorities) > 0 {
		return nil, noEquivalent("network.priorities", r.Network.Priorities)
	}
	return nil, nil
}

// unifiedSettingsV2 comes last: what is said in v2's own words wins over what
// was converted.
func unifiedSettingsV2(r *specs.LinuxResources, _ reader) (s []setting, err error) {
	for _, key := range sortedKeys(r.Unified) {
		controller, _, ok := strings.Cut(key, ".")
		if !ok || !plain(key) {
			return nil, fmt.Errorf("linux.resources.unified: %q is no control file", key)
		}
		if controller == "cgroup" {
			controller = ""
		}
		// One line a write: so the kernel reads io.max and its like.
		for line := range strings.SplitSeq(strings.TrimRight(r.Unified[key], "\n"), "\n") {
			s = append(s, setting{field: "unified", controller: controller, file: key, value: line})
		}
	}
	return s, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
