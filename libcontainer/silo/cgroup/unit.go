package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Property is a property of a systemd unit, as StartTransientUnit and
// SetUnitProperties take it. Value is a bool, string, uint64 or []byte, or
// [][2]string for a list of devices with their access.
type Property struct {
	Name  string
	Value any
	Since int // the first version of systemd that knows it; 0: all that matter
}

// infinity is what systemd calls no limit.
const infinity = math.MaxUint64

// sameNumber are the control files whose values systemd has as properties, and
// the least that it takes.
var sameNumber = [...]struct {
	v2             bool
	file, property string
	least          uint64
	since          int
}{
	{true, "cpu.weight", "CPUWeight", 1, 0},
	{true, "memory.min", "MemoryMin", 0, 240},
	{true, "memory.low", "MemoryLow", 0, 0},
	{true, "memory.high", "MemoryHigh", 1, 0},
	{true, "memory.max", "MemoryMax", 1, 0},
	{true, "memory.swap.max", "MemorySwapMax", 0, 0},
	{true, "io.weight", "IOWeight", 1, 0},
	{true, "pids.max", "TasksMax", 1, 0},
	{false, "cpu.shares", "CPUShares", 2, 0},
	{false, "memory.limit_in_bytes", "MemoryLimit", 1, 0},
	{false, "blkio.weight", "BlockIOWeight", 10, 0},
	{false, "pids.max", "TasksMax", 1, 0},
}

// unitProperties words limits for systemd, which writes its own over the
// control files whenever it likes: at daemon-reload, for one. What it has no
// property for it leaves alone. effective reads the quota and period of
// processor time that hold now, of which list may change one; "" is unknown.
func unitProperties(list []setting, effective func() (quota, period string)) ([]Property, error) {
	var all []Property
	quota, period := "", ""
	for i := range list {
		s := &list[i]
		for _, same := range sameNumber {
			if same.v2 != s.v2 || same.file != s.file {
				continue
			}
			n, err := unitNumber(s.value)
			if err != nil {
				continue // a line of io.weight for one device
			}
			all = append(all, Property{same.property, max(n, same.least), same.since})
		}
		switch s.file {
		case "io.bfq.weight":
			// systemd has one weight for both schedulers' files, and converts it.
			if n, err := unitNumber(s.value); err == nil {
				if n > 100 {
					n = 100 + (n-100)*11
				}
				all = append(all, Property{"IOWeight", n, 0})
			}
		case "cpu.idle":
			// A weight of 0 is what systemd calls idle, and the kernel takes none beside it.
			if s.value == "1" {
				all = slices.DeleteFunc(all, func(p Property) bool { return p.Name == "CPUWeight" })
				all = append(all, Property{"CPUWeight", uint64(0), 252})
			}
		case "cpu.cfs_quota_us":
			quota = s.value
		case "cpu.cfs_period_us":
			period = s.value
		case "cpu.max":
			quota, period, _ = strings.Cut(s.value, " ")
		case "cpuset.cpus", "cpuset.mems":
			if !s.v2 {
				continue // systemd does not touch cpuset of v1
			}
			mask, err := bits(s.value)
			if err != nil {
				return nil, fmt.Errorf("linux.resources.%s: %w", s.field, err)
			}
			all = append(all, Property{map[string]string{"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}[s.file], mask, 244})
		}
	}
	if (quota == "") != (period == "") {
		nowQuota, nowPeriod := effective()
		if quota == "" {
			quota = nowQuota
		} else {
			period = nowPeriod
		}
	}
	cpu, err := quotaProperties(quota, period)
	return append(all, cpu...), err
}

// quotaProperties: systemd counts processor time in microseconds a second, and
// rounds it down to whole per cents.
func quotaProperties(quota, period string) ([]Property, error) {
	var all []Property
	length := uint64(100_000) // the kernel's own
	if period != "" {
		var err error
		if length, err = strconv.ParseUint(period, 10, 64); err != nil || length == 0 {
			return nil, fmt.Errorf("linux.resources.cpu.period: %q is no length of time", period)
		}
		all = append(all, Property{"CPUQuotaPeriodUSec", length, 242})
	}
	if quota == "" {
		return all, nil
	}
	n, err := unitNumber(quota)
	if err != nil {
		return nil, fmt.Errorf("linux.resources.cpu.quota: %w", err)
	}
	if n != infinity {
		if n > infinity/1_000_000 {
			return nil, fmt.Errorf("linux.resources.cpu.quota: %d is too long", n)
		}
		const perCent = 10_000
		n = (n*1_000_000/length + perCent - 1) / perCent * perCent
	}
	return append(all, Property{"CPUQuotaPerSecUSec", n, 0}), nil
}

// unitNumber reads a limit: of v2 "max", of v1 any negative is none.
func unitNumber(s string) (uint64, error) {
	if s == "max" || strings.HasPrefix(s, "-") {
		return infinity, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// bits reads a list like "0-3,8" as a mask, the lowest byte first.
func bits(list string) ([]byte, error) {
	var mask []byte
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || first > last {
			return nil, fmt.Errorf("%q is no list of numbers", list)
		}
		for n := first; n <= last; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}

// deviceProperties is the device list as systemd knows lists: what is allowed,
// and nothing else. So a rule that denies takes its part out of those before it.
// Where that would leave one with a hole it stays whole, as in v1's own list.
func deviceProperties(rules []rule) []Property {
	strict := false
	var allowed []rule
	for _, r := range rules {
		switch {
		case r.everything():
			strict, allowed = !r.allow, nil
		case r.kind == 'a':
			for _, kind := range [...]byte{'c', 'b'} {
				r.kind = kind
				allowed = changed(allowed, r)
			}
		default:
			allowed = changed(allowed, r)
		}
	}
	devices := [][2]string{}
	if !strict {
		return []Property{{"DevicePolicy", "auto", 0}, {"DeviceAllow", devices, 0}}
	}
	for i := range allowed {
		if name := allowed[i].unit(); name != "" && allowed[i].access != 0 {
			line := allowed[i].line(allowed[i].kind)
			devices = append(devices, [2]string{name, line[strings.LastIndexByte(line, ' ')+1:]})
		}
	}
	return []Property{{"DevicePolicy", "strict", 0}, {"DeviceAllow", devices, 0}}
}

// changed is the list after a rule for one kind.
func changed(allowed []rule, r rule) []rule {
	if r.allow {
		return append(allowed, r)
	}
	for i := range allowed {
		a := &allowed[i]
		if a.kind == r.kind && (r.major == all || r.major == a.major) && (r.minor == all || r.minor == a.minor) {
			a.access &^= r.access
		}
	}
	return allowed
}

// unit names a rule's devices as systemd.resource-control(5) does; "" for one
// minor of all majors, which it has no word for.
func (r *rule) unit() string {
	name := "char"
	if r.kind == 'b' {
		name = "block"
	}
	switch {
	case r.major == all && r.minor == all:
		return name + "-*"
	case r.major == all:
		return ""
	case r.minor == all:
		return name + "-" + strconv.FormatInt(r.major, 10)
	}
	return "/dev/" + name + "/" + strconv.FormatInt(r.major, 10) + ":" + strconv.FormatInt(r.minor, 10)
}
