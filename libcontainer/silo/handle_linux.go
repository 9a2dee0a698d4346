package silo

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/silo/cgroup"
)

// handle is what is saved of a container: enough to find it and to remove all
// that was made for it, however far its creation came.
type handle struct {
	Dir   string        `json:"dir"` // state directory: the gate's fifos
	Group *cgroup.Group `json:"cgroup,omitempty"`
	Pid   int           `json:"pid,omitempty"`
	Start uint64        `json:"start,omitempty"` // clock ticks; pid is trusted only with it
	// After names the steps behind the gate, so that start can say which one
	// did not work; the first has index Gate+1.
	Gate  int      `json:"gate,omitempty"`
	After []string `json:"after,omitempty"`
	// Namespaces are those the container has of its own, for hooks.
	Namespaces []specs.LinuxNamespaceType `json:"namespaces,omitempty"`
	// Program is process.args[0], for errors of start.
	Program string `json:"program,omitempty"`
	// HostRoot is the root file system's path when there is no mount
	// namespace: then its mounts are the host's and Close takes away all that
	// lie over the mount HostMount.
	HostRoot  string `json:"hostRoot,omitempty"`
	HostMount uint64 `json:"hostMount,omitempty"`
}

func (h *handle) encode() libcontainer.Handle {
	b, err := json.Marshal(h)
	if err != nil { // strings and numbers
		panic(err)
	}
	return b
}

func decodeHandle(raw libcontainer.Handle) (*handle, error) {
	h := &handle{}
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("the silo's handle in the state file: %w", err)
	}
	return h, nil
}
