// Package hcsdoc turns a Spec into the JSON documents that the Windows Host
// Compute Service (HCS) takes: compute systems, processes, signals, and the
// requests that modify a running utility VM. Values in, bytes out, the same
// bytes on every operating system; it touches no machine and knows no host.
//
// Schemas: v2.1 for silos, utility VMs and hosted containers, v1 for the single
// Windows container under Hyper-V. Nothing here was ever run on real Windows;
// the shapes come from Microsoft's schema reference and from what its shim was
// measured to send.
//
// An error names the JSON path of config.json that it is about.
package hcsdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Input is all that a document is made from; the host gathers it.
type Input struct {
	ID, Owner string
	Spec      *specs.Spec
	CPUs      int     // logical processors of the host; 0 unknown: a count is not clipped
	Build     uint16  // the host's build; 0 unknown: what depends on it is let through
	Layers    []Layer // read-only layers, topmost first, base last; paths of the host
	Scratch   string  // the last of windows.layerFolders
	Root      string  // silo: the mounted volume, `\\?\Volume{…}\`; hosted: path in the guest, "" as Attachments plans it
	Namespace string  // HCN namespace id, "" none; from the spec or made by the host
	// UtilityVM is the folder of the VM's image: `…\UtilityVM` for Windows, the
	// folder of kernel and initrd for Linux.
	UtilityVM  string
	Credential any // the ContainerCredentialGuard state as HCS answered (json.RawMessage), nil none
	// CredentialSocket is that instance's HvSocketConfig as HCS answered
	// (json.RawMessage): the socket by which a process in a utility VM reaches
	// it. nil none.
	CredentialSocket any
	Host             string // id of the hosting VM's compute system, for hosted containers
	ConsolePipe      string // named pipe behind COM1 of a utility VM, "" none
	VMCPUs           int    // processors of the hosting VM; 0: as UtilityVM would give one made for this Spec
	// LUNs are the free places of the VM's SCSI controller, in the order they
	// are taken; nil: 1, 2, … for Windows (0 has the VM's own scratch), 0, 1, …
	// for Linux.
	LUNs  []int
	Files map[string]bool // mount sources that are files, not folders
	// Resolved are mount sources without links, of a silo: HCS does not find its
	// way through a link to a file. A source that is not here stays as it is.
	Resolved map[string]string
	// Attached are disks the VM has already, by Step.Key, and their places.
	Attached map[string]int
	// Network is the namespace and its endpoints as HCN describes them, for a
	// utility VM, whose guest has to be told; nil none.
	Network *Network
}

// Layer is one read-only layer. ID is NameToGuid of the folder's name.
type Layer struct{ ID, Path string }

// Network is what a utility VM has to know of an HCN namespace.
type Network struct {
	Namespace any // HCN's description of the namespace (json.RawMessage)
	Endpoints []Endpoint
}

// Endpoint is one HCN endpoint and the network adapter it becomes in the VM.
type Endpoint struct {
	ID      string // HCN's id
	Adapter string // GUID of the adapter, chosen by the host, unique in the VM
	MAC     string
	// Settings is HCN's description of the endpoint (json.RawMessage) for a
	// Windows guest; for a Linux guest the adapter as opengcs takes it.
	Settings any
}

// bad is an error about one place of config.json.
func bad(at, format string, args ...any) error {
	return fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...))
}

func index(list string, i int, field string) string {
	at := fmt.Sprintf("%s[%d]", list, i)
	if field != "" {
		at += "." + field
	}
	return at
}

var (
	errNoSpec    = errors.New("windows: is missing; it lists the layers of every container on a Windows host")
	errNoProcess = errors.New("process: is missing; a container without one cannot be started")
)

// windows is the Windows section of the Spec, never nil without an error.
func (in *Input) windows() (*specs.Windows, error) {
	if in == nil || in.Spec == nil || in.Spec.Windows == nil {
		return nil, errNoSpec
	}
	return in.Spec.Windows, nil
}

// encode is v as JSON on one line. Paths and command lines are full of < and &:
// they stay readable.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode an HCS document: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// must is encode of documents made of strings and numbers only, which cannot fail.
func must(v any) []byte {
	b, err := encode(v)
	if err != nil {
		panic(err)
	}
	return b
}
