package hcs

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The requests that a guest's agent answers: what hcsshim sends to Microsoft's
// agents, as far as runtimes need it.

type guestRequest struct {
	ResourceType string
	RequestType  requestType
	Settings     json.RawMessage
}

// combinedLayers: ContainerID is the Linux agent's. FilterType, which newer
// Windows agents know, is refused as the inbox agent of Server 2022 does.
type combinedLayers struct {
	ContainerRootPath string
	Layers            []layer
	ScratchPath       string
	ContainerID       string
}

// modifyGuest needs s.mu.
func (s *Service) modifyGuest(y *system, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	var r guestRequest
	if err := inside("GuestRequest", decode(string(raw), &r)); err != nil {
		return err
	}
	if y.kind != vm || !y.guestConnection {
		return fail(notSupported, "%s has no guest to ask", y.id)
	}
	if y.state != stateRunning {
		return fail(invalidState, "%s is %s: its guest does not answer", y.id, y.state)
	}
	switch r.ResourceType {
	case "CombinedLayers":
		return s.combineLayers(y, &r)
	case "MappedVirtualDisk":
		return s.mapDisk(y, &r)
	case "MappedDirectory":
		return s.mapDirectory(y, &r)
	case "VPMemDevice":
		var p struct {
			DeviceNumber uint32
			MountPath    string
			MappingInfo  json.RawMessage
			VerityInfo   json.RawMessage
		}
		if err := settingsOf(r.Settings, &p); err != nil {
			return err
		}
		if r.RequestType == "Add" && !y.has("pmem", fmt.Sprint(p.DeviceNumber)) {
			return fail(notFound, "there is no pmem device %d", p.DeviceNumber)
		}
		return y.guestHas("guest pmem", p.MountPath, r.RequestType)
	case "NetworkNamespace":
		var n hcnNamespace
		if err := settingsOf(r.Settings, &n); err != nil {
			return err
		}
		return y.guestHas("guest namespace", n.ID, r.RequestType)
	case "Network":
		return s.mapNetwork(y, &r)
	case "HvSocket":
		var h struct{ LocalAddress, ParentAddress string }
		return settingsOf(r.Settings, &h)
	}
	return fail(notSupported, "the guest has no resource %q", r.ResourceType)
}

func (y *system) guestHas(what, key string, kind requestType) error {
	if key == "" {
		return refuse("GuestRequest.Settings", "names no %s", what)
	}
	if kind == "Remove" {
		return y.release(what, key)
	}
	return y.take(what, key)
}

func (s *Service) combineLayers(y *system, r *guestRequest) error {
	var l combinedLayers
	if err := settingsOf(r.Settings, &l); err != nil {
		return err
	}
	if r.RequestType == "Remove" {
		return y.release("combined layers", guestPath(l.ContainerRootPath))
	}
	if len(l.Layers) == 0 {
		return refuse("GuestRequest.Settings.Layers", "is missing")
	}
	if l.ContainerID != "" && !y.linux {
		return refuse("GuestRequest.Settings.ContainerID", "is for Linux guests")
	}
	for i, layer := range l.Layers {
		if m := vsmb.FindStringSubmatch(layer.Path); m != nil && !y.hasShare(m[1]) {
			return fail(pathNotFound, "GuestRequest.Settings.Layers[%d]: %s has no share %s", i, y.id, m[1])
		}
		if y.linux && !y.mounted(layer.Path) {
			return fail(pathNotFound, "GuestRequest.Settings.Layers[%d]: nothing is mounted at %s", i, layer.Path)
		}
	}
	// On Windows the root is where the scratch disk is.
	if !y.linux && !y.mounted(l.ContainerRootPath) {
		return fail(pathNotFound, "GuestRequest.Settings.ContainerRootPath: no disk is mounted at %s", l.ContainerRootPath)
	}
	return y.guestHas("combined layers", guestPath(l.ContainerRootPath), r.RequestType)
}

// mounted says that a path is at or below something that the guest mounted.
func (y *system) mounted(path string) bool {
	p := guestPath(path)
	for _, what := range []string{"guest disk", "guest directory", "guest pmem"} {
		for at := range y.held[what] {
			if at = guestPath(at); p == at || strings.HasPrefix(p, at+`\`) {
				return true
			}
		}
	}
	return false
}

func (s *Service) mapDisk(y *system, r *guestRequest) error {
	var path string
	var lun, controller uint8
	if y.linux {
		var d struct {
			MountPath        string
			Lun              uint8
			Controller       uint8
			Partition        uint64
			ReadOnly         bool
			Encrypted        bool
			Options          []string
			BlockDev         bool
			VerityInfo       json.RawMessage
			EnsureFilesystem bool
			Filesystem       string
		}
		if err := settingsOf(r.Settings, &d); err != nil {
			return err
		}
		path, lun, controller = d.MountPath, d.Lun, d.Controller
	} else {
		var d struct {
			ContainerPath string
			Lun           uint8
		}
		if err := settingsOf(r.Settings, &d); err != nil {
			return err
		}
		path, lun = d.ContainerPath, d.Lun
	}
	if r.RequestType == "Add" && !y.hasLun(lun) {
		return fail(notFound, "no disk is attached as LUN %d of controller %d", lun, controller)
	}
	return y.guestHas("guest disk", path, r.RequestType)
}

// hasLun: the guest numbers controllers, the host names them.
func (y *system) hasLun(lun uint8) bool {
	for key := range y.held["scsi"] {
		if strings.HasSuffix(key, fmt.Sprintf("/%d", lun)) {
			return true
		}
	}
	return false
}

func (s *Service) mapDirectory(y *system, r *guestRequest) error {
	if !y.linux {
		var m mappedDirectory
		if err := settingsOf(r.Settings, &m); err != nil {
			return err
		}
		if v := vsmb.FindStringSubmatch(m.HostPath); r.RequestType == "Add" && v != nil && !y.hasShare(v[1]) {
			return fail(pathNotFound, "%s has no share %s", y.id, v[1])
		}
		return y.guestHas("guest directory", m.ContainerPath, r.RequestType)
	}
	var m struct {
		MountPath string
		Port      int32
		ShareName string
		ReadOnly  bool
	}
	if err := settingsOf(r.Settings, &m); err != nil {
		return err
	}
	if r.RequestType == "Add" && !y.has("plan9 share", m.ShareName) {
		return fail(pathNotFound, "%s has no Plan9 share %s", y.id, m.ShareName)
	}
	return y.guestHas("guest directory", m.MountPath, r.RequestType)
}

func (s *Service) mapNetwork(y *system, r *guestRequest) error {
	if y.linux {
		var n struct {
			NamespaceID, ID, MacAddress, DNSSuffix, DNSServerList string
			EncapOverhead                                         uint16
			VPCIAssigned, PolicyBasedRouting, EnableLowMetric     bool
			IPConfigs                                             []struct {
				IPAddress    string
				PrefixLength uint8
			}
			Routes []struct {
				NextHop, DestinationPrefix string
				Metric                     uint16
			}
			// The agent of 2019 had one address in place of the lists.
			IPAddress, GatewayAddress string
			PrefixLength              uint8
		}
		if err := settingsOf(r.Settings, &n); err != nil {
			return err
		}
		return y.guestHas("guest adapter", n.ID, r.RequestType)
	}
	var n struct {
		AdapterID         string `json:"AdapterId"`
		AdapterInstanceID string `json:"AdapterInstanceId"`
		RequestType       string
		Settings          json.RawMessage
	}
	if err := settingsOf(r.Settings, &n); err != nil {
		return err
	}
	if n.RequestType == "PreAdd" { // the endpoint, told before its adapter comes
		return nil
	}
	return y.guestHas("guest adapter", n.AdapterID+n.AdapterInstanceID, requestType(n.RequestType))
}
