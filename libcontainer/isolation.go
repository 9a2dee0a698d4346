package libcontainer

import (
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kind is the degree of separation.
type Kind string

const (
	Silo Kind = "silo" // process isolation: the host's kernel is shared
	UVM  Kind = "uvm"  // Hyper-V isolation: a utility VM with its own kernel
)

// Isolation is the one decision about a container: made at create, saved with
// its facts, never asked again.
type Isolation struct {
	Kind   Kind   `json:"kind"`
	OS     string `json:"os"`     // the bundle's: "linux" or "windows"
	Host   string `json:"host"`   // where it runs: "linux" or "windows"
	Reason string `json:"reason"` // why, in words an operator can check
}

// Decide reads the isolation off a Spec. Nothing else in wrun looks at
// windows.hyperv.
//
// config-windows.md, "Hyper-V": "If present, the container MUST be run with
// Hyper-V isolation. If omitted, the container MUST be run as a Windows Server
// container."
func Decide(s *specs.Spec) Isolation {
	i := Isolation{Kind: Silo, Host: runtime.GOOS, Reason: "no windows.hyperv section"}
	switch {
	case s.Linux != nil:
		i.OS = "linux"
	case s.Windows != nil:
		i.OS = "windows"
	default:
		i.OS = runtime.GOOS
	}
	if s.Windows != nil && s.Windows.HyperV != nil {
		i.Kind, i.Reason = UVM, "windows.hyperv is present"
	}
	return i
}
