package hcsdoc

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes the v1 document of one Windows container under Hyper-V: HCS
// makes and keeps the VM itself. Docker runs its Hyper-V containers this way.

// containerConfig is what hcsshim's public ContainerConfig decodes, in its
// order. TerminateOnLastHandleClosed is absent, which is false.
type containerConfig struct {
	SystemType                 string
	Name                       string
	Owner                      string `json:",omitempty"`
	IgnoreFlushesDuringBoot    bool   `json:",omitempty"`
	LayerFolderPath            string `json:",omitempty"`
	Layers                     []layerV1
	Credentials                string         `json:",omitempty"`
	ProcessorCount             uint64         `json:",omitempty"`
	ProcessorWeight            uint64         `json:",omitempty"`
	ProcessorMaximum           uint64         `json:",omitempty"`
	StorageIOPSMaximum         uint64         `json:",omitempty"`
	StorageBandwidthMaximum    uint64         `json:",omitempty"`
	StorageSandboxSize         uint64         `json:",omitempty"`
	MemoryMaximumInMB          uint64         `json:",omitempty"`
	HostName                   string         `json:",omitempty"`
	MappedDirectories          []mappedDirV1  `json:",omitempty"`
	MappedPipes                []mappedPipeV1 `json:",omitempty"`
	HvPartition                bool
	NetworkSharedContainerName string   `json:",omitempty"`
	EndpointList               []string `json:",omitempty"`
	HvRuntime                  hvRuntime
	Servicing                  bool   `json:",omitempty"`
	AllowUnqualifiedDNSQuery   bool   `json:",omitempty"`
	DNSSearchList              string `json:",omitempty"`
}

type layerV1 struct{ ID, Path string }

type mappedDirV1 struct {
	HostPath, ContainerPath       string
	ReadOnly                      bool
	BandwidthMaximum, IOPSMaximum uint64
	CreateInUtilityVM             bool
}

type mappedPipeV1 struct{ HostPath, ContainerPipeName string }

type hvRuntime struct{ ImagePath string }

// SingleHyperV is the v1 document of a single Windows container under Hyper-V,
// the JSON of hcsshim's public ContainerConfig.
func SingleHyperV(in *Input) ([]byte, error) {
	w, err := in.windows()
	if err != nil {
		return nil, err
	}
	if ok, why := ExpressibleV1(in.Spec); !ok {
		return nil, bad(why, "cannot be said in HCS's schema v1")
	}
	if err := unsupported(in.Spec); err != nil {
		return nil, err
	}
	if _, err := assigned(w.Devices, true); err != nil {
		return nil, err
	}
	if _, err := Affinity(in); err != nil {
		return nil, err
	}
	switch {
	case in.Spec.Root != nil && (in.Spec.Root.Path != "" || in.Spec.Root.Readonly):
		return nil, bad("root", "must not be set under Hyper-V isolation")
	case len(in.Layers) == 0 || in.Scratch == "":
		return nil, bad("windows.layerFolders", "names fewer than two folders; it takes a base layer and a scratch")
	case in.UtilityVM == "":
		return nil, bad("windows.hyperv.utilityVMPath", "is missing, and none of windows.layerFolders has a folder UtilityVM")
	}
	l, err := containerLimits(in.Spec, in.CPUs)
	if err != nil {
		return nil, err
	}
	c := &containerConfig{
		SystemType: "Container", Name: in.ID, Owner: in.Owner,
		IgnoreFlushesDuringBoot: w.IgnoreFlushesDuringBoot, Servicing: w.Servicing,
		LayerFolderPath: in.Scratch, HvPartition: true, HvRuntime: hvRuntime{in.UtilityVM},
		HostName:       in.Spec.Hostname,
		ProcessorCount: l.count, ProcessorWeight: l.weight, ProcessorMaximum: l.maximum,
		StorageIOPSMaximum: l.iops, StorageBandwidthMaximum: l.bps, StorageSandboxSize: SandboxSize(in.Spec),
		MemoryMaximumInMB: l.memoryMB,
	}
	for _, l := range in.Layers {
		c.Layers = append(c.Layers, layerV1(l))
	}
	if c.Credentials, err = CredentialSpec(in.Spec); err != nil {
		return nil, err
	}
	if n := w.Network; n != nil {
		c.EndpointList, c.NetworkSharedContainerName = n.EndpointList, n.NetworkSharedContainerName
		c.AllowUnqualifiedDNSQuery, c.DNSSearchList = n.AllowUnqualifiedDNSQuery, strings.Join(n.DNSSearchList, ",")
	}
	mounts, err := in.mounts(false)
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		if m.kind == pipe {
			c.MappedPipes = append(c.MappedPipes, mappedPipeV1{pipePrefix + m.source, m.dest})
		} else {
			c.MappedDirectories = append(c.MappedDirectories, mappedDirV1{HostPath: m.source, ContainerPath: m.dest, ReadOnly: m.readOnly})
		}
	}
	return encode(c)
}

// ExpressibleV1 says whether schema v1 has words for all that s asks for; why
// is the JSON path of the first thing it has none for, so that a utility VM of
// schema v2 is taken.
func ExpressibleV1(s *specs.Spec) (ok bool, why string) {
	if s == nil {
		return true, ""
	}
	if s.Linux != nil {
		return false, "linux"
	}
	if w := s.Windows; w != nil && w.Network != nil && w.Network.NetworkNamespace != "" {
		return false, "windows.network.networkNamespace"
	}
	for i, m := range s.Mounts {
		switch {
		case m.Type == physicalDisk || m.Type == virtualDisk || m.Type == extensibleDisk:
			return false, index("mounts", i, "type")
		case strings.HasPrefix(m.Source, sandboxPrefix) || strings.HasPrefix(m.Source, vmPathPrefix):
			return false, index("mounts", i, "source")
		}
	}
	for _, name := range known() {
		if _, set := s.Annotations[name]; set && (strings.HasPrefix(name, vmPrefix) || name == annDumpFolder) {
			return false, path(name)
		}
	}
	return true, ""
}
