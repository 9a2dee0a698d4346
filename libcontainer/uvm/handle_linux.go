package uvm

import (
	"encoding/json"
	"fmt"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
)

// handle is what is saved of a container: its monitor, and the cgroup that all
// processes of the VM are in.
type handle struct {
	ID    string        `json:"id"`
	Dir   string        `json:"dir"` // state directory
	Group *cgroup.Group `json:"cgroup,omitempty"`
	// Network is the path of the network namespace that the VM is tied to; "": one of
	// the monitor's own.
	Network string `json:"network,omitempty"`
	// NetworkID tells that namespace from another one that the path may lead to later.
	NetworkID string `json:"networkID,omitempty"`
	// Sandbox is the state directory of the container whose VM is shared.
	Sandbox string `json:"sandbox,omitempty"`
	Pid     int    `json:"pid,omitempty"`   // of the monitor
	Start   uint64 `json:"start,omitempty"` // clock ticks; pid is trusted only with it
}

// socketDir is where the monitor listens that has the VM.
func (h *handle) socketDir() string {
	if h.Sandbox != "" {
		return h.Sandbox
	}
	return h.Dir
}

func (h *handle) encode() libcontainer.Handle {
	data, err := json.Marshal(h)
	if err != nil { // strings and numbers
		panic("uvm: " + err.Error())
	}
	return data
}

func decodeHandle(raw libcontainer.Handle) (*handle, error) {
	h := new(handle)
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("reading the record of a utility VM: %w", err)
	}
	if h.ID == "" || h.Dir == "" {
		return nil, fmt.Errorf("reading the record of a utility VM: %s names no container", raw)
	}
	return h, nil
}
