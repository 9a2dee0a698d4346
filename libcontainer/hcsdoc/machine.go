package hcsdoc

import (
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes utility VMs: v2 VirtualMachine documents whose guest
// connection HCS owns.

// onlyAdministrators: SYSTEM and administrators of the host may bind sockets
// that the guest connects to.
const onlyAdministrators = "D:P(A;;FA;;;SY)(A;;FA;;;BA)"

// VMScratch is the disk a Windows utility VM writes to, within a container's
// scratch folder. The host copies it from SystemTemplate.vhdx of the UtilityVM
// folder and grants the VM access to it.
func VMScratch(scratch string) string { return join(scratch, `vm\sandbox.vhdx`) }

// join puts a file's name behind a folder's, on any operating system.
func join(folder, name string) string {
	return strings.TrimRight(folder, `\/`) + `\` + name
}

// UtilityVM is the v2 document of a Windows utility VM. It boots from the
// folder in.UtilityVM over a share and writes to VMScratch(in.Scratch).
func UtilityVM(in *Input) ([]byte, error) {
	if _, err := in.windows(); err != nil {
		return nil, err
	}
	switch {
	case in.UtilityVM == "":
		return nil, bad("windows.hyperv.utilityVMPath", "is missing, and none of windows.layerFolders has a folder UtilityVM")
	case in.Scratch == "":
		return nil, bad("windows.layerFolders", "has no scratch folder for the utility VM to write to")
	}
	vm, err := in.machine()
	if err != nil {
		return nil, err
	}
	vm.ComputeTopology.Memory.EnableHotHint = vm.ComputeTopology.Memory.AllowOvercommit
	vm.Chipset.Uefi = &uefi{uefiBootEntry{"VmbFs", `\EFI\Microsoft\Boot\bootmgfw.efi`}}
	vm.Devices.Scsi = map[string]scsi{scsiController: {map[string]attachment{"0": {Type: "VirtualDisk", Path: VMScratch(in.Scratch)}}}}
	options := layerShare()
	if options.NoDirectmap, err = noDirectMap(in.Spec); err != nil {
		return nil, err
	}
	vm.Devices.VirtualSmb = &virtualSmb{1024, []share{{Name: "os", Path: join(in.UtilityVM, "Files"), Options: options}}}
	off, err := boolean(in.Spec, annNoCompartments, false)
	if err != nil {
		return nil, err
	}
	if !off {
		// The guest's network service makes a network compartment for each
		// container only with this set.
		vm.RegistryChanges = &registryChanges{[]registryValue{{
			Key: registryKey{"System", `CurrentControlSet\Services\gns`}, Name: "EnableCompartmentNamespace", Type: "DWord", DWordValue: 1,
		}}}
	}
	return encode(&computeSystem{Owner: in.Owner, SchemaVersion: v21(), VirtualMachine: vm})
}

// machine is what both guests have in common.
func (in *Input) machine() (*virtualMachine, error) {
	if err := unsupported(in.Spec); err != nil {
		return nil, err
	}
	vm := &virtualMachine{StopOnReset: true}
	var err error
	if vm.ComputeTopology, err = vmTopology(in); err != nil {
		return nil, err
	}
	if vm.StorageQoS, err = vmStorage(in.Spec); err != nil {
		return nil, err
	}
	vm.Devices.HvSocket = &hvSocket{hvSocketConfig{onlyAdministrators}}
	if in.ConsolePipe != "" {
		vm.Devices.ComPorts = map[string]comPort{"0": {in.ConsolePipe}}
	}
	return vm, nil
}

// noDirectMap: files of a share can be mapped into the guest's memory directly,
// unless that memory is all physical or the annotation says no.
func noDirectMap(s *specs.Spec) (bool, error) {
	off, err := boolean(s, annNoDirectMap, false)
	if err != nil || off {
		return off, err
	}
	return boolean(s, annPhysical, false)
}

// LinuxUtilityVM is the v2 document of a Linux utility VM: kernel and first
// file system come straight from the folder in.UtilityVM (vmlinux and
// initrd.img or rootfs.vhd), its annotation wins. The agent in the guest is
// opengcs; nobody here listens to its log or feeds its random numbers, so the
// command line asks for neither.
func LinuxUtilityVM(in *Input) ([]byte, error) {
	if in == nil || in.Spec == nil {
		return nil, errNoSpec
	}
	folder := in.UtilityVM
	if text, ok := in.Spec.Annotations[annBootFiles]; ok {
		folder = text
	}
	if folder == "" {
		return nil, bad("windows.hyperv.utilityVMPath", "is missing; it names the folder with vmlinux and initrd.img")
	}
	// Kernel direct boot came after Server 2019, in 18286.
	if in.Build != 0 && in.Build < 18286 {
		return nil, bad("linux", "a Linux utility VM boots its kernel directly, which needs Windows build 18362 or later; this is build %d", in.Build)
	}
	direct, err := boolean(in.Spec, annKernelDirect, true)
	if err != nil {
		return nil, err
	}
	if !direct {
		return nil, bad(path(annKernelDirect), "is false, and no other way to boot Linux is supported")
	}
	vm, err := in.machine()
	if err != nil {
		return nil, err
	}
	vm.GuestConnection = guestConnection{UseVsock: true, UseConnectedSuspend: true}
	vm.Devices.Scsi = map[string]scsi{scsiController: {}}
	vm.Devices.Plan9 = &struct{}{}
	root, pmem, kernel, err := linuxRoot(in.Spec, folder)
	if err != nil {
		return nil, err
	}
	vm.Devices.VirtualPMem, vm.Chipset.LinuxKernelDirect = pmem, kernel
	kernel.KernelCmdLine = kernelCommandLine(in, root, vm.ComputeTopology.Processor.Count)
	return encode(&computeSystem{Owner: in.Owner, SchemaVersion: v21(), VirtualMachine: vm})
}

// linuxRoot is the guest's first file system: an initrd, or a disk in
// persistent memory that the kernel has to be told of.
func linuxRoot(s *specs.Spec, folder string) (args string, pmem *virtualPMem, k *linuxKernelDirect, err error) {
	pmem = &virtualPMem{MaximumCount: 64, MaximumSizeBytes: 4 << 30}
	if n, ok, err := number(s, annPMemCount, 128); err != nil {
		return "", nil, nil, err
	} else if ok {
		pmem.MaximumCount = n
	}
	if n, ok, err := number(s, annPMemSize, math.MaxInt64); err != nil {
		return "", nil, nil, err
	} else if ok {
		pmem.MaximumSizeBytes = n
	}
	k = &linuxKernelDirect{KernelFilePath: join(folder, "vmlinux")}
	switch kind := s.Annotations[annRootFS]; kind {
	case "", "initrd":
		k.InitRdPath = join(folder, "initrd.img")
	case "vhd":
		pmem.Devices = map[string]pmemDevice{"0": {join(folder, "rootfs.vhd"), true, "Vhd1"}}
		args = "root=/dev/pmem0 ro rootwait init=/init"
	default:
		return "", nil, nil, bad(path(annRootFS), "%q is neither initrd nor vhd", kind)
	}
	return args, pmem, k, nil
}

// kernelCommandLine: vsock has one transport only, Hyper-V's; no PCI bus, no RAM
// disks and no serial port are probed for unless somebody reads them; a panic
// reboots, and a reboot ends the VM. What follows -- is the guest's init's.
func kernelCommandLine(in *Input, root string, cpus uint64) string {
	words := []string{"initcall_blacklist=virtio_vsock_init"}
	if root != "" {
		words = append([]string{root}, words...)
	}
	if in.ConsolePipe != "" {
		words = append(words, "8250_core.nr_uarts=1", "8250_core.skip_txen_test=1", "console=ttyS0,115200")
	} else {
		words = append(words, "8250_core.nr_uarts=0")
	}
	words = append(words, "panic=-1", "quiet")
	if more := in.Spec.Annotations[annKernelOptions]; more != "" {
		words = append(words, more)
	}
	words = append(words, "pci=off", "nr_cpus="+strconv.FormatUint(cpus, 10), "brd.rd_nr=0", "pmtmr=0",
		"--", "/bin/gcs", "-v4", "-log-format", "json", "-loglevel", "info")
	return strings.Join(words, " ")
}
