package hcsdoc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// This file makes HcsModifyComputeSystem documents for a running utility VM.
// What the host gives to the VM and what the guest has to do about it travel in
// one document.

// scsiController is the VM's one controller. HCS knows controllers by GUID;
// this one is Microsoft's for number 0 (version 5, of the name "0").
const scsiController = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a"

// scsiPlaces is how many disks a controller takes.
const scsiPlaces = 64

const (
	sharesPath  = "VirtualMachine/Devices/VirtualSmb/Shares"
	plan9Path   = "VirtualMachine/Devices/Plan9/Shares"
	pipesPath   = "VirtualMachine/Devices/MappedPipes/"
	adapterPath = "VirtualMachine/Devices/NetworkAdapters/"
	socketPath  = "VirtualMachine/Devices/HvSocket/HvSocketConfig/ServiceTable/"
	plan9Port   = 564
)

// Flags of a Plan9 share.
const (
	plan9ReadOnly      = 0x1
	plan9LinuxMetadata = 0x4 // uid, gid and mode live in the file's extended attributes
	plan9Restrict      = 0x80
)

func scsiPath(lun int) string {
	return "VirtualMachine/Devices/Scsi/" + scsiController + "/Attachments/" + strconv.Itoa(lun)
}

// readOnlyShare: a share nobody writes to may be cached and opened shared.
func readOnlyShare() shareOptions {
	return shareOptions{ReadOnly: true, ShareRead: true, CacheIo: true, PseudoOplocks: true}
}

// layerShare: layers hold files that only their backup semantics can open.
func layerShare() shareOptions {
	o := readOnlyShare()
	o.TakeBackupPrivilege = true
	return o
}

// AddShare shares a folder of the host with a Windows guest, which sees it at
// SharePath(name).
func AddShare(name, path string, readOnly bool) ([]byte, error) {
	if name == "" || strings.ContainsAny(name, `\/`) {
		return nil, fmt.Errorf("share %s with a utility VM: %q is no name of a share", path, name)
	}
	if path == "" {
		return nil, errors.New("share a folder with a utility VM: no path")
	}
	var o shareOptions
	if readOnly {
		o = readOnlyShare()
	}
	return addShare(share{Name: name, Path: path, Options: o}), nil
}

func addShare(s share) []byte {
	return must(&modify{ResourcePath: sharesPath, RequestType: "Add", Settings: &s})
}

// RemoveShare undoes AddShare.
func RemoveShare(name string) []byte {
	type named struct{ Name string }
	return must(&modify{ResourcePath: sharesPath, RequestType: "Remove", Settings: named{name}})
}

// SharePath is where a Windows guest sees the share of that name.
func SharePath(name string) string { return vmShares + name }

// diskGuest is what a guest is told of a disk: for Windows a folder to mount it
// at, for Linux that and more.
type diskGuest struct {
	ContainerPath string `json:",omitempty"`
	MountPath     string `json:",omitempty"`
	Lun           int
	ReadOnly      bool `json:",omitempty"`
}

// AttachDisk attaches a virtual disk, writable, at a place of the VM's SCSI
// controller, and has the guest mount it at guestPath; with "" it does not.
func AttachDisk(lun int, path, guestPath string, linux bool) ([]byte, error) {
	if path == "" {
		return nil, errors.New("attach a disk to a utility VM: no path")
	}
	return attachDisk(lun, attachment{Type: "VirtualDisk", Path: path}, guestPath, linux)
}

func attachDisk(lun int, a attachment, guestPath string, linux bool) ([]byte, error) {
	if lun < 0 || lun >= scsiPlaces {
		return nil, fmt.Errorf("attach %s to a utility VM: there is no place %d, its controller has %d", a.Path, lun, scsiPlaces)
	}
	m := &modify{ResourcePath: scsiPath(lun), RequestType: "Add", Settings: &a}
	m.GuestRequest = diskRequest("Add", lun, guestPath, a.ReadOnly, linux)
	return must(m), nil
}

func diskRequest(what string, lun int, guestPath string, readOnly, linux bool) *guestRequest {
	if guestPath == "" {
		return nil
	}
	g := diskGuest{ContainerPath: guestPath, Lun: lun}
	if linux {
		g = diskGuest{MountPath: guestPath, Lun: lun, ReadOnly: readOnly}
	}
	return &guestRequest{"MappedVirtualDisk", what, g}
}

// DetachDisk undoes AttachDisk with the same lun, guestPath and linux.
func DetachDisk(lun int, guestPath string, linux bool) []byte {
	return detachDisk(lun, guestPath, false, linux)
}

func detachDisk(lun int, guestPath string, readOnly, linux bool) []byte {
	return must(&modify{ResourcePath: scsiPath(lun), RequestType: "Remove", GuestRequest: diskRequest("Remove", lun, guestPath, readOnly, linux)})
}

// DiskPath is where wrun has a guest mount the disk at lun.
func DiskPath(lun int, linux bool) string {
	if linux {
		return "/run/mounts/scsi/m" + strconv.Itoa(lun)
	}
	return `c:\mounts\scsi\m` + strconv.Itoa(lun)
}

type combinedLayers struct {
	ContainerRootPath string
	Layers            []layer `json:",omitempty"`
	ScratchPath       string  `json:",omitempty"`
}

// CombineLayers has the guest make a container's root of layers it already
// sees. A Windows guest puts the filter on root, which is the mounted scratch;
// a Linux guest mounts an overlay at root with its upper side in the folder
// scratch.
func CombineLayers(root string, layers []Layer, linux bool, scratch string) []byte {
	c := combinedLayers{ContainerRootPath: root, Layers: hcsLayers(layers)}
	if linux {
		c.ScratchPath = scratch
	}
	return must(&modify{GuestRequest: &guestRequest{"CombinedLayers", "Add", &c}})
}

// UncombineLayers undoes CombineLayers.
func UncombineLayers(root string) []byte {
	return must(&modify{GuestRequest: &guestRequest{"CombinedLayers", "Remove", &combinedLayers{ContainerRootPath: root}}})
}

// AddPipe makes a named pipe of the host, `\\.\pipe\x`, visible to a Windows
// guest, at PipePath.
func AddPipe(pipe string) []byte {
	return must(&modify{ResourcePath: pipesPath + pipe, RequestType: "Add"})
}

// RemovePipe undoes AddPipe.
func RemovePipe(pipe string) []byte {
	return must(&modify{ResourcePath: pipesPath + pipe, RequestType: "Remove"})
}

// PipePath is where a Windows guest sees the host's pipe of that name.
func PipePath(name string) string { return vmShares + `IPC$\` + name }

type mappedGuestDirectory struct {
	MountPath string
	Port      int
	ShareName string
	ReadOnly  bool `json:",omitempty"`
}

// AddPlan9 shares a folder of the host with a Linux guest, which mounts it at
// guestPath; only is the one file of it that the guest may see, "" all.
func AddPlan9(name, path, guestPath string, readOnly bool, only string) []byte {
	s := plan9Share{Name: name, AccessName: name, Path: path, Port: plan9Port, Flags: plan9LinuxMetadata}
	if readOnly {
		s.Flags |= plan9ReadOnly
	}
	if only != "" {
		s.Flags |= plan9Restrict
		s.AllowedFiles = []string{only}
	}
	return must(&modify{ResourcePath: plan9Path, RequestType: "Add", Settings: &s,
		GuestRequest: &guestRequest{"MappedDirectory", "Add", mappedGuestDirectory{guestPath, plan9Port, name, readOnly}}})
}

// RemovePlan9 undoes AddPlan9.
func RemovePlan9(name, guestPath string) []byte {
	return must(&modify{ResourcePath: plan9Path, RequestType: "Remove", Settings: &plan9Share{Name: name, AccessName: name, Port: plan9Port},
		GuestRequest: &guestRequest{"MappedDirectory", "Remove", mappedGuestDirectory{MountPath: guestPath, Port: plan9Port, ShareName: name}}})
}

type adapterSettings struct {
	AdapterID   string `json:"AdapterId"`
	RequestType string
	Settings    any `json:",omitempty"`
}

type networkAdapter struct {
	EndpointID string `json:"EndpointId"`
	MacAddress string `json:",omitempty"`
}

// adapter is the request that adds or removes e's adapter; a Windows guest
// knows it by AdapterId, a Linux guest gets all of its description.
func adapter(what string, e *Endpoint, linux bool) ([]byte, error) {
	m := &modify{ResourcePath: adapterPath + e.Adapter, RequestType: what, Settings: networkAdapter{e.ID, e.MAC}}
	switch {
	case !linux:
		m.GuestRequest = &guestRequest{"Network", what, adapterSettings{e.Adapter, what, nil}}
	case e.Settings != nil:
		m.GuestRequest = &guestRequest{"Network", what, e.Settings}
	}
	return encode(m)
}

// announce tells a Windows guest of an endpoint before its adapter comes.
func announce(e *Endpoint) ([]byte, error) {
	return encode(&modify{GuestRequest: &guestRequest{"Network", "Add", adapterSettings{e.Adapter, "PreAdd", e.Settings}}})
}

func guestNamespace(what string, settings any) ([]byte, error) {
	return encode(&modify{GuestRequest: &guestRequest{"NetworkNamespace", what, settings}})
}
