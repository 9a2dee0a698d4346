package hcsdoc

import (
	"math"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file reads resources: windows.resources, the annotations that overrule
// its fields one by one, and what they mean for the VM around a container.

const mib = 1 << 20

// amount is a limit and the place of config.json that asks for it; 0 is none.
type amount struct {
	n  uint64
	at string
}

// ask is the annotation's number if it is there, else the field's. A field of 0
// asks for nothing, as engines write it.
func ask(s *specs.Spec, annotation string, field uint64, at string, most uint64) (amount, error) {
	n, ok, err := number(s, annotation, most)
	switch {
	case err != nil:
		return amount{}, err
	case ok:
		return amount{n, path(annotation)}, nil
	case field > most:
		return amount{}, bad(at, "%d is more than %d", field, most)
	}
	return amount{field, at}, nil
}

func value[T ~uint16 | ~uint64](p *T) uint64 {
	if p == nil {
		return 0
	}
	return uint64(*p)
}

// asked are the fields of windows.resources, each empty where absent.
func asked(s *specs.Spec) (m specs.WindowsMemoryResources, c specs.WindowsCPUResources, d specs.WindowsStorageResources) {
	if s.Windows == nil || s.Windows.Resources == nil {
		return
	}
	r := s.Windows.Resources
	if r.Memory != nil {
		m = *r.Memory
	}
	if r.CPU != nil {
		c = *r.CPU
	}
	if r.Storage != nil {
		d = *r.Storage
	}
	return
}

// megabytes is a limit in bytes as HCS counts it. Rounding down would make 0,
// no limit at all, of less than one of them.
func megabytes(bytes uint64) (uint64, error) {
	if bytes > 0 && bytes < mib {
		return 0, bad("windows.resources.memory.limit", "%d bytes is less than the 1 MiB that HCS counts in", bytes)
	}
	return bytes / mib, nil
}

type limits struct {
	memoryMB               uint64
	count, maximum, weight uint64
	iops, bps              uint64
}

// containerLimits are the limits of one container on cpus processors, 0
// unknown. "The following parameters can be specified (mutually exclusive)":
// config-windows.md, CPU.
func containerLimits(s *specs.Spec, cpus int) (l limits, err error) {
	m, c, d := asked(s)
	if l.memoryMB, err = megabytes(value(m.Limit)); err != nil {
		return l, err
	}
	if n, ok, err := number(s, annContainerMemory, math.MaxInt64/mib); err != nil {
		return l, err
	} else if ok {
		l.memoryMB = n
	}
	count, maximum, weight, err := rates(s, &c, cpus, [3]string{annContainerCount, annContainerLimit, annContainerWeight})
	if err != nil {
		return l, err
	}
	if err := exclusive(count, maximum, weight); err != nil {
		return l, err
	}
	l.count, l.maximum, l.weight = count.n, maximum.n, weight.n
	iops, err := ask(s, annContainerIops, value(d.Iops), "windows.resources.storage.iops", math.MaxInt64)
	if err != nil {
		return l, err
	}
	bps, err := ask(s, annContainerBps, value(d.Bps), "windows.resources.storage.bps", math.MaxInt64)
	l.iops, l.bps = iops.n, bps.n
	return l, err
}

// rates are count, maximum and shares, those of the annotations names first; a
// count beyond the processors there are is all of them.
func rates(s *specs.Spec, c *specs.WindowsCPUResources, cpus int, names [3]string) (count, maximum, weight amount, err error) {
	const at = "windows.resources.cpu"
	if count, err = ask(s, names[0], value(c.Count), at+".count", math.MaxInt32); err != nil {
		return
	}
	if cpus > 0 {
		count.n = min(count.n, uint64(cpus))
	}
	if maximum, err = ask(s, names[1], value(c.Maximum), at+".maximum", 10000); err != nil {
		return
	}
	weight, err = ask(s, names[2], value(c.Shares), at+".shares", 10000)
	return
}

// exclusive: at most one of them asks for something.
func exclusive(list ...amount) error {
	var set []string
	for _, a := range list {
		if a.n != 0 {
			set = append(set, a.at)
		}
	}
	if len(set) > 1 {
		return bad(set[0], "is set together with %s; they are mutually exclusive", strings.Join(set[1:], " and "))
	}
	return nil
}

// apply writes l into a container's document.
func (l *limits) apply(c *container) {
	if l.memoryMB != 0 {
		c.Memory = &memory{l.memoryMB}
	}
	if l.count|l.maximum|l.weight != 0 {
		c.Processor = &processor{l.count, l.maximum, l.weight}
	}
	if l.iops|l.bps != 0 {
		c.Storage.QoS = &storageQoS{l.iops, l.bps}
	}
}

// vmTopology sizes a utility VM: what annotations say, else what
// windows.resources asks for the container. Under Hyper-V limits hold for the
// VM and for the container in it, so a VM that is made for one container never
// gets less than its container, nor less than a guest needs to boot.
func vmTopology(in *Input) (topology, error) {
	s, t := in.Spec, topology{}
	m, c, _ := asked(s)
	limit, err := megabytes(value(m.Limit))
	if err != nil {
		return t, err
	}
	size, ok, err := number(s, annVMMemory, math.MaxInt64/mib)
	if err != nil {
		return t, err
	}
	if !ok {
		size = max(limit, 1024)
	}
	t.Memory.SizeInMB = size + size%2 // HCS takes even sizes only
	physical, err := boolean(s, annPhysical, false)
	if err != nil {
		return t, err
	}
	if t.Memory.AllowOvercommit, err = boolean(s, annOvercommit, !physical); err != nil {
		return t, err
	}
	if physical && t.Memory.AllowOvercommit {
		return t, bad(path(annOvercommit), "is true, and %s wants memory that is all there", path(annPhysical))
	}
	if t.Memory.EnableDeferredCommit, err = boolean(s, annDeferredCommit, false); err != nil {
		return t, err
	}
	if physical && t.Memory.EnableDeferredCommit {
		return t, bad(path(annDeferredCommit), "is true, and %s wants memory that is all there", path(annPhysical))
	}
	// A VM has all three, unlike the job object of a container.
	count, maximum, weight, err := rates(s, &c, in.CPUs, [3]string{annVMCount, annVMLimit, annVMWeight})
	if err != nil {
		return t, err
	}
	t.Processor = vmProcessor{Count: count.n, Limit: maximum.n, Weight: weight.n}
	if t.Processor.Count == 0 {
		t.Processor.Count = 2
		if in.CPUs == 1 {
			t.Processor.Count = 1
		}
	}
	if id, ok := s.Annotations[annCPUGroup]; ok {
		if id == "" {
			return t, bad(path(annCPUGroup), "is empty")
		}
		t.Processor.CPUGroup = &cpuGroup{id}
	}
	return t, nil
}

// vmStorage is the VM's own storage limit, by annotation only.
func vmStorage(s *specs.Spec) (*storageQoS, error) {
	iops, _, err := number(s, annVMIops, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	bps, _, err := number(s, annVMBps, math.MaxInt64)
	if err != nil || iops|bps == 0 {
		return nil, err
	}
	return &storageQoS{iops, bps}, nil
}

// SandboxSize is windows.resources.storage.sandboxSize in bytes, 0 none. Schema
// v2 has no field for it: before a silo or hosted container is made, the host
// expands the scratch to it. The v1 document carries it.
func SandboxSize(s *specs.Spec) uint64 {
	if s == nil {
		return 0
	}
	_, _, d := asked(s)
	return value(d.SandboxSize)
}

// Affinity is what of windows.resources.cpu.affinity the host sets on the
// silo's job object between create and start; no schema has a field for it. A
// utility VM cannot have it, and before build 20348 a silo lives in one
// processor group, number 0.
func Affinity(in *Input) ([]specs.WindowsCPUGroupAffinity, error) {
	if in == nil || in.Spec == nil {
		return nil, nil
	}
	_, c, _ := asked(in.Spec)
	const at = "windows.resources.cpu.affinity"
	if len(c.Affinity) == 0 {
		return nil, nil
	}
	if in.Spec.Windows.HyperV != nil {
		return nil, bad(at, "cannot be had under Hyper-V isolation")
	}
	for i, a := range c.Affinity {
		switch {
		case a.Mask == 0:
			return nil, bad(index(at, i, "mask"), "names no processor")
		case a.Group > math.MaxUint16:
			return nil, bad(index(at, i, "group"), "%d is no processor group", a.Group)
		case in.Build != 0 && in.Build < 20348 && a.Group != 0:
			return nil, bad(index(at, i, "group"), "processor group %d needs Windows Server 2022 or Windows 11 (build 20348), this is build %d", a.Group, in.Build)
		case in.Build != 0 && in.Build < 20348 && i > 0:
			return nil, bad(index(at, i, ""), "more than one entry needs Windows Server 2022 or Windows 11 (build 20348), this is build %d", in.Build)
		}
	}
	return c.Affinity, nil
}
