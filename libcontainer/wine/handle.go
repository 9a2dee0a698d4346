package wine

import (
	"encoding/json"
	"fmt"

	"wrun/libcontainer"
)

// handle is what is saved of a container beside what the host that runs it saves.
type handle struct {
	Dir    string `json:"dir"` // state directory
	VM     bool   `json:"vm,omitempty"`
	Nonce  string `json:"nonce"`
	Wine   Wine   `json:"wine"`
	User   User   `json:"user"`
	Prefix string `json:"prefix,omitempty"` // on the host
	CPUs   int    `json:"cpus,omitempty"`
	Disk   Disk   `json:"disk"`
	// Mounted: the overlay of drive C: may be mounted in the state directory.
	Mounted bool `json:"mounted,omitempty"`
	// Making is the handle of the silo in which a template is being made.
	Making libcontainer.Handle `json:"making,omitempty"`
	Inner  libcontainer.Handle `json:"inner,omitempty"`
}

func (h *handle) encode() libcontainer.Handle {
	b, err := json.Marshal(h)
	if err != nil { // strings, numbers and JSON
		panic(err)
	}
	return b
}

func decodeHandle(raw libcontainer.Handle) (*handle, error) {
	h := &handle{}
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("the handle of a Windows container in the state file: %w", err)
	}
	return h, nil
}
