package hcs

import (
	"fmt"
	"path"
	"strings"
)

// This file reads the documents that have a VM: v2 VirtualMachine, and v1, where
// a container may bring its own.

// checkVM also takes the devices that the document brings into the VM's
// resources, as a later modify request would.
func (s *Service) checkVM(y *system, d *virtualMachine) error {
	const at = "VirtualMachine"
	if d.Chipset == nil || (d.Chipset.Uefi == nil) == (d.Chipset.LinuxKernelDirect == nil) {
		return refuse(at+".Chipset", "wants one of Uefi and LinuxKernelDirect")
	}
	t := d.ComputeTopology
	if t == nil || t.Memory == nil || t.Memory.SizeInMB == 0 || t.Processor == nil || t.Processor.Count == 0 {
		return refuse(at+".ComputeTopology", "wants Memory.SizeInMB and Processor.Count")
	}
	if int(t.Processor.Count) > s.machine.Processors() {
		return fail(invalidParam, "%s.ComputeTopology.Processor.Count: %d, and the host has %d", at, t.Processor.Count, s.machine.Processors())
	}
	if t.Memory.SizeInMB > s.machine.MemoryMB() {
		return fail(FromWin32(1450), "%s.ComputeTopology.Memory.SizeInMB: %d, and the host has %d", at, t.Memory.SizeInMB, s.machine.MemoryMB())
	}
	y.memoryMB = t.Memory.SizeInMB
	y.guestConnection = d.GuestConnection != nil
	if k := d.Chipset.LinuxKernelDirect; k != nil {
		y.linux = true
		if !s.machine.IsFile(k.KernelFilePath) {
			return fail(fileNotFound, "%s.Chipset.LinuxKernelDirect.KernelFilePath: there is no file %s", at, k.KernelFilePath)
		}
		if k.InitRdPath != "" && !s.machine.IsFile(k.InitRdPath) {
			return fail(fileNotFound, "%s.Chipset.LinuxKernelDirect.InitRdPath: there is no file %s", at, k.InitRdPath)
		}
	}
	if err := checkRegistry(d.RegistryChanges, at+".RegistryChanges"); err != nil {
		return err
	}
	if d.Devices == nil {
		return nil
	}
	return s.checkDevicesOf(y, d.Devices)
}

func (s *Service) checkDevicesOf(y *system, d *devices) error {
	const at = "VirtualMachine.Devices"
	for controller, c := range d.Scsi {
		y.add("scsi controller", controller)
		for lun, a := range c.Attachments {
			field := fmt.Sprintf("%s.Scsi.%s.Attachments.%s", at, controller, lun)
			if n, good := number(lun); !good || n > 63 {
				return refuse(field, "%q is no LUN", lun)
			}
			if err := s.checkAttachment(&a, field); err != nil {
				return err
			}
			y.add("scsi", controller+"/"+lun)
		}
	}
	if d.VirtualSmb != nil {
		for i, share := range d.VirtualSmb.Shares {
			field := fmt.Sprintf("%s.VirtualSmb.Shares[%d]", at, i)
			if err := s.addShare(y, &share, field); err != nil {
				return err
			}
		}
	}
	if d.Plan9 != nil {
		y.plan9 = true
		for i, share := range d.Plan9.Shares {
			if err := s.addPlan9(y, &share, fmt.Sprintf("%s.Plan9.Shares[%d]", at, i)); err != nil {
				return err
			}
		}
	}
	if d.VirtualPMem != nil {
		for number, p := range d.VirtualPMem.Devices {
			field := at + ".VirtualPMem.Devices." + number
			if p.HostPath != "" && !s.machine.IsFile(p.HostPath) {
				return fail(fileNotFound, "%s.HostPath: there is no file %s", field, p.HostPath)
			}
			y.add("pmem", number)
		}
		y.pmem = true
	}
	for id, n := range d.NetworkAdapters {
		if err := s.checkNetworking("", []string{n.EndpointID}, at+".NetworkAdapters."+id); err != nil {
			return err
		}
		y.add("network adapter", id)
	}
	for port, c := range d.ComPorts {
		if n, good := number(port); !good || n > 1 {
			return refuse(at+".ComPorts", "%q is no port", port)
		}
		if c.NamedPipe != "" && !strings.HasPrefix(strings.ToLower(c.NamedPipe), `\\.\pipe\`) {
			return refuse(at+".ComPorts."+port+".NamedPipe", "%q is no pipe", c.NamedPipe)
		}
	}
	return nil
}

// checkAttachment: a virtual disk is a file of the host.
func (s *Service) checkAttachment(a *attachment, field string) error {
	if a.Type == "" || a.Path == "" {
		return refuse(field, "wants Type and Path")
	}
	if (a.Type == "VirtualDisk" || a.Type == "Iso") && !s.machine.IsFile(a.Path) {
		return fail(fileNotFound, "%s.Path: there is no file %s", field, a.Path)
	}
	return nil
}

// readV1 reads a document of the first schema.
func (s *Service) readV1(y *system, document string) error {
	var d containerConfig
	if err := decode(document, &d); err != nil {
		return err
	}
	y.owner, y.name, y.terminateOnClose = d.Owner, d.Name, d.TerminateOnLastHandleClosed
	y.linux = d.ContainerType == "Linux"
	y.memoryMB = uint64(max(d.MemoryMaximumInMB, 0))
	if d.SystemType != "Container" {
		return refuse("SystemType", "%q, want Container", d.SystemType)
	}
	set := 0
	for _, is := range []bool{d.ProcessorCount != 0, d.ProcessorWeight != 0, d.ProcessorMaximum != 0} {
		if is {
			set++
		}
	}
	if set > 1 {
		return fail(invalidParam, "ProcessorCount, ProcessorWeight and ProcessorMaximum exclude each other")
	}
	if len(d.Layers) == 0 {
		return refuse("Layers", "is missing")
	}
	for i, l := range d.Layers {
		if !isGUID(l.ID) {
			return refuse(fmt.Sprintf("Layers[%d].ID", i), "%q is no GUID", l.ID)
		}
		if err := s.checkDir(y, l.Path, fmt.Sprintf("Layers[%d].Path", i)); err != nil {
			return err
		}
	}
	if d.LayerFolderPath == "" || !s.machine.IsDir(d.LayerFolderPath) {
		return fail(pathNotFound, "LayerFolderPath: there is no directory %q", d.LayerFolderPath)
	}
	for i, m := range d.MappedDirectories {
		if err := s.checkDir(y, m.HostPath, fmt.Sprintf("MappedDirectories[%d].HostPath", i)); err != nil {
			return err
		}
	}
	if err := s.checkNetworking("", d.EndpointList, "EndpointList"); err != nil {
		return err
	}
	if !d.HvPartition {
		y.kind = silo
		if d.HvRuntime != nil {
			return refuse("HvRuntime", "goes with HvPartition")
		}
		if d.VolumePath == "" {
			return refuse("VolumePath", "is missing")
		}
		return s.checkVolume(d.VolumePath, "VolumePath")
	}
	y.kind = hyperv
	r := d.HvRuntime
	if r == nil || r.ImagePath == "" {
		return refuse("HvRuntime.ImagePath", "is missing")
	}
	if !s.machine.IsDir(r.ImagePath) {
		return fail(pathNotFound, "HvRuntime.ImagePath: there is no directory %s", r.ImagePath)
	}
	for field, file := range map[string]string{"LinuxKernelFile": r.LinuxKernelFile, "LinuxInitrdFile": r.LinuxInitrdFile} {
		if file != "" && !s.machine.IsFile(path.Join(r.ImagePath, file)) {
			return fail(fileNotFound, "HvRuntime.%s: there is no file %s", field, file)
		}
	}
	// Such a container has a scratch disk in its layer's folder.
	if !s.machine.IsFile(d.LayerFolderPath + `\sandbox.vhdx`) {
		return fail(fileNotFound, "LayerFolderPath: there is no sandbox.vhdx in %s", d.LayerFolderPath)
	}
	return nil
}
