package hcsdoc

// This file is schema 2.1 as far as wrun writes it. Field names are HCS's. A
// field that is absent means HCS's default, so omitempty stands wherever the
// zero value and the default agree.

type version struct {
	Major, Minor int
}

type computeSystem struct {
	Owner           string `json:",omitempty"`
	SchemaVersion   version
	HostingSystemID string          `json:"HostingSystemId,omitempty"`
	HostedSystem    any             `json:",omitempty"`
	Container       *container      `json:",omitempty"`
	VirtualMachine  *virtualMachine `json:",omitempty"`
	// ShouldTerminateOnLastHandleClosed is false and written out: each command
	// of wrun is a process of its own, and the container outlives all of them.
	ShouldTerminateOnLastHandleClosed bool
}

type container struct {
	GuestOs                  *guestOs `json:",omitempty"`
	Storage                  storage
	MappedDirectories        []mappedDirectory `json:",omitempty"`
	MappedPipes              []mappedPipe      `json:",omitempty"`
	Memory                   *memory           `json:",omitempty"`
	Processor                *processor        `json:",omitempty"`
	Networking               *networking       `json:",omitempty"`
	ContainerCredentialGuard any               `json:",omitempty"`
	RegistryChanges          *registryChanges  `json:",omitempty"`
	AssignedDevices          []device          `json:",omitempty"`
}

type guestOs struct{ HostName string }

type storage struct {
	Layers []layer     `json:",omitempty"`
	Path   string      `json:",omitempty"`
	QoS    *storageQoS `json:",omitempty"`
}

type layer struct {
	ID   string `json:"Id,omitempty"`
	Path string
}

type storageQoS struct {
	IopsMaximum      uint64 `json:",omitempty"`
	BandwidthMaximum uint64 `json:",omitempty"`
}

type mappedDirectory struct {
	HostPath, ContainerPath string
	ReadOnly                bool `json:",omitempty"`
}

type mappedPipe struct {
	ContainerPipeName, HostPath string
}

type memory struct{ SizeInMB uint64 }

type processor struct {
	Count   uint64 `json:",omitempty"`
	Maximum uint64 `json:",omitempty"`
	Weight  uint64 `json:",omitempty"`
}

type networking struct {
	AllowUnqualifiedDNSQuery   bool   `json:"AllowUnqualifiedDnsQuery,omitempty"`
	DNSSearchList              string `json:"DnsSearchList,omitempty"`
	NetworkSharedContainerName string `json:",omitempty"`
	Namespace                  string `json:",omitempty"`
}

type registryChanges struct{ AddValues []registryValue }

type registryKey struct{ Hive, Name string }

type registryValue struct {
	Key         registryKey
	Name, Type  string
	StringValue string `json:",omitempty"`
	DWordValue  int32  `json:",omitempty"`
}

type device struct {
	Type               string `json:",omitempty"`
	InterfaceClassGUID string `json:"InterfaceClassGuid,omitempty"`
	LocationPath       string `json:",omitempty"`
}

type hostedSystem struct {
	SchemaVersion version
	Container     *container
}

type virtualMachine struct {
	StopOnReset     bool // a guest that reboots has ended
	Chipset         chipset
	ComputeTopology topology
	Devices         devices
	RegistryChanges *registryChanges `json:",omitempty"`
	StorageQoS      *storageQoS      `json:",omitempty"`
	// GuestConnection makes HCS itself speak to the guest, which is what lets
	// any process open the containers in the VM.
	GuestConnection guestConnection
}

type guestConnection struct {
	UseVsock            bool `json:",omitempty"`
	UseConnectedSuspend bool `json:",omitempty"`
}

type chipset struct {
	Uefi              *uefi              `json:",omitempty"`
	LinuxKernelDirect *linuxKernelDirect `json:",omitempty"`
}

type uefi struct{ BootThis uefiBootEntry }

type uefiBootEntry struct{ DeviceType, DevicePath string }

type linuxKernelDirect struct {
	KernelFilePath string
	InitRdPath     string `json:",omitempty"`
	KernelCmdLine  string
}

type topology struct {
	Memory    vmMemory
	Processor vmProcessor
}

type vmMemory struct {
	SizeInMB             uint64
	AllowOvercommit      bool `json:",omitempty"`
	EnableHotHint        bool `json:",omitempty"`
	EnableDeferredCommit bool `json:",omitempty"`
}

type vmProcessor struct {
	Count    uint64
	Limit    uint64    `json:",omitempty"`
	Weight   uint64    `json:",omitempty"`
	CPUGroup *cpuGroup `json:"CpuGroup,omitempty"`
}

type cpuGroup struct {
	ID string `json:"Id"`
}

type devices struct {
	ComPorts    map[string]comPort `json:",omitempty"`
	Scsi        map[string]scsi    `json:",omitempty"`
	VirtualPMem *virtualPMem       `json:",omitempty"`
	HvSocket    *hvSocket          `json:",omitempty"`
	VirtualSmb  *virtualSmb        `json:",omitempty"`
	Plan9       *struct{}          `json:",omitempty"`
}

type comPort struct{ NamedPipe string }

type scsi struct {
	Attachments map[string]attachment `json:",omitempty"`
}

type attachment struct {
	Type                      string
	Path                      string `json:",omitempty"`
	ReadOnly                  bool   `json:",omitempty"`
	ExtensibleVirtualDiskType string `json:",omitempty"`
}

type virtualPMem struct {
	Devices          map[string]pmemDevice `json:",omitempty"`
	MaximumCount     uint64
	MaximumSizeBytes uint64
}

type pmemDevice struct {
	HostPath    string
	ReadOnly    bool
	ImageFormat string
}

type hvSocket struct{ HvSocketConfig hvSocketConfig }

type hvSocketConfig struct{ DefaultBindSecurityDescriptor string }

type virtualSmb struct {
	DirectFileMappingInMB uint64
	Shares                []share
}

type share struct {
	Name         string
	Path         string   `json:",omitempty"`
	AllowedFiles []string `json:",omitempty"`
	Options      shareOptions
}

type shareOptions struct {
	ReadOnly            bool `json:",omitempty"`
	ShareRead           bool `json:",omitempty"`
	CacheIo             bool `json:",omitempty"`
	TakeBackupPrivilege bool `json:",omitempty"`
	NoDirectmap         bool `json:",omitempty"`
	RestrictFileAccess  bool `json:",omitempty"`
	PseudoOplocks       bool `json:",omitempty"`
	SingleFileMapping   bool `json:",omitempty"`
}

type plan9Share struct {
	Name         string
	AccessName   string
	Path         string `json:",omitempty"`
	Port         int
	Flags        int      `json:",omitempty"`
	AllowedFiles []string `json:",omitempty"`
}

// modify is an HcsModifyComputeSystem document. ResourcePath names what of the
// VM changes, GuestRequest what the guest is told.
type modify struct {
	ResourcePath string        `json:",omitempty"`
	RequestType  string        `json:",omitempty"`
	Settings     any           `json:",omitempty"`
	GuestRequest *guestRequest `json:",omitempty"`
}

type guestRequest struct {
	ResourceType, RequestType string
	Settings                  any `json:",omitempty"`
}

// v21 is what Windows Server 2019 and everything after it speaks.
func v21() version { return version{2, 1} }
