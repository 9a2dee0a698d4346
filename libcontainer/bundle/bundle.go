// Package bundle reads a bundle's config.json and holds it against the
// runtime specification. It decides nothing and touches no container: bytes
// in, a Spec or a list of problems out. All it looks at on disk is config.json
// and whether the root file system is a directory.
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// MaxSize bounds config.json. Engines write some 30 KB; the largest seccomp
// profiles are a hundredth of this.
const MaxSize = 16 << 20

// Bundle is one config.json together with the directory it lies in.
type Bundle struct {
	Dir  string      // absolute
	Spec *specs.Spec // root.path and the sources of bind mounts are absolute
	Raw  []byte      // config.json as it was read

	file   string          // for messages: where Raw comes from
	absent map[string]bool // paths of REQUIRED numbers and booleans that are missing
	root   error           // why root.path is no directory

	checked  Target // of the last Check, whose warnings these are
	warnings []Problem
}

// Target is what the bundle is checked for.
type Target struct {
	OS string // the bundle's operating system: "linux" or "windows"
	VM bool   // Hyper-V isolation
}

// Load reads dir/config.json. An empty dir is the working directory. What is no
// JSON and values of a wrong type are an *Error with all that was found.
func Load(dir string) (*Bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.json")
	raw, err := readFile(file, MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		// runc enters the bundle first, and engines know its text:
		// "chdir /nonexistent: no such file or directory".
		if st, e := os.Stat(dir); e != nil {
			var p *fs.PathError
			if errors.As(e, &p) {
				e = p.Err
			}
			return nil, &fs.PathError{Op: "chdir", Path: dir, Err: e}
		} else if !st.IsDir() {
			return nil, &fs.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil, fmt.Errorf("bundle %s has no configuration: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("read the bundle's configuration: %w", err)
	}
	b, err := parse(dir, file, raw)
	if err != nil {
		return nil, err
	}
	if r := b.Spec.Root; r != nil && r.Path != "" && !b.windows() {
		b.root = checkDirectory(r.Path)
	}
	return b, nil
}

// ReadFile reads a file that a caller names beside the bundle, of at most
// MaxSize; it may be a fifo or /dev/stdin too.
func ReadFile(name string) ([]byte, error) {
	// Not by readFile's own look: a fifo that is opened and closed again ends
	// whoever writes into it.
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return os.ReadFile(name)
	}
	return readFile(name, MaxSize)
}

// Parse is Load for a configuration that was read before, of a bundle that may
// be gone: nothing on disk is looked at.
func Parse(dir string, raw []byte) (*Bundle, error) {
	return parse(dir, "config.json", raw)
}

func parse(dir, file string, raw []byte) (*Bundle, error) {
	b := &Bundle{Dir: dir, Spec: new(specs.Spec), Raw: raw, file: file}
	absent, problems := decode("", raw, b.Spec, decSpec)
	if problems != nil {
		return nil, &Error{File: file, Problems: problems}
	}
	b.absent = absent
	b.resolve()
	return b, nil
}

// windows tells a Windows bundle, whose paths are not this host's to complete:
// root.path is a volume there and may not be relative.
func (b *Bundle) windows() bool { return b.Spec.Linux == nil && b.Spec.Windows != nil }

// resolve makes the paths absolute that may be relative to the bundle:
// config.md, Root ("either an absolute path or a relative path to the bundle")
// and Mounts ("Path values for bind mounts are either absolute or relative to
// the bundle. A mount is a bind mount if it has either bind or rbind").
func (b *Bundle) resolve() {
	if b.windows() {
		return
	}
	if r := b.Spec.Root; r != nil && r.Path != "" && !filepath.IsAbs(r.Path) {
		r.Path = filepath.Join(b.Dir, r.Path)
	}
	for i := range b.Spec.Mounts {
		m := &b.Spec.Mounts[i]
		if m.Source != "" && !filepath.IsAbs(m.Source) && isBind(m) {
			m.Source = filepath.Join(b.Dir, m.Source)
		}
	}
}

// isBind includes type "bind" without the option, which Docker once wrote and
// runc and crun mount alike.
func isBind(m *specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

func checkDirectory(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return &fs.PathError{Op: "stat", Path: path, Err: syscall.ENOTDIR}
	}
	return nil
}

// ParseProcess reads and checks a process object, as `exec --process` gets it.
func ParseProcess(data []byte, t Target) (*specs.Process, error) {
	p := new(specs.Process)
	absent, problems := decode("process", data, p, decProcess)
	if problems == nil {
		c := checker{t: t, absent: absent}
		c.process("", p)
		problems = c.problems
	}
	if problems != nil {
		return nil, &Error{File: "process", Problems: problems}
	}
	return p, nil
}

// ParseResources reads and checks a linux.resources object, as
// `update --resources` gets it.
func ParseResources(data []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	absent, problems := decode("linux.resources", data, r, decLinuxResources)
	if problems == nil {
		c := checker{t: Target{OS: "linux"}, absent: absent}
		c.resources("", r)
		problems = c.problems
	}
	if problems != nil {
		return nil, &Error{File: "resources", Problems: problems}
	}
	return r, nil
}

// ParseWindowsResources reads and checks a windows.resources object, as
// `update --resources` gets it for a Windows container.
func ParseWindowsResources(data []byte) (*specs.WindowsResources, error) {
	r := new(specs.WindowsResources)
	absent, problems := decode("windows.resources", data, r, decWindowsResources)
	if problems == nil {
		c := checker{t: Target{OS: "windows"}, absent: absent}
		if r.CPU != nil {
			c.windowsCPU("cpu", r.CPU)
		}
		problems = c.problems
	}
	if problems != nil {
		return nil, &Error{File: "resources", Problems: problems}
	}
	return r, nil
}
