package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// limit is one of update's options: its name and where its value goes, for the
// container's operating system. A limit that a system does not have is nil.
type limit struct {
	option  string
	linux   func(r *specs.LinuxResources, value string) error
	windows func(r *specs.WindowsResources, value string) error
	usage   string // "" hides it
}

// limits is a function because a table of closures would be built at every
// start of wrun.
func limits() []limit {
	return []limit{
		{"blkio-weight", setBlockWeight, nil, "weight of block IO, 10 to 1000"},
		{"cpu-period", cpu(func(c *specs.LinuxCPU) any { return &c.Period }), nil, "CFS period in microseconds"},
		{"cpu-quota", cpu(func(c *specs.LinuxCPU) any { return &c.Quota }), nil, "CFS quota in microseconds, -1 for none"},
		{"cpu-burst", cpu(func(c *specs.LinuxCPU) any { return &c.Burst }), nil, "CFS burst in microseconds"},
		{"cpu-share", cpu(func(c *specs.LinuxCPU) any { return &c.Shares }), windowsCPU(func(c *specs.WindowsCPUResources, n uint64) { c.Shares = short(n) }, 10000),
			"share of the CPUs against other containers (Windows: 1 to 10000)"},
		{"cpu-count", nil, windowsCPU(func(c *specs.WindowsCPUResources, n uint64) { c.Count = &n }, math.MaxInt64), "number of CPUs (Windows)"},
		{"cpu-maximum", nil, windowsCPU(func(c *specs.WindowsCPUResources, n uint64) { c.Maximum = short(n) }, 10000), "share of all CPU time, in 1/10000 (Windows)"},
		{"cpu-rt-period", cpu(func(c *specs.LinuxCPU) any { return &c.RealtimePeriod }), nil, "realtime period in microseconds"},
		{"cpu-rt-runtime", cpu(func(c *specs.LinuxCPU) any { return &c.RealtimeRuntime }), nil, "realtime quota in microseconds"},
		{"cpu-idle", cpu(func(c *specs.LinuxCPU) any { return &c.Idle }), nil, "1: scheduled only when nothing else runs"},
		{"cpuset-cpus", cpu(func(c *specs.LinuxCPU) any { return &c.Cpus }), nil, "CPUs to use: 0-3,5"},
		{"cpuset-mems", cpu(func(c *specs.LinuxCPU) any { return &c.Mems }), nil, "memory nodes to use"},
		{"memory", memory(func(m *specs.LinuxMemory) **int64 { return &m.Limit }), windowsMemory, "limit of memory"},
		{"memory-reservation", memory(func(m *specs.LinuxMemory) **int64 { return &m.Reservation }), nil, "soft limit of memory"},
		{"memory-swap", memory(func(m *specs.LinuxMemory) **int64 { return &m.Swap }), nil, "limit of memory and swap together, -1 for none"},
		{"pids-limit", setPids, nil, "limit of processes, -1 for none"},
		{"kernel-memory", ignored, nil, ""},
		{"kernel-memory-tcp", ignored, nil, ""},
		{"l3-cache-schema", noRDT, nil, ""},
		{"mem-bw-schema", noRDT, nil, ""},
	}
}

// windowsCPU reads a number up to most; 0 would change nothing (config-windows.md
// has no such limit), so it is refused.
func windowsCPU(set func(*specs.WindowsCPUResources, uint64), most uint64) func(*specs.WindowsResources, string) error {
	return func(r *specs.WindowsResources, value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n == 0 || n > most {
			return fmt.Errorf("not a number from 1 to %d", most)
		}
		if r.CPU == nil {
			r.CPU = &specs.WindowsCPUResources{}
		}
		set(r.CPU, n)
		return nil
	}
}

func short(n uint64) *uint16 {
	s := uint16(n)
	return &s
}

func windowsMemory(r *specs.WindowsResources, value string) error {
	n, err := parseSize(value)
	if err != nil {
		return err
	}
	if n <= 0 {
		return errors.New("a Windows container always has a limit of memory")
	}
	limit := uint64(n)
	r.Memory = &specs.WindowsMemoryResources{Limit: &limit}
	return nil
}

func cpu(field func(*specs.LinuxCPU) any) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, value string) error {
		if r.CPU == nil {
			r.CPU = &specs.LinuxCPU{}
		}
		switch f := field(r.CPU).(type) {
		case *string:
			*f = value
		case **uint64:
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return errors.New("not a number")
			}
			*f = &n
		case **int64:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return errors.New("not a number")
			}
			*f = &n
		}
		return nil
	}
}

func memory(field func(*specs.LinuxMemory) **int64) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, value string) error {
		n, err := parseSize(value)
		if err != nil {
			return err
		}
		if r.Memory == nil {
			r.Memory = &specs.LinuxMemory{}
		}
		*field(r.Memory) = &n
		return nil
	}
}

func setBlockWeight(r *specs.LinuxResources, value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return errors.New("not a weight")
	}
	weight := uint16(n)
	r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	return nil
}

func setPids(r *specs.LinuxResources, value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return errors.New("not a number")
	}
	r.Pids = &specs.LinuxPids{Limit: &n}
	return nil
}

// ignored are limits that Linux no longer has; runc ignores them too.
func ignored(*specs.LinuxResources, string) error { return nil }

func noRDT(*specs.LinuxResources, string) error {
	return errors.New("intelRdt is not supported")
}

// parseSize reads bytes with an optional unit (k, m, g, t, p, as powers of
// 1024; "b" and "ib" behind them are allowed), or -1.
func parseSize(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= -1 {
		return n, nil
	}
	number := strings.TrimRight(s, "kKmMgGtTpPiIbB ")
	unit := strings.ToLower(strings.TrimSpace(s[len(number):]))
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, fmt.Errorf("invalid size: %q", s)
	}
	scale := 0
	if unit != "" && unit != "b" {
		scale = strings.IndexByte("kmgtp", unit[0]) + 1
		if rest := unit[1:]; scale == 0 || rest != "" && rest != "b" && rest != "ib" {
			return 0, fmt.Errorf("invalid size: %q", s)
		}
	}
	n = math.Ldexp(n, 10*scale)
	if n >= math.MaxInt64 {
		return 0, fmt.Errorf("invalid size: %q is too big", s)
	}
	return int64(n), nil
}
