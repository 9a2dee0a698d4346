package uvm

import (
	"encoding/json"

	"wrun/libcontainer/uvm/wire"
)

// What the creator and the monitor of a container say to each other, in this
// order, over the link that the monitor inherits. The link's end before the last
// of it is the end of the other one.

// order is what the monitor has to make.
type order struct {
	ID           string          `json:"id"`
	Dir          string          `json:"dir"`               // the container's state directory
	Machine      *Machine        `json:"machine,omitempty"` // nil for a member of a pod
	Sandbox      string          `json:"sandbox,omitempty"` // state directory of the container whose VM is shared
	Spec         json.RawMessage `json:"spec"`              // for the guest
	Start        json.RawMessage `json:"start,omitempty"`   // likewise, as Prepare gave it
	Shares       []Share         `json:"shares"`
	Terminal     bool            `json:"terminal"` // a console socket comes with the order
	NoNewKeyring bool            `json:"noNewKeyring,omitempty"`
}

// report is the monitor's: that its namespaces are there, then that the
// container is made.
type report struct {
	Err      *wire.Error `json:"err,omitempty"`
	Warnings []string    `json:"warnings,omitempty"`
}

// proceed is the creator's answer to the first report, whose hooks have run, and
// to the second, whose facts are complete: from then on the monitor lives without
// its creator.
type proceed struct{}

// create is what the agent is asked for.
func (o *order) create() wire.Create {
	return wire.Create{ID: o.ID, NoNewKeyring: o.NoNewKeyring, Spec: o.Spec, Start: o.Start}
}

// request is what a later command wants of the monitor: an operation of package
// wire for the container, or one of those below.
type request struct {
	Op string `json:"op"`
	In any    `json:"in,omitempty"`
}

// Operations that the monitor answers by itself.
const (
	opState = "state" // → state
)

// state is what the monitor knows of its container.
type state struct {
	Started bool `json:"started"`
	Paused  bool `json:"paused"`
	Init    int  `json:"init"` // the first process, as the VM counts

	left chan struct{} // closed when a member of a pod is out of the VM
}
