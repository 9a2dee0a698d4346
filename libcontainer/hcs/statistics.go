package hcs

import "time"

// statistics are the service's, of a container or a utility VM; the names are
// those of its "Statistics" property, in both schemas.
type statistics struct {
	Timestamp          time.Time
	ContainerStartTime time.Time
	Uptime100ns        uint64
	Processor          struct {
		TotalRuntime100ns, RuntimeUser100ns, RuntimeKernel100ns uint64
	}
	Memory struct {
		MemoryUsageCommitBytes, MemoryUsageCommitPeakBytes, MemoryUsagePrivateWorkingSetBytes uint64
	}
	Storage struct {
		ReadCountNormalized, ReadSizeBytes, WriteCountNormalized, WriteSizeBytes uint64
	}
}

// usage is what events print, in runc's shape: cpu in ns, memory in bytes.
type usage struct {
	CPU struct {
		Usage struct {
			Total  uint64 `json:"total"`
			Kernel uint64 `json:"kernel"`
			User   uint64 `json:"user"`
		} `json:"usage"`
	} `json:"cpu"`
	Memory struct {
		Usage struct {
			Usage uint64 `json:"usage"` // committed
			Max   uint64 `json:"max"`
		} `json:"usage"`
		PrivateWorkingSet uint64 `json:"privateWorkingSet"`
	} `json:"memory"`
	Storage struct {
		ReadCount  uint64 `json:"readCount"`
		ReadBytes  uint64 `json:"readBytes"`
		WriteCount uint64 `json:"writeCount"`
		WriteBytes uint64 `json:"writeBytes"`
	} `json:"storage"`
	Uptime uint64 `json:"uptime"` // ns
}

func (s *statistics) usage() *usage {
	u := new(usage)
	u.CPU.Usage.Total = s.Processor.TotalRuntime100ns * 100
	u.CPU.Usage.Kernel = s.Processor.RuntimeKernel100ns * 100
	u.CPU.Usage.User = s.Processor.RuntimeUser100ns * 100
	u.Memory.Usage.Usage = s.Memory.MemoryUsageCommitBytes
	u.Memory.Usage.Max = s.Memory.MemoryUsageCommitPeakBytes
	u.Memory.PrivateWorkingSet = s.Memory.MemoryUsagePrivateWorkingSetBytes
	u.Storage.ReadCount = s.Storage.ReadCountNormalized
	u.Storage.ReadBytes = s.Storage.ReadSizeBytes
	u.Storage.WriteCount = s.Storage.WriteCountNormalized
	u.Storage.WriteBytes = s.Storage.WriteSizeBytes
	u.Uptime = s.Uptime100ns * 100
	return u
}
