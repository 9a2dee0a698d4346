package hcsdoc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file reads annotations. The names are Microsoft's, so that what was
// written for its shim means the same here; where the shim logs a malformed
// value and goes on with its default, wrun refuses it.

// Annotations that wrun reads.
const (
	// AnnotationSchema forces the way to Hyper-V isolation: "v1" is one
	// container in a VM of its own that HCS manages, "v2" a utility VM with a
	// hosted container.
	AnnotationSchema = "org.wrun.hyperv.schema"

	annContainerMemory = "io.microsoft.container.memory.sizeinmb"
	annContainerCount  = "io.microsoft.container.processor.count"
	annContainerLimit  = "io.microsoft.container.processor.limit"
	annContainerWeight = "io.microsoft.container.processor.weight"
	annContainerIops   = "io.microsoft.container.storage.qos.iopsmaximum"
	annContainerBps    = "io.microsoft.container.storage.qos.bandwidthmaximum"
	annDumpFolder      = "io.microsoft.container.processdumplocation"
	annDumpType        = "io.microsoft.wcow.processdumptype"
	annDumpCount       = "io.microsoft.wcow.processdumpcount"
	annDisableGMSA     = "io.microsoft.container.wcow.gmsa.disable"
	annHostProcess     = "microsoft.com/hostprocess-container"

	vmPrefix          = "io.microsoft.virtualmachine."
	annVMMemory       = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb"
	annOvercommit     = "io.microsoft.virtualmachine.computetopology.memory.allowovercommit"
	annDeferredCommit = "io.microsoft.virtualmachine.computetopology.memory.enabledeferredcommit"
	annVMCount        = "io.microsoft.virtualmachine.computetopology.processor.count"
	annVMLimit        = "io.microsoft.virtualmachine.computetopology.processor.limit"
	annVMWeight       = "io.microsoft.virtualmachine.computetopology.processor.weight"
	annVMIops         = "io.microsoft.virtualmachine.storageqos.iopsmaximum"
	annVMBps          = "io.microsoft.virtualmachine.storageqos.bandwidthmaximum"
	annCPUGroup       = "io.microsoft.virtualmachine.cpugroup.id"
	annPhysical       = "io.microsoft.virtualmachine.fullyphysicallybacked"
	annNoCompartments = "io.microsoft.virtualmachine.disablecompartmentnamespace"
	annNoDirectMap    = "io.microsoft.virtualmachine.wcow.virtualSMB.nodirectmap"
	annNoWriteShares  = "io.microsoft.virtualmachine.fileshares.disablewritable"
	annBootFiles      = "io.microsoft.virtualmachine.bootfilesrootpath"
	annKernelOptions  = "io.microsoft.virtualmachine.lcow.kernelbootoptions"
	annKernelDirect   = "io.microsoft.virtualmachine.lcow.kerneldirectboot"
	annRootFS         = "io.microsoft.virtualmachine.lcow.preferredrootfstype"
	annPMemCount      = "io.microsoft.virtualmachine.devices.virtualpmem.maximumcount"
	annPMemSize       = "io.microsoft.virtualmachine.devices.virtualpmem.maximumsizebytes"
	annLCOWPolicy     = "io.microsoft.virtualmachine.lcow.securitypolicy"
	annWCOWPolicy     = "io.microsoft.virtualmachine.wcow.securitypolicy"
)

// known are the annotations that change something for one choice or another.
func known() []string {
	return append(knownVM(),
		annContainerMemory, annContainerCount, annContainerLimit, annContainerWeight, annContainerIops, annContainerBps,
		annDumpFolder, annDumpType, annDumpCount, annDisableGMSA, annHostProcess, annLCOWPolicy, annWCOWPolicy)
}

// knownVM are those of a utility VM: first the ones for either guest, then
// Windows' two, then Linux' own.
func knownVM() []string {
	return []string{
		annVMMemory, annOvercommit, annDeferredCommit, annVMCount, annVMLimit, annVMWeight, annVMIops, annVMBps, annCPUGroup,
		annPhysical, annNoWriteShares,
		annNoCompartments, annNoDirectMap,
		annBootFiles, annKernelOptions, annKernelDirect, annRootFS, annPMemCount, annPMemSize,
	}
}

// path is an annotation's place in config.json.
func path(name string) string { return `annotations["` + name + `"]` }

// reads says whether the documents of c depend on the annotation.
func reads(c Choice, name string) bool {
	const either, windows = 11, 13 // how many of knownVM
	switch vm := slices.Index(knownVM(), name); {
	case vm >= windows:
		return c == ChoiceLinuxVM
	case vm >= either:
		return c == ChoiceVM
	case vm >= 0:
		return c == ChoiceVM || c == ChoiceLinuxVM
	}
	switch name {
	case annHostProcess, annLCOWPolicy, annWCOWPolicy: // refused by all
		return true
	}
	return c != ChoiceLinuxVM && slices.Contains(known(), name)
}

// unread are Microsoft's annotations that change nothing for c, sorted.
func unread(s *specs.Spec, c Choice) []string {
	var list []string
	for name := range s.Annotations {
		ours := strings.HasPrefix(name, "io.microsoft.") || strings.HasPrefix(name, "microsoft.com/")
		if ours && !reads(c, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// number is a whole number from 1 to most; ok says that the annotation is there.
func number(s *specs.Spec, name string, most uint64) (n uint64, ok bool, err error) {
	text, ok := s.Annotations[name]
	if !ok {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return 0, false, bad(path(name), "%q is no whole number", text)
	case n == 0 || n > most:
		return 0, false, bad(path(name), "%q is not between 1 and %d", text, most)
	}
	return n, true, nil
}

// boolean is true or false; def where the annotation is absent.
func boolean(s *specs.Spec, name string, def bool) (bool, error) {
	text, ok := s.Annotations[name]
	if !ok {
		return def, nil
	}
	switch strings.ToLower(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, bad(path(name), "%q is neither true nor false", text)
}
