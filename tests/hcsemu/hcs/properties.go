package hcs

import (
	"fmt"
	"slices"
	"time"

	"wrun/tests/hcsemu/wire"
)

// This file answers what a system is and uses, in the shapes that HCS documents.

// baseProperties is what every answer about a system has, in HCS's names.
type baseProperties struct {
	ID                  string `json:"Id"`
	Name                string `json:",omitempty"`
	SystemType          string
	RuntimeOsType       string
	Owner               string
	RuntimeID           string `json:"RuntimeId"`
	State               state
	Stopped             bool                 `json:",omitempty"`
	ExitType            string               `json:",omitempty"`
	HostingSystemID     string               `json:"HostingSystemId,omitempty"`
	TerminateOnClose    *bool                `json:"TerminateOnLastHandleClosed,omitempty"`
	Statistics          *statistics          `json:",omitempty"`
	ProcessList         []ProcessDetails     `json:",omitempty"`
	Memory              *memoryInformation   `json:",omitempty"`
	GuestConnectionInfo *guestConnectionInfo `json:",omitempty"`
	MappedVirtualDisks  *map[string]any      `json:"MappedVirtualDiskControllers,omitempty"`
}

type statistics struct {
	Timestamp          time.Time
	ContainerStartTime time.Time
	Uptime100ns        uint64
	Processor          struct{ TotalRuntime100ns, RuntimeUser100ns, RuntimeKernel100ns uint64 }
	Memory             struct {
		MemoryUsageCommitBytes, MemoryUsageCommitPeakBytes, MemoryUsagePrivateWorkingSetBytes uint64
	}
	Storage struct{ ReadCountNormalized, ReadSizeBytes, WriteCountNormalized, WriteSizeBytes uint64 }
}

type memoryInformation struct {
	VirtualNodeCount     uint8
	VirtualMachineMemory struct {
		AvailableMemory, AvailableMemoryBuffer int32
		ReservedMemory, AssignedMemory         uint64
		SlpActive, BalancingEnabled            bool
	}
}

type guestConnectionInfo struct {
	SupportedSchemaVersions  []version
	ProtocolVersion          uint32
	GuestDefinedCapabilities struct {
		NamespaceAddRequestSupported, SignalProcessSupported, DumpStacksSupported bool
		DeleteContainerStateSupported, UpdateContainerSupported                   bool
	}
}

// base needs s.mu.
func (y *system) base() baseProperties {
	p := baseProperties{
		ID: y.id, Name: y.name, SystemType: y.systemType(), RuntimeOsType: "Windows", Owner: y.owner,
		RuntimeID: y.runtimeID, State: y.state,
	}
	if y.linux {
		p.RuntimeOsType = "Linux"
	}
	if y.host != nil {
		p.HostingSystemID = y.host.id
	}
	if y.state == stateStopped {
		p.Stopped, p.ExitType = true, y.exitType
	}
	return p
}

func properties(s *Service, c *call) (*wire.Answer, error) {
	var q propertyQuery
	if err := decodeOptional(c.Arg(0), &q); err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, y, err := s.systemOf(c)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	p, room := y.base(), y.room
	running := y.state == stateRunning || y.state == statePaused
	memory := y.memoryMB
	s.mu.Unlock()
	for _, t := range q.PropertyTypes {
		switch t {
		case "TerminateOnLastHandleClosed":
			p.TerminateOnClose = &y.terminateOnClose
		case "MappedVirtualDisk":
			p.MappedVirtualDisks = &map[string]any{}
		}
		if !running {
			continue // the rest is of running systems
		}
		switch t {
		case "Statistics":
			u, err := room.Usage()
			if err != nil {
				return nil, fmt.Errorf("statistics of %s: %w", y.id, err)
			}
			p.Statistics = newStatistics(u, y.started)
		case "ProcessList":
			list, err := room.Processes()
			if err != nil {
				return nil, fmt.Errorf("processes of %s: %w", y.id, err)
			}
			slices.SortFunc(list, func(a, b ProcessDetails) int { return a.CreateTimestamp.Compare(b.CreateTimestamp) })
			p.ProcessList = list
		case "Memory":
			if y.kind == vm {
				p.Memory = &memoryInformation{VirtualNodeCount: 1}
				p.Memory.VirtualMachineMemory.AssignedMemory = memory * 256 // pages
			}
		case "GuestConnection":
			if y.kind == vm && y.guestConnection || y.kind == hyperv {
				p.GuestConnectionInfo = newGuestConnection()
			}
		}
	}
	return value(p), nil
}

func newStatistics(u Usage, since time.Time) *statistics {
	now := time.Now()
	st := &statistics{Timestamp: now.UTC(), ContainerStartTime: since.UTC(), Uptime100ns: uint64(now.Sub(since) / 100)}
	st.Processor.RuntimeUser100ns, st.Processor.RuntimeKernel100ns = u.User100ns, u.Kernel100ns
	st.Processor.TotalRuntime100ns = u.User100ns + u.Kernel100ns
	st.Memory.MemoryUsageCommitBytes, st.Memory.MemoryUsageCommitPeakBytes = u.CommitBytes, u.CommitPeak
	st.Memory.MemoryUsagePrivateWorkingSetBytes = u.WorkingSetBytes
	st.Storage.ReadCountNormalized, st.Storage.ReadSizeBytes = u.Reads, u.ReadBytes
	st.Storage.WriteCountNormalized, st.Storage.WriteSizeBytes = u.Writes, u.WriteBytes
	return st
}

func newGuestConnection() *guestConnectionInfo {
	g := &guestConnectionInfo{SupportedSchemaVersions: []version{{1, 0}, {2, 1}}, ProtocolVersion: 4}
	g.GuestDefinedCapabilities.NamespaceAddRequestSupported = true
	g.GuestDefinedCapabilities.SignalProcessSupported = true
	g.GuestDefinedCapabilities.DeleteContainerStateSupported = true
	g.GuestDefinedCapabilities.UpdateContainerSupported = true
	return g
}
