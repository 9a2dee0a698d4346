package hcs

import (
	"encoding/json"
	"fmt"
	"slices"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// handle is the host's record of one container: what was made, and so what has
// to be taken back. A member is set before its side effect; what says how far
// the side effect got is set behind it.
type handle struct {
	Dir    string   `json:"dir"`           // the container's state directory
	System string   `json:"system"`        // name of its compute system
	API    string   `json:"api"`           // of the compute system: apiV1 or apiV2
	OS     string   `json:"os"`            // in the container: "windows" or "linux"
	Made   bool     `json:"-"`             // the compute system is ours to end: its document is in Dir
	Silo   bool     `json:"silo"`          // its processes are the host's
	VM     *machine `json:"vm,omitempty"`  // the utility VM that hosts it
	Net    *network `json:"net,omitempty"` // the network namespace that create made
	Disk   *storage `json:"disk,omitempty"`
	Guard  string   `json:"guard,omitempty"` // instance of the credential guard
	Gate   *monitor `json:"gate,omitempty"`
}

const (
	apiV1 = "v1" // vmcompute.dll, by hcsshim
	apiV2 = "v2" // computecore.dll
)

// machine is a utility VM and what the container has attached to it.
type machine struct {
	System   string       `json:"system"`
	Owned    bool         `json:"owned"`             // made for this container, ends with it
	Foreign  bool         `json:"foreign,omitempty"` // but another one took the name: not to be ended
	Dir      string       `json:"dir"`               // state directory of its owner, which has the ledger
	Grants   []string     `json:"grants,omitempty"`  // what it boots from: files it got access to
	Attached []attachment `json:"attached,omitempty"`
}

// attachment is a change of the VM by its document and what takes it back.
type attachment struct {
	What  string          `json:"what"`           // for messages
	Undo  json.RawMessage `json:"undo,omitempty"` // nothing takes it back but the VM's end
	Key   string          `json:"key,omitempty"`  // shared with the VM's other containers by this name
	Grant string          `json:"grant,omitempty"`
}

// network is a namespace of the Host Compute Network service.
type network struct {
	Namespace string   `json:"namespace"` // "" until the service has named it
	Made      bool     `json:"made"`
	Endpoints []string `json:"endpoints,omitempty"`
}

// storage is the scratch layer that create mounted.
type storage struct {
	Scratch string `json:"scratch"`
}

// monitor is the container's resident process.
type monitor struct {
	Pid     int    `json:"pid"`     // 0 until it was started
	Created int64  `json:"created"` // its creation time, 100 ns since 1601: a pid alone may be another's
	Pipe    string `json:"pipe"`    // where it listens
}

func (h *handle) encode() libcontainer.Handle {
	data, err := json.Marshal(h)
	if err != nil { // strings, numbers and documents that were JSON before
		panic("hcs: " + err.Error())
	}
	return data
}

func decodeHandle(raw libcontainer.Handle) (*handle, error) {
	h := new(handle)
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("reading the record of a container on windows: %w", err)
	}
	if h.System == "" || h.Dir == "" || !slices.Contains([]string{apiV1, apiV2}, h.API) {
		return nil, fmt.Errorf("reading the record of a container on windows: %s names no compute system", raw)
	}
	return h, nil
}

// kind is what its limits are changed of.
func (h *handle) kind() hcsdoc.Kind {
	switch {
	case h.Silo:
		return hcsdoc.KindSilo
	case h.API == apiV1:
		return hcsdoc.KindSingle
	}
	return hcsdoc.KindHosted
}
