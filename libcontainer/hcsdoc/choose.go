package hcsdoc

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file decides by which documents a container is made.

// Choice is one of the ways.
type Choice string

// The ways, with what of them is proven.
const (
	ChoiceSilo    Choice = "silo"             // v2 Container; containerd's shim does so every day
	ChoiceSingle  Choice = "single"           // v1 with HvPartition; Docker does so every day
	ChoiceVM      Choice = "utility VM"       // v2 VirtualMachine and HostedSystem, unproven on current Windows
	ChoiceLinuxVM Choice = "Linux utility VM" // the same with a Linux guest
)

// Roles of a container in a Kubernetes pod.
const (
	RoleSandbox   = "sandbox"
	RoleContainer = "container"
)

// Pod reads which pod a container belongs to, and as what, from annotations of
// CRI, CRI-O or dockershim; "" and "" where it belongs to none.
func Pod(s *specs.Spec) (role, sandbox string, err error) {
	if s == nil {
		return "", "", nil
	}
	for _, names := range [][2]string{
		{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
		{"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"},
		{"io.kubernetes.docker.type", "io.kubernetes.sandbox.id"},
	} {
		kind, ok := s.Annotations[names[0]]
		if !ok {
			continue
		}
		switch kind {
		case "sandbox", "podsandbox":
			role = RoleSandbox
		case "container":
			role = RoleContainer
		default:
			return "", "", bad(path(names[0]), "%q is neither sandbox nor container", kind)
		}
		if sandbox = s.Annotations[names[1]]; sandbox == "" {
			return "", "", bad(path(names[1]), "is missing next to %s", path(names[0]))
		}
		return role, sandbox, nil
	}
	return "", "", nil
}

// Choose decides for a bundle of operating system os, "windows" or "linux",
// with hyperv as decided of windows.hyperv; the reason is for an operator to
// check.
func Choose(s *specs.Spec, os string, hyperv bool) (c Choice, reason string, err error) {
	if s == nil {
		return "", "", errNoSpec
	}
	role, sandbox, err := Pod(s)
	if err != nil {
		return "", "", err
	}
	schema, forced := s.Annotations[AnnotationSchema]
	if forced && schema != "v1" && schema != "v2" {
		return "", "", bad(path(AnnotationSchema), "%q is neither v1 nor v2", schema)
	}
	why := "it is the only container of its VM, as Docker runs it"
	switch ok, field := ExpressibleV1(s); {
	case os == "linux":
		c, why = ChoiceLinuxVM, "Windows runs Linux bundles in a utility VM"
	case !hyperv:
		if forced {
			return "", "", bad(path(AnnotationSchema), "is about Hyper-V isolation, and there is no windows.hyperv section")
		}
		return ChoiceSilo, "there is no windows.hyperv section", nil
	case role != "":
		c, why = ChoiceVM, fmt.Sprintf("it is a %s of the pod %s, whose containers share a VM", role, sandbox)
	case !ok:
		c, why = ChoiceVM, field+" cannot be said in HCS's schema v1"
	default:
		c = ChoiceSingle
	}
	switch {
	case schema == "v1" && c != ChoiceSingle:
		return "", "", bad(path(AnnotationSchema), "v1 is impossible: %s", why)
	case schema == "v2" && s.Windows != nil && s.Windows.Servicing:
		return "", "", bad(path(AnnotationSchema), "v2 is impossible: windows.servicing is part of schema v1 only")
	case forced:
		if c == ChoiceSingle && schema == "v2" {
			c = ChoiceVM
		}
		why = "the annotation " + AnnotationSchema + " says " + schema
	}
	return c, why, nil
}

// UtilityVMCandidates are the folders to look for a utility VM's image in, the
// first that exists is it: "specifies the path to the image used for the
// utility VM … If not supplied, the runtime will search the container
// filesystem layers from the bottom-most layer upwards, until it locates
// UtilityVM": config-windows.md, HyperV.
func UtilityVMCandidates(s *specs.Spec) []string {
	if s == nil || s.Windows == nil {
		return nil
	}
	if h := s.Windows.HyperV; h != nil && h.UtilityVMPath != "" {
		return []string{h.UtilityVMPath}
	}
	var list []string
	for i := len(s.Windows.LayerFolders) - 2; i >= 0; i-- {
		list = append(list, join(s.Windows.LayerFolders[i], "UtilityVM"))
	}
	return list
}

// Notes are what of s the documents of c do not carry although it is there, a
// line each, for the log: nothing is dropped in silence.
func Notes(s *specs.Spec, c Choice) []string {
	if s == nil {
		return nil
	}
	var list []string
	note := func(at, text string) { list = append(list, at+": "+text) }
	if w := s.Windows; w != nil {
		if w.IgnoreFlushesDuringBoot && c != ChoiceSingle {
			note("windows.ignoreFlushesDuringBoot", "is left out; it is a hint to make booting faster that only schema v1 has")
		}
		if w.Servicing && c == ChoiceLinuxVM {
			note("windows.servicing", "is left out; there is nothing to service in a Linux container")
		}
		if w.HyperV != nil && w.HyperV.UtilityVMPath != "" && c == ChoiceSilo {
			note("windows.hyperv.utilityVMPath", "is left out; a silo has no utility VM")
		}
	}
	if c == ChoiceLinuxVM {
		list = append(list, linuxNotes(s)...)
	} else {
		for i, m := range s.Mounts {
			for _, o := range m.Options {
				switch strings.ToLower(o) {
				case "ro", "rw", "bind", "rbind":
				default:
					note(index("mounts", i, "options"), o+" is left out; Windows knows ro and rw")
				}
			}
		}
		if s.Domainname != "" {
			note("domainname", "is left out; Windows containers have none of their own")
		}
		if p := s.Process; p != nil {
			if len(p.Rlimits) > 0 || p.Capabilities != nil || p.User.UID|p.User.GID != 0 {
				note("process", "rlimits, capabilities, uid and gid are left out; Windows has none")
			}
			if p.CommandLine != "" && len(p.Args) > 0 {
				note("process.args", "is left out; process.commandLine takes precedence")
			}
		}
	}
	for _, name := range unread(s, c) {
		note(path(name), "changes nothing here")
	}
	return list
}

// linuxNotes are parts of a Linux Spec that the guest's agent does not do.
func linuxNotes(s *specs.Spec) []string {
	if s.Linux == nil {
		return nil
	}
	var list []string
	left := func(present bool, at string) {
		if present {
			list = append(list, at+": is left out; the agent in a Linux utility VM does not do it")
		}
	}
	left(s.Linux.CgroupsPath != "", "linux.cgroupsPath")
	if r := s.Linux.Resources; r != nil {
		left(len(r.Devices) > 0, "linux.resources.devices")
		left(r.Pids != nil, "linux.resources.pids")
		left(r.BlockIO != nil, "linux.resources.blockIO")
		left(len(r.HugepageLimits) > 0, "linux.resources.hugepageLimits")
		left(r.Network != nil, "linux.resources.network")
	}
	return list
}
