package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// arch is a system call convention: what the kernel calls it, which column of
// the table numbers its calls, and how wide its arguments are.
type arch struct {
	name   specs.Arch
	audit  uint32 // AUDIT_ARCH_*, what seccomp_data.arch holds
	column int
	// narrow arguments are compared by their lower 32 bits only; so are x32's,
	// whose registers are 64 bits wide, because libseccomp does it.
	narrow bool
	// bigEndian puts the upper half of an argument first.
	bigEndian bool
	// multiplexed: socketcall(2) and ipc(2) carry calls that may have no number
	// of their own.
	multiplexed bool
}

// The columns of numbers, in the order of headers in gentables.go.
const (
	columnX86_64 = iota
	columnX86
	columnX32
	columnAARCH64
	columnARM
	columnPPC64LE
	columnRISCV64
	columnS390X
	columnS390
)

const (
	auditX86_64 = 0xc000003e

	// x32Bit marks the calls of x32 programs, which the kernel reports as x86_64.
	x32Bit = 0x40000000
	// x32 numbered some calls apart from x86_64 and stopped: the numbers from
	// 512 to 547 are no younger than those below them.
	x32OldFirst, x32OldEnd = 512, 548

	// ARM's private calls (cacheflush, set_tls, ...) start here.
	armPrivate, armPrivateCount = 0x0f0000, 8

	socketcallNumber, ipcNumber = 102, 117 // on every architecture that has them
)

var archTable = [columnCount]arch{
	{name: specs.ArchX86_64, audit: auditX86_64, column: columnX86_64},
	{name: specs.ArchX86, audit: 0x40000003, column: columnX86, narrow: true, multiplexed: true},
	{name: specs.ArchX32, audit: auditX86_64, column: columnX32, narrow: true},
	{name: specs.ArchAARCH64, audit: 0xc00000b7, column: columnAARCH64},
	{name: specs.ArchARM, audit: 0x40000028, column: columnARM, narrow: true},
	{name: specs.ArchPPC64LE, audit: 0xc0000015, column: columnPPC64LE, multiplexed: true},
	{name: specs.ArchRISCV64, audit: 0xc00000f3, column: columnRISCV64},
	{name: specs.ArchS390X, audit: 0x80000016, column: columnS390X, bigEndian: true, multiplexed: true},
	{name: specs.ArchS390, audit: 0x00000016, column: columnS390, narrow: true, bigEndian: true, multiplexed: true},
}

func nativeColumn(goarch string) int {
	switch goarch {
	case "amd64":
		return columnX86_64
	case "386":
		return columnX86
	case "arm64":
		return columnAARCH64
	case "arm":
		return columnARM
	case "ppc64le":
		return columnPPC64LE
	case "riscv64":
		return columnRISCV64
	case "s390x":
		return columnS390X
	}
	return -1
}

// selectArches lists the native architecture, which libseccomp always
// includes, and those the profile adds.
func selectArches(listed []specs.Arch, goarch string) (arches []*arch, warnings []string, err error) {
	native := nativeColumn(goarch)
	if native < 0 {
		return nil, nil, fmt.Errorf("linux.seccomp: the system call numbers of %s are not known", goarch)
	}
	arches = append(arches, &archTable[native])
next:
	for i, name := range listed {
		for c := range archTable {
			if a := &archTable[c]; a.name == name {
				if !slices.Contains(arches, a) {
					arches = append(arches, a)
				}
				continue next
			}
		}
		switch name {
		case specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
			specs.ArchPPC, specs.ArchPPC64, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchLOONGARCH64,
			specs.ArchM68K, specs.ArchSH, specs.ArchSHEB:
			warnings = append(warnings, "seccomp architecture "+string(name)+" is left out: its system call numbers are not known")
		default:
			return nil, nil, fmt.Errorf("linux.seccomp.architectures[%d]: %q is no architecture of the runtime specification", i, name)
		}
	}
	return arches, warnings, nil
}
