package hcsdoc

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes hosted containers: compute systems inside a utility VM.

// Hosted is the v2 document of a Windows container in the utility VM in.Host,
// whose storage and mounts are where Attachments puts them.
func Hosted(in *Input) ([]byte, error) {
	a, err := in.hosted(false)
	if err != nil {
		return nil, err
	}
	cpus := in.VMCPUs
	if cpus == 0 {
		t, err := vmTopology(in)
		if err != nil {
			return nil, err
		}
		cpus = int(t.Processor.Count)
	}
	c, err := in.container(true, cpus)
	if err != nil {
		return nil, err
	}
	c.Storage.Path, c.Storage.Layers = a.Root, hcsLayers(a.Layers)
	mounts, err := in.mounts(true)
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		if m.kind == pipe || m.kind == vmPipe {
			c.MappedPipes = append(c.MappedPipes, mappedPipe{m.dest, a.paths[i]})
		} else {
			c.MappedDirectories = append(c.MappedDirectories, mappedDirectory{a.paths[i], m.dest, m.readOnly})
		}
	}
	return in.hostedDocument(&hostedSystem{v21(), c})
}

func (in *Input) hostedDocument(system any) ([]byte, error) {
	return encode(&computeSystem{Owner: in.Owner, SchemaVersion: v21(), HostingSystemID: in.Host, HostedSystem: system})
}

// hosted is what Hosted and HostedLinux begin with.
func (in *Input) hosted(linux bool) (*VMAttachments, error) {
	if _, err := in.windows(); err != nil {
		return nil, err
	}
	switch {
	case linux && in.Spec.Linux == nil:
		return nil, bad("linux", "is missing, and a Linux container is made of it")
	case !linux && in.Spec.Linux != nil:
		return nil, bad("linux", "makes this a Linux bundle, not one for a Windows guest")
	case !linux && in.Spec.Root != nil && (in.Spec.Root.Path != "" || in.Spec.Root.Readonly):
		return nil, bad("root", "must not be set under Hyper-V isolation")
	case in.Host == "":
		return nil, bad("windows.hyperv", "there is no utility VM to host the container")
	}
	a, err := Attachments(in)
	if err != nil {
		return nil, err
	}
	if in.Root != "" {
		a.Root = in.Root
	}
	return a, nil
}

type linuxHosted struct {
	SchemaVersion    version
	OciBundlePath    string
	OciSpecification *specs.Spec
	ScratchDirPath   string
}

// HostedLinux is the v2 document of a Linux container in the utility VM
// in.Host: the Spec itself, as the agent in the guest runs it.
func HostedLinux(in *Input) ([]byte, error) {
	a, err := in.hosted(true)
	if err != nil {
		return nil, err
	}
	if err := unsupported(in.Spec); err != nil {
		return nil, err
	}
	if _, err := assigned(in.Spec.Windows.Devices, true); err != nil {
		return nil, err
	}
	if in.Spec.Windows.CredentialSpec != nil {
		return nil, bad("windows.credentialSpec", "is for Windows containers only")
	}
	return in.hostedDocument(&linuxHosted{v21(), a.Bundle, in.linuxSpec(a), a.Scratch})
}

// linuxSpec is the Spec as the guest gets it: paths as the guest sees them, and
// without what the guest's agent does not do. Notes lists the latter. Hooks are
// run by wrun, on the host.
func (in *Input) linuxSpec(a *VMAttachments) *specs.Spec {
	s := *in.Spec
	s.Hooks, s.Windows = nil, nil
	namespace := in.Namespace
	if n := in.Spec.Windows.Network; namespace == "" && n != nil {
		namespace = n.NetworkNamespace
	}
	if namespace != "" {
		s.Windows = &specs.Windows{Network: &specs.WindowsNetwork{NetworkNamespace: namespace}}
	}
	s.Root = &specs.Root{Path: a.Root}
	if in.Spec.Root != nil {
		s.Root.Readonly = in.Spec.Root.Readonly
	}
	s.Mounts = append([]specs.Mount(nil), s.Mounts...)
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if a.paths[i] == "" {
			continue
		}
		m.Source = a.paths[i]
		m.Type = "bind"
		if !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			m.Options = append([]string{"bind"}, m.Options...)
		}
	}
	l := *in.Spec.Linux
	l.CgroupsPath = "" // the agent arranges its own
	if l.Resources != nil {
		r := *l.Resources
		r.Devices, r.Pids, r.BlockIO, r.HugepageLimits, r.Network = nil, nil, nil, nil, nil
		if r.CPU != nil {
			c := *r.CPU
			if c.Period != nil && *c.Period == 0 {
				period := uint64(100000)
				c.Period = &period
			}
			if c.Quota != nil && *c.Quota == 0 {
				none := int64(-1)
				c.Quota = &none
			}
			r.CPU = &c
		}
		l.Resources = &r
	}
	s.Linux = &l
	return &s
}
