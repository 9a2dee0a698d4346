package hcs

// The v1 schema of a container, as Docker sends it through vmcompute.dll (the
// fields of hcsshim's public ContainerConfig; Microsoft never documented it).

type containerConfig struct {
	SystemType                  string
	Name                        string
	Owner                       string
	VolumePath                  string
	IgnoreFlushesDuringBoot     bool
	LayerFolderPath             string
	Layers                      []layerV1
	Credentials                 string
	ProcessorCount              uint32
	ProcessorWeight             uint64
	ProcessorMaximum            int64
	StorageIOPSMaximum          uint64
	StorageBandwidthMaximum     uint64
	StorageSandboxSize          uint64
	MemoryMaximumInMB           int64
	HostName                    string
	MappedDirectories           []mappedDirectoryV1
	MappedPipes                 []mappedPipe
	HvPartition                 bool
	NetworkSharedContainerName  string
	EndpointList                []string
	HvRuntime                   *hvRuntime
	Servicing                   bool
	AllowUnqualifiedDNSQuery    bool
	DNSSearchList               string
	ContainerType               string
	TerminateOnLastHandleClosed bool
	MappedVirtualDisks          []struct {
		HostPath          string
		ContainerPath     string
		CreateInUtilityVM bool
		ReadOnly          bool
		Cache             string
		AttachOnly        bool
	}
	AssignedDevices []struct {
		InterfaceClassGUID string `json:"InterfaceClassGuid"`
	}
}

type layerV1 struct {
	ID   string
	Path string
}

type mappedDirectoryV1 struct {
	HostPath          string
	ContainerPath     string
	ReadOnly          bool
	BandwidthMaximum  uint64
	IOPSMaximum       uint64
	CreateInUtilityVM bool
	LinuxMetadata     bool
}

type hvRuntime struct {
	ImagePath           string
	SkipTemplate        bool
	LinuxInitrdFile     string
	LinuxKernelFile     string
	LinuxBootParameters string
	BootSource          string
	WritableBootSource  bool
}
