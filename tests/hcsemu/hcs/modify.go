package hcs

import (
	"encoding/json"
	"strings"

	"wrun/tests/hcsemu/wire"
)

// This file changes running systems: the resource paths of hosts and containers.
// What a guest's agent does is in modify_guest.go.

type requestType string

func (requestType) variants() []string { return []string{"Add", "Remove", "Update"} }

type modifyRequest struct {
	ResourcePath string
	RequestType  requestType
	Settings     json.RawMessage
	GuestRequest json.RawMessage
}

// modify is HcsModifyComputeSystem. What is added is added to the host first
// and then to the guest; what is removed, the other way round.
func modify(s *Service, c *call) (*wire.Answer, error) {
	s.mu.Lock()
	_, y, err := s.systemOf(c)
	if err == nil && (y.state == stateStopped || y.ending) {
		err = fail(systemStopped, "%s has stopped", y.id)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.v1 && strings.Contains(c.Arg(0), `"ResourceType"`) && !strings.Contains(c.Arg(0), `"GuestRequest"`) {
		return nil, s.modifyV1(y, c.Arg(0))
	}
	var r modifyRequest
	if err := decode(c.Arg(0), &r); err != nil {
		return nil, err
	}
	if r.ResourcePath == "" && r.GuestRequest == nil {
		return nil, refuse("", "neither ResourcePath nor GuestRequest")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	hostSide := func(kind requestType) error {
		if r.ResourcePath == "" {
			return nil
		}
		return s.modifyHost(y, r.ResourcePath, kind, r.Settings)
	}
	if r.RequestType == "Remove" {
		if err := s.modifyGuest(y, r.GuestRequest); err != nil {
			return nil, err
		}
		return nil, hostSide("Remove")
	}
	if err := hostSide(r.RequestType); err != nil {
		return nil, err
	}
	if err := s.modifyGuest(y, r.GuestRequest); err != nil {
		if r.RequestType == "Add" {
			_ = hostSide("Remove")
		}
		return nil, err
	}
	return nil, nil
}

// modifyV1 is the network hot plug of the first schema.
func (s *Service) modifyV1(y *system, document string) error {
	var r struct {
		ResourceType string
		RequestType  requestType
		Settings     string
	}
	if err := decode(document, &r); err != nil {
		return err
	}
	if r.ResourceType != "Network" {
		return fail(notSupported, "v1 modifies no %s", r.ResourceType)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.RequestType == "Remove" {
		return y.release("endpoint", r.Settings)
	}
	if err := s.networkingIs("", []string{r.Settings}, "Settings"); err != nil {
		return err
	}
	return y.take("endpoint", r.Settings)
}

// modifyHost finds what a resource path is about; s.mu is held.
func (s *Service) modifyHost(y *system, path string, kind requestType, settings json.RawMessage) error {
	if strings.HasPrefix(path, "VirtualMachine/") != (y.kind == vm || y.kind == hyperv) {
		return fail(notSupported, "%s of a %s", path, y.systemType())
	}
	if y.kind != vm && y.kind != hyperv {
		return s.modifyContainer(y, path, kind, settings)
	}
	words := strings.Split(strings.TrimPrefix(path, "VirtualMachine/"), "/")
	at := strings.Join(words[:min(2, len(words))], "/")
	key := ""
	if len(words) > 2 {
		key = strings.Join(words[2:], "/")
	}
	switch at {
	case "Devices/VirtualSmb":
		var share smbShare
		if err := settingsOf(settings, &share); err != nil {
			return err
		}
		switch kind {
		case "Remove":
			return y.release("vsmb share", share.Name)
		case "Update":
			if !y.hasShare(share.Name) {
				return fail(notFound, "there is no vsmb share %s", share.Name)
			}
			return nil
		}
		return s.addShare(y, &share, path)
	case "Devices/Plan9":
		var share plan9Share
		if err := settingsOf(settings, &share); err != nil {
			return err
		}
		if kind == "Remove" {
			return y.release("plan9 share", share.Name)
		}
		if !y.plan9 {
			return fail(notSupported, "%s has no Plan9 device", y.id)
		}
		return s.addPlan9(y, &share, path)
	case "Devices/Scsi":
		return s.modifyScsi(y, key, kind, settings)
	case "Devices/VirtualPMem":
		if !y.pmem {
			return fail(notSupported, "%s has no VirtualPMem device", y.id)
		}
		var p pmemDevice
		return s.plug(y, "pmem", strings.TrimPrefix(key, "Devices/"), kind, settings, &p, func() error {
			if !s.machine.IsFile(p.HostPath) {
				return fail(fileNotFound, "%s: there is no file %s", path, p.HostPath)
			}
			return nil
		})
	case "Devices/NetworkAdapters":
		var n networkAdapter
		return s.plug(y, "network adapter", key, kind, settings, &n, func() error {
			return s.networkingIs("", []string{n.EndpointID}, path)
		})
	case "Devices/MappedPipes":
		return s.plug(y, "mapped pipe", key, kind, nil, nil, nil)
	case "Devices/VirtualPci":
		var p struct {
			Functions []struct {
				DeviceInstancePath string
				VirtualFunction    uint16
			}
			PropagateNumaAffinity *bool // later than the reference
		}
		return s.plug(y, "pci device", key, kind, settings, &p, nil)
	case "Devices/HvSocket":
		var h hvSocketService
		return s.plug(y, "hvsocket service", strings.TrimPrefix(key, "HvSocketConfig/ServiceTable/"), kind, settings, &h, nil)
	case "ComputeTopology/Memory":
		return settingsOf(settings, &y.memoryMB)
	case "ComputeTopology/Processor":
		var limits struct{ Limit, Weight, Reservation, MaximumFrequencyMHz uint64 }
		return settingsOf(settings, &limits)
	}
	return fail(notSupported, "nothing is at %s", path)
}

// plug adds or removes a device that is named by its path.
func (s *Service) plug(y *system, what, key string, kind requestType, settings json.RawMessage, into any, good func() error) error {
	if key == "" {
		return refuse("ResourcePath", "names no %s", what)
	}
	if kind == "Remove" {
		return y.release(what, key)
	}
	if into != nil {
		if err := settingsOf(settings, into); err != nil {
			return err
		}
	}
	if good != nil {
		if err := good(); err != nil {
			return err
		}
	}
	if kind == "Update" {
		if !y.has(what, key) {
			return fail(notFound, "there is no %s %s", what, key)
		}
		return nil
	}
	return y.take(what, key)
}

func (s *Service) modifyScsi(y *system, key string, kind requestType, settings json.RawMessage) error {
	controller, rest, _ := strings.Cut(key, "/")
	lun, isLun := strings.CutPrefix(rest, "Attachments/")
	if n, good := number(lun); !isLun || !good || n > 63 {
		return refuse("ResourcePath", "%q is no LUN", rest)
	}
	if !y.has("scsi controller", controller) {
		return fail(notFound, "there is no SCSI controller %s", controller)
	}
	var a attachment
	return s.plug(y, "scsi", controller+"/"+lun, kind, settings, &a, func() error {
		return s.checkAttachment(&a, "Settings")
	})
}

func (s *Service) modifyContainer(y *system, path string, kind requestType, settings json.RawMessage) error {
	switch path {
	case "Container/Memory/SizeInMB":
		return settingsOf(settings, &y.memoryMB)
	case "Container/Processor":
		var p containerProcessor
		if err := settingsOf(settings, &p); err != nil {
			return err
		}
		return checkProcessor(&p, path)
	case "Container/Storage/QoS":
		var q storageQoS
		return settingsOf(settings, &q)
	case "Container/RegistryFlushState":
		var f struct{ Enabled bool }
		return settingsOf(settings, &f)
	case "Container/MappedDirectories":
		var m mappedDirectory
		if err := settingsOf(settings, &m); err != nil {
			return err
		}
		if kind == "Remove" {
			return y.release("mapped directory", guestPath(m.ContainerPath))
		}
		if y.kind != hosted && !s.machine.IsDir(m.HostPath) && !s.machine.IsFile(m.HostPath) {
			return fail(pathNotFound, "%s: there is no %s", path, m.HostPath)
		}
		return y.take("mapped directory", guestPath(m.ContainerPath))
	case "Container/MappedPipes":
		var m mappedPipe
		if err := settingsOf(settings, &m); err != nil {
			return err
		}
		if kind == "Remove" {
			return y.release("mapped pipe", m.ContainerPipeName)
		}
		return y.take("mapped pipe", m.ContainerPipeName)
	}
	return fail(notSupported, "nothing is at %s", path)
}

// settingsOf decodes a request's settings, which must be there.
func settingsOf(raw json.RawMessage, into any) error {
	if len(raw) == 0 {
		return refuse("Settings", "is missing")
	}
	return inside("Settings", decode(string(raw), into))
}

// addShare needs the mutex only for a system that others know.
func (s *Service) addShare(y *system, share *smbShare, field string) error {
	if share.Name == "" || share.Path == "" {
		return refuse(field, "wants Name and Path")
	}
	if !s.machine.IsDir(share.Path) && !s.machine.IsFile(share.Path) {
		return fail(pathNotFound, "%s: there is no %s", field, share.Path)
	}
	return y.take("vsmb share", share.Name)
}

func (s *Service) addPlan9(y *system, share *plan9Share, field string) error {
	if share.Name == "" || share.Path == "" {
		return refuse(field, "wants Name and Path")
	}
	if !s.machine.IsDir(share.Path) {
		return fail(pathNotFound, "%s: there is no directory %s", field, share.Path)
	}
	return y.take("plan9 share", share.Name)
}
