// Package libcontainer is wrun's core: the life cycle of a container over
// whichever host does the work. It decides, orders the steps, keeps the facts
// and runs the hooks; it never touches a namespace, a machine or a service.
package libcontainer

import (
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// StatusPaused is the one status beyond the specification's four.
const StatusPaused specs.ContainerState = "paused"

// Annotations that wrun adds to the bundle's own in State, List and the state
// given to hooks.
const (
	AnnotationIsolation = "org.wrun.isolation" // silo | uvm
	AnnotationHost      = "org.wrun.host"      // linux | windows
	AnnotationExitCode  = "org.wrun.exit-code" // of a stopped container, where the host keeps it: 0 to 4294967295
	AnnotationInit      = "org.wrun.init-pid"  // the first process as ps lists it, where the state's pid is a monitor's
)

// Runtime is the state root plus the hosts: what every command works with. It
// holds no state of its own, so any number of processes may share a root.
type Runtime struct {
	Root          string                        // the container's state is Root/<id>/
	Hosts         func(Isolation) (Host, error) // who serves which isolation
	Warn          func(format string, args ...any)
	SystemdCgroup bool
	Rootless      bool
	Owner         string // who makes containers, for hosts whose service shows that

	Debug func(format string, args ...any) // nil, or for what only --debug shows
}

// CreateOptions are the choices a caller has beside the bundle.
type CreateOptions struct {
	Bundle       string // "" is the working directory
	PidFile      string
	NoPivot      bool
	NoNewKeyring bool
	MonitorLog   string // these as in Config
	VMLog        string
	VMConsole    string
	VMAccel      string
	VMTemplate   string
	VM           string
	Stdio        Stdio
	// Streams, when set, is asked for the Stdio once the container's operating
	// system and the process are known (its terminal flag decides what a caller
	// has to bring) and before anything is reserved; its error ends the
	// operation. It may set the process's ConsoleSize.
	Streams func(os string, p *specs.Process) (Stdio, error)
}

// RunOptions are the choices of Run.
type RunOptions struct {
	CreateOptions
	Detach bool
	Keep   bool
	// Started is called once the program runs (foreground only); the CLI relays
	// signals and terminal through it.
	Started func(Process)
}

// ExecOptions describe a further process.
type ExecOptions struct {
	// Process is complete, or nil: then Override edits a deep copy of the
	// container's own process. It is told the container's operating system,
	// which decides what a user is and how variables are named.
	Process      *specs.Process
	Override     func(os string, p *specs.Process) error
	PidFile      string
	Detach       bool
	IgnorePaused bool
	Cgroup       map[string]string
	Stdio        Stdio
	MonitorLog   string                                           // as in Config
	Streams      func(os string, p *specs.Process) (Stdio, error) // as in CreateOptions
	Started      func(Process)
}

// Limits are what Update changes. The bundle's operating system decides which
// of the two is there to be filled in.
type Limits struct {
	Linux   *specs.LinuxResources
	Windows *specs.WindowsResources
}

// Summary is one line of List, in the shape of `runc list --format json`.
type Summary struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

// warn tells the operator, when there is somebody who listens.
func (r *Runtime) warn(format string, args ...any) {
	if r.Warn != nil {
		r.Warn(format, args...)
	}
}
