package hcs

import "encoding/json"

// The v2 schema of a compute system, from Microsoft's documentation of HCS
// (JSON Schema Reference, to version 2.3, and fields of later versions where
// said). Written without a look at libcontainer/hcsdoc, so that the two check
// each other. Pointers and slices tell absence.

type version struct{ Major, Minor uint32 }

type computeSystem struct {
	Owner                             string
	SchemaVersion                     *version
	HostingSystemID                   string `json:"HostingSystemId"`
	HostedSystem                      json.RawMessage
	Container                         *container
	VirtualMachine                    *virtualMachine
	ShouldTerminateOnLastHandleClosed bool
}

type hostedSystem struct {
	SchemaVersion *version
	Container     *container
}

// linuxHostedSystem is what Microsoft's Linux guest takes in its place.
type linuxHostedSystem struct {
	SchemaVersion    *version
	OciBundlePath    string
	OciSpecification json.RawMessage
	ScratchDirPath   string
}

type container struct {
	GuestOs *struct {
		HostName string
	}
	Storage           *storage
	MappedDirectories []mappedDirectory
	MappedPipes       []mappedPipe
	Memory            *struct {
		SizeInMB uint64
	}
	Processor  *containerProcessor
	Networking *struct {
		AllowUnqualifiedDNSQuery   bool   `json:"AllowUnqualifiedDnsQuery"`
		DNSSearchList              string `json:"DnsSearchList"`
		NetworkSharedContainerName string
		Namespace                  string
		NetworkAdapters            []string
	}
	HvSocket *struct {
		Config                 *hvSocketConfig
		EnablePowerShellDirect bool
	}
	ContainerCredentialGuard *credentialGuardState
	RegistryChanges          *registryChanges
	AssignedDevices          []device
	// Later than the reference; hcsshim sends it for device extensions.
	AdditionalDeviceNamespace json.RawMessage
}

type storage struct {
	Layers []layer
	Path   string
	QoS    *storageQoS
}

type storageQoS struct{ IopsMaximum, BandwidthMaximum uint64 }

type pathType string

func (pathType) variants() []string { return []string{"AbsolutePath", "VirtualSmbShareName"} }

type cacheMode string

func (cacheMode) variants() []string {
	return []string{"Unspecified", "Disabled", "Enabled", "Private", "PrivateAllowSharing"}
}

type layer struct {
	ID       string `json:"Id"`
	Path     string
	PathType pathType
	Cache    cacheMode
}

type mappedDirectory struct {
	HostPath          string
	HostPathType      pathType
	ContainerPath     string
	ReadOnly          bool
	SupportCloudFiles bool
}

type pipePathType string

func (pipePathType) variants() []string { return []string{"AbsolutePath", "VirtualSmbPipeName"} }

type mappedPipe struct {
	ContainerPipeName string
	HostPath          string
	HostPathType      pipePathType
}

// containerProcessor: Count, Maximum and Weight are mutually exclusive.
type containerProcessor struct {
	Count   *uint32
	Weight  *int64
	Maximum *int64
}

type hvSocketConfig struct {
	DefaultBindSecurityDescriptor    string
	DefaultConnectSecurityDescriptor string
	ServiceTable                     map[string]hvSocketService
}

type hvSocketService struct {
	BindSecurityDescriptor    string
	ConnectSecurityDescriptor string
	AllowWildcardBinds        bool
}

type credentialTransport string

func (credentialTransport) variants() []string { return []string{"LRPC", "HvSocket"} }

type credentialGuardState struct {
	Cookie         string              `json:",omitempty"`
	RPCEndpoint    string              `json:"RpcEndpoint,omitempty"`
	Transport      credentialTransport `json:",omitempty"`
	CredentialSpec string              `json:",omitempty"`
}

type hive string

func (hive) variants() []string { return []string{"System", "Software", "Security", "Sam"} }

type registryType string

func (registryType) variants() []string {
	return []string{"None", "String", "ExpandedString", "MultiString", "Binary", "DWord", "QWord", "CustomType"}
}

type registryChanges struct {
	AddValues  []registryValue
	DeleteKeys []registryKey
}

type registryKey struct {
	Hive     hive
	Name     string
	Volatile bool
}

// registryValue: one and only one value is set.
type registryValue struct {
	Key         *registryKey
	Name        string
	Type        registryType
	StringValue *string
	BinaryValue *string
	DWordValue  *uint32
	QWordValue  *uint64
	CustomType  *uint32
}

type deviceType string

func (deviceType) variants() []string {
	return []string{"ClassGuid", "DeviceInstance", "GpuMirror"}
}

type device struct {
	Type               deviceType
	InterfaceClassGUID string `json:"InterfaceClassGuid"`
	LocationPath       string
}

// processParameters of v2; v1 has the same and CreateInUtilityVm.
type processParameters struct {
	ApplicationName   string
	CommandLine       string
	CommandArgs       []string
	User              string
	WorkingDirectory  string
	Environment       map[string]string
	RestrictedToken   bool
	EmulateConsole    bool
	CreateStdInPipe   bool
	CreateStdOutPipe  bool
	CreateStdErrPipe  bool
	ConsoleSize       *[2]uint16
	UseExistingLogin  bool
	UseLegacyConsole  bool
	CreateInUtilityVM bool `json:"CreateInUtilityVm"`
	// The Linux guest's: the process of an OCI specification, or for the first
	// process of a container the whole of it.
	OciProcess       *ociProcess
	OciSpecification json.RawMessage `json:"OCISpecification"`
}

// ociProcess has the fields of specs-go Process that matter; the rest is not
// HCS's to check.
type ociProcess struct {
	Terminal        bool            `json:"terminal"`
	ConsoleSize     json.RawMessage `json:"consoleSize"`
	User            json.RawMessage `json:"user"`
	Args            []string        `json:"args"`
	CommandLine     string          `json:"commandLine"`
	Env             []string        `json:"env"`
	Cwd             string          `json:"cwd"`
	Capabilities    json.RawMessage `json:"capabilities"`
	Rlimits         json.RawMessage `json:"rlimits"`
	NoNewPrivileges bool            `json:"noNewPrivileges"`
	ApparmorProfile string          `json:"apparmorProfile"`
	OomScoreAdj     *int            `json:"oomScoreAdj"`
	Scheduler       json.RawMessage `json:"scheduler"`
	SelinuxLabel    string          `json:"selinuxLabel"`
	IOPriority      json.RawMessage `json:"ioPriority"`
	ExecCPUAffinity json.RawMessage `json:"execCPUAffinity"`
}

type signalName string

func (signalName) variants() []string {
	return []string{"CtrlC", "CtrlBreak", "CtrlClose", "CtrlLogOff", "CtrlShutdown"}
}

type signalOptions struct{ Signal signalName }

// linuxSignalOptions: a Linux guest takes the number.
type linuxSignalOptions struct{ Signal int }

type modifyOperation string

func (modifyOperation) variants() []string { return []string{"ConsoleSize", "CloseHandle"} }

type stdHandle string

func (stdHandle) variants() []string { return []string{"StdIn", "StdOut", "StdErr", "All"} }

type processModify struct {
	Operation   modifyOperation
	ConsoleSize *struct{ Height, Width uint16 }
	CloseHandle *struct{ Handle stdHandle }
}

type systemType string

func (systemType) variants() []string { return []string{"Container", "VirtualMachine"} }

type systemQuery struct {
	Ids    []string
	Names  []string
	Types  []systemType
	Owners []string
}

type propertyType string

func (propertyType) variants() []string {
	return []string{"Memory", "Statistics", "ProcessList", "TerminateOnLastHandleClosed", "SharedMemoryRegion", "GuestConnection", "MappedVirtualDisk"}
}

type propertyQuery struct{ PropertyTypes []propertyType }

// Options of the calls that change a system's state.
type (
	startOptions    struct{}
	shutdownOptions struct {
		Mechanism string
		Type      string
		Force     bool
		Reason    string
	}
	pauseOptions struct {
		SuspensionLevel    string
		HostedNotification *struct{ Reason string }
	}
)
