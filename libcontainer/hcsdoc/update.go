package hcsdoc

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes the changes to a living container's limits.

// Kind is what a limit is changed of.
type Kind string

// Kinds of compute systems.
const (
	KindSilo   Kind = "silo"       // v2 Container
	KindHosted Kind = "hosted"     // v2 HostedSystem
	KindVM     Kind = "utility VM" // v2 VirtualMachine
	KindSingle Kind = "v1"         // a single container under Hyper-V
)

// UpdateResources are the HcsModifyComputeSystem documents that change the
// limits of a living container or utility VM, in order; hostCPUs as Input.CPUs
// (of the VM, for a hosted container). What cannot change is an error, and then
// nothing is to be sent.
func UpdateResources(kind Kind, r *specs.WindowsResources, hostCPUs int) ([][]byte, error) {
	if r == nil {
		return nil, nil
	}
	s := &specs.Spec{Windows: &specs.Windows{Resources: r}}
	_, c, d := asked(s)
	switch {
	case kind == KindSingle:
		return nil, bad("windows.resources", "cannot change while a container of HCS's schema v1 lives")
	case len(c.Affinity) > 0:
		return nil, bad("windows.resources.cpu.affinity", "cannot change while the container lives")
	case value(d.Iops)|value(d.Bps) != 0:
		return nil, bad("windows.resources.storage", "iops and bps cannot change while the container lives")
	case value(d.SandboxSize) != 0:
		return nil, bad("windows.resources.storage.sandboxSize", "cannot change while the container lives")
	case kind == KindVM && value(c.Count) != 0:
		return nil, bad("windows.resources.cpu.count", "cannot change while the utility VM lives")
	}
	l, err := containerLimits(s, hostCPUs)
	if err != nil {
		return nil, err
	}
	memoryPath, cpuPath := "Container/Memory/SizeInMB", "Container/Processor"
	var cpu any = processor{l.count, l.maximum, l.weight}
	if kind == KindVM {
		memoryPath, cpuPath = "VirtualMachine/ComputeTopology/Memory/SizeInMB", "VirtualMachine/ComputeTopology/Processor/Limits"
		l.memoryMB += l.memoryMB % 2
		cpu = vmLimits{l.maximum, l.weight}
	}
	var docs [][]byte
	if l.memoryMB != 0 {
		docs = append(docs, must(&modify{ResourcePath: memoryPath, RequestType: "Update", Settings: l.memoryMB}))
	}
	if l.count|l.maximum|l.weight != 0 {
		docs = append(docs, must(&modify{ResourcePath: cpuPath, RequestType: "Update", Settings: cpu}))
	}
	return docs, nil
}

type vmLimits struct {
	Limit  uint64 `json:",omitempty"`
	Weight uint64 `json:",omitempty"`
}

// UpdateLinux is the document that changes the limits of a living Linux
// container in a utility VM; the agent in the guest reads it, and refuses what
// it cannot change.
func UpdateLinux(r *specs.LinuxResources) ([]byte, error) {
	if r == nil {
		return nil, bad("linux.resources", "is missing")
	}
	return encode(&modify{GuestRequest: &guestRequest{"ContainerConstraints", "Update", struct{ Linux *specs.LinuxResources }{r}}})
}
