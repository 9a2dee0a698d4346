package wire

import (
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/uvm/network"
)

// Version changes with what is said. Both ends come from one binary, unless
// somebody boots an image that another wrun made.
const Version = 6

// Ready is what the agent writes, in plain, when it listens: on a console of a
// VM that becomes a template nobody is there yet to speak frames with.
const Ready = "wrun agent ready\n"

// What the host asks of the agent. Ids are the host's: of containers, their own;
// of further processes, any that is unique in the VM.
const (
	OpHello     = "hello"     // Hello
	OpNetwork   = "network"   // Network
	OpClock     = "clock"     // Clock
	OpCreate    = "create"    // Create → Created
	OpStart     = "start"     // Target
	OpSignal    = "signal"    // Signal
	OpExec      = "exec"      // Exec → Created
	OpWait      = "wait"      // Target → Exit, when it has ended
	OpResize    = "resize"    // Resize
	OpProcesses = "processes" // Target → []int
	OpTable     = "table"     // Target → []libcontainer.ProcessInfo
	OpPause     = "pause"     // Target
	OpResume    = "resume"    // Target
	OpUpdate    = "update"    // Update
	OpStats     = "stats"     // Target → the container's statistics
	OpOOM       = "oom"       // OOM → OOMs, at the next one or after a while
	OpHook      = "hook"      // Hook
	OpClose     = "close"     // Target: the container is taken out of the VM
	OpSync      = "sync"      // all that was written is in the files
	OpSettle    = "settle"    // a program's start is over: what none needs for it may take its time
)

// OpDial is all that the agent asks of the host.
const OpDial = "dial" // Dial: its stream carries the connection from then on

// Hello is the first call: a VM that was restored has the time and the
// randomness of its template until then.
type Hello struct {
	Version int      `json:"version"`
	Time    int64    `json:"time"`    // ns since 1970
	Entropy []uint64 `json:"entropy"` // fresh; numbers, which the agent can read anyhow
	Files   bool     `json:"files"`   // the host serves files on the port of that name
}

// Clock sets the VM's.
type Clock struct {
	Time int64 `json:"time"` // ns since 1970
}

// Network is what the VM's network cards are, in their order.
type Network struct {
	Interfaces []network.Interface `json:"interfaces"`
}

// Target is a container or a process in it.
type Target struct {
	ID string `json:"id"`
}

// Streams are the numbers of a process's streams, 0 for none. A terminal has
// one, In, for both directions.
type Streams struct {
	Terminal *Terminal `json:"terminal,omitempty"`
	In       uint32    `json:"in,omitempty"`
	Out      uint32    `json:"out,omitempty"`
	Err      uint32    `json:"err,omitempty"`
}

// Terminal is what the one on the host is like that a terminal in the VM ends in.
type Terminal struct {
	Width  uint16 `json:"width"` // 0: nobody has said
	Height uint16 `json:"height"`
	Plain  bool   `json:"plain"` // a newline stays one, without a carriage return
}

// OfSandbox is the path of a namespace that is the one of the sandbox's container.
const OfSandbox = "sandbox"

// Create makes a container. The Spec is as the guest has to see it. Start is what the
// host has worked out of that, and then nobody looks into the Spec before it is
// needed; without one the agent works it out. Who carries them looks into neither.
type Create struct {
	ID           string          `json:"id"`
	Start        json.RawMessage `json:"start,omitempty"`
	Spec         json.RawMessage `json:"spec"`
	Streams      Streams         `json:"streams"`
	Sandbox      string          `json:"sandbox,omitempty"` // id of the container whose namespaces are meant by OfSandbox
	NoNewKeyring bool            `json:"noNewKeyring,omitempty"`
	// Sockets are the mounts whose sources on the host are unix sockets.
	Sockets []Socket `json:"sockets,omitempty"`
}

// Socket is a unix socket of the host that a container mounts.
type Socket struct {
	Name string `json:"name"` // of the mount's source, below the container's directory in the VM
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Mode uint32 `json:"mode"` // permission bits
}

// Dial connects to a socket of the host. It names one that the container mounts:
// where that is, only the host knows.
type Dial struct {
	ID     string   `json:"id"` // of the container
	Name   string   `json:"name"`
	Stream uint32   `json:"stream"` // as Open has numbered it
	UID    uint32   `json:"uid"`    // of who connects, as the VM knows them
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Created is a process in the VM.
type Created struct {
	Pid      int      `json:"pid"` // as the VM counts
	Warnings []string `json:"warnings,omitempty"`
}

// Signal is for a container's first process, all of them, or a further one.
type Signal struct {
	ID     string `json:"id"`
	Number int    `json:"number"`
	All    bool   `json:"all,omitempty"`
}

// Exec starts a further process in a container.
type Exec struct {
	ID        string            `json:"id"` // of the new process
	Container string            `json:"container"`
	Process   *specs.Process    `json:"process"`
	Cgroup    map[string]string `json:"cgroup,omitempty"`
	Streams   Streams           `json:"streams"`
}

// Exit is how a process ended.
type Exit struct {
	Code int `json:"code"` // 128+n after signal n
}

// Resize is for the terminal of a container's first process or a further one.
type Resize struct {
	ID string `json:"id"`
	Terminal
}

// Update changes limits.
type Update struct {
	ID        string                `json:"id"`
	Resources *specs.LinuxResources `json:"resources"`
}

// OOM asks for processes that the kernel killed for want of memory.
type OOM struct {
	ID   string `json:"id"`
	Seen int64  `json:"seen"` // of them the host knows; fewer than 0: answer at once
}

// OOMs is how many there have been since the host first asked.
type OOMs struct {
	Count int64 `json:"count"`
}

// Hook runs a startContainer hook in the container.
type Hook struct {
	ID    string          `json:"id"`
	Hook  specs.Hook      `json:"hook"`
	State json.RawMessage `json:"state"`
}
