package cgroup

import (
	"strconv"
	"strings"
)

// pairs reads the lines "name value" of memory.stat, cpu.stat and their like.
func pairs(s string) map[string]uint64 {
	m := make(map[string]uint64, 64)
	for line := range strings.SplitSeq(s, "\n") {
		if k, v, ok := strings.Cut(line, " "); ok {
			m[k] = number(v)
		}
	}
	return m
}

// list reads a cpuset list, "0-2,7".
func list(s string) []uint16 {
	var l []uint16
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		for n := from; n <= to; n++ {
			l = append(l, uint16(n))
		}
	}
	return l
}

// blkioEntries reads a v1 file of lines "major:minor Op value" or, where a
// device has one counter only, "major:minor value".
func blkioEntries(s string) []BlkioEntry {
	var l []BlkioEntry
	for line := range strings.SplitSeq(s, "\n") {
		f := fields(line)
		if len(f) < 2 {
			continue
		}
		e, ok := device(f[0])
		if !ok {
			continue // the line "Total n"
		}
		if len(f) > 2 {
			e.Op = f[1]
		}
		e.Value = number(f[len(f)-1])
		l = append(l, e)
	}
	return l
}

func device(s string) (BlkioEntry, bool) {
	major, minor, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	return BlkioEntry{Major: a, Minor: b}, ok && err1 == nil && err2 == nil
}

// ioStat reads v2's io.stat, "major:minor rbytes=n wbytes=n rios=n wios=n …",
// and names the counters as v1 does.
func (b *Blkio) ioStat(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		f := fields(line)
		if len(f) == 0 {
			continue
		}
		e, ok := device(f[0])
		if !ok {
			continue
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			e.Value = number(v)
			switch k {
			case "rbytes":
				e.Op = "Read"
				b.ServiceBytes = append(b.ServiceBytes, e)
			case "wbytes":
				e.Op = "Write"
				b.ServiceBytes = append(b.ServiceBytes, e)
			case "rios":
				e.Op = "Read"
				b.Serviced = append(b.Serviced, e)
			case "wios":
				e.Op = "Write"
				b.Serviced = append(b.Serviced, e)
			}
		}
	}
}

// pressure reads a pressure file; nil when there is nothing to read.
func pressure(s string) *Pressure {
	if s == "" {
		return nil
	}
	p := new(Pressure)
	for line := range strings.SplitSeq(s, "\n") {
		f := fields(line)
		if len(f) == 0 {
			continue
		}
		to := &p.Some
		if f[0] == "full" {
			to = &p.Full
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			avg, _ := strconv.ParseFloat(v, 64)
			switch k {
			case "avg10":
				to.Avg10 = avg
			case "avg60":
				to.Avg60 = avg
			case "avg300":
				to.Avg300 = avg
			case "total":
				to.Total = number(v)
			}
		}
	}
	return p
}

// perCPU reads cpuacct.usage_all: a heading, then "cpu user system" a line.
func (c *CPU) perCPU(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		f := numbers(line)
		if len(f) != 3 || strings.HasPrefix(line, "cpu") {
			continue
		}
		c.Usage.PercpuUser = append(c.Usage.PercpuUser, f[1])
		c.Usage.PercpuKernel = append(c.Usage.PercpuKernel, f[2])
	}
}
