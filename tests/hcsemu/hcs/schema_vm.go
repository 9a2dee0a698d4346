package hcs

import "encoding/json"

// The v2 schema of a virtual machine; see schema.go.

type virtualMachine struct {
	StopOnReset     bool
	Chipset         *chipset
	ComputeTopology *struct {
		Memory    *vmMemory
		Processor *vmProcessor
	}
	Devices    *devices
	GuestState *struct {
		GuestStateFilePath   string
		RuntimeStateFilePath string
		ForceTransientState  bool
	}
	RestoreState *struct {
		SaveStateFilePath string
		TemplateSystemID  string `json:"TemplateSystemId"`
	}
	RegistryChanges *registryChanges
	StorageQoS      *storageQoS
	GuestConnection *struct {
		UseVsock            bool
		UseConnectedSuspend bool
	}
	// Later than the reference.
	Version          *version
	SecuritySettings json.RawMessage
}

type bootDevice string

func (bootDevice) variants() []string { return []string{"ScsiDrive", "VmbFs", "Network", "File"} }

type chipset struct {
	Uefi *struct {
		EnableDebugger          bool
		SecureBootTemplateID    string `json:"SecureBootTemplateId"`
		ApplySecureBootTemplate string
		BootThis                *struct {
			DeviceType    bootDevice
			DevicePath    string
			DiskNumber    uint16
			OptionalData  string
			VmbFsRootPath string
		}
		Console           string
		StopOnBootFailure bool
	}
	IsNumLockDisabled     bool
	BaseBoardSerialNumber string
	ChassisSerialNumber   string
	ChassisAssetTag       string
	UseUTC                bool `json:"UseUtc"`
	LinuxKernelDirect     *struct {
		KernelFilePath string
		InitRdPath     string
		KernelCmdLine  string
	}
}

type vmMemory struct {
	SizeInMB                uint64
	AllowOvercommit         bool
	BackingPageSize         string
	PinBackingPages         bool
	ForbidSmallBackingPages bool
	EnableHotHint           bool
	EnableColdHint          bool
	EnableColdDiscardHint   bool
	EnableDeferredCommit    bool
	LowMmioGapInMB          uint64
	HighMmioBaseInMB        uint64
	HighMmioGapInMB         uint64
}

type vmProcessor struct {
	Count                          uint32
	Limit                          uint64
	Weight                         uint64
	ExposeVirtualizationExtensions bool
	EnablePerfmonPmu               bool
	EnablePerfmonPebs              bool
	EnablePerfmonLbr               bool
	EnablePerfmonIpt               bool
}

type devices struct {
	ComPorts    map[string]comPort
	Scsi        map[string]scsi
	VirtualPMem *struct {
		Devices          map[string]pmemDevice
		MaximumCount     uint8
		MaximumSizeBytes uint64
		Backing          string
	}
	NetworkAdapters map[string]networkAdapter
	HvSocket        *struct {
		HvSocketConfig *hvSocketConfig
	}
	GuestCrashReporting *struct {
		WindowsCrashSettings json.RawMessage
	}
	VirtualSmb *struct {
		Shares                []smbShare
		DirectFileMappingInMB int64
	}
	Plan9 *struct {
		Shares []plan9Share
	}
	VirtualPci   map[string]json.RawMessage
	FlexibleIov  map[string]json.RawMessage
	SharedMemory json.RawMessage
	VideoMonitor json.RawMessage
	Keyboard     *struct{}
	Mouse        *struct{}
	Battery      *struct{}
}

type comPort struct {
	NamedPipe           string
	OptimizeForDebugger bool
}

type attachmentType string

func (attachmentType) variants() []string {
	return []string{"VirtualDisk", "Iso", "PassThru", "ExtensibleVirtualDisk"} // the last is later than the reference
}

type scsi struct {
	Attachments map[string]attachment
}

type attachment struct {
	Type                     attachmentType
	Path                     string
	CachingMode              string
	ReadOnly                 bool
	SupportCompressedVolumes bool
}

type imageFormat string

func (imageFormat) variants() []string { return []string{"Vhdx", "Vhd1"} }

type pmemDevice struct {
	HostPath    string
	ReadOnly    bool
	ImageFormat imageFormat
	SizeBytes   uint64
	Mappings    map[string]json.RawMessage
}

type networkAdapter struct {
	EndpointID string `json:"EndpointId"`
	MacAddress string
}

type smbShare struct {
	Name         string
	Path         string
	AllowedFiles []string
	Options      *struct {
		ReadOnly, ShareRead, CacheIo, NoOplocks, TakeBackupPrivilege bool
		UseShareRootIdentity, NoDirectmap, NoLocks, NoDirnotify      bool
		VMSharedMemory                                               bool `json:"VmSharedMemory"`
		RestrictFileAccess, ForceLevelIIOplocks, ReparseBaseLayer    bool
		PseudoOplocks, NonCacheIo, PseudoDirnotify                   bool
		SingleFileMapping, SupportCloudFiles                         bool
	}
}

type plan9Share struct {
	Name         string
	AccessName   string
	Path         string
	Port         uint32
	AllowedFiles []string
	// Later than the reference: bits ReadOnly 1, LinuxMetadata 4, CaseSensitive 8, RestrictFileAccess 0x80.
	Flags            uint32
	ReadOnly         bool
	UseShareRootFlag bool `json:"UseShareRootIdentity"`
}
