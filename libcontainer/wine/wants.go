package wine

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// Wants is what a Windows bundle asks of this host: all that is decided before
// anything on the machine is looked at.
type Wants struct {
	Layers  []string // host folders, topmost to base; the scratch is not among them
	Scratch string   // host folder that takes the writes
	User    User
	Version Version // that Windows is said to be
	Mounts  []Mount
	Pipes   []Pipe
	Network string   // path of a network namespace to join, "" for one of its own
	Search  []string // DNS suffixes
	// Unqualified: names without a dot are asked for as they are.
	Unqualified bool
	Warnings    []string
}

// Mount is a host folder or file that appears on drive C:.
type Mount struct {
	Source   string
	Names    []string // of the destination below C:\, as config.json spells them
	ReadOnly bool
	at       string // its place in config.json
}

// Pipe is a socket of the host's that appears as a named pipe.
type Pipe struct {
	Socket string
	Name   string // behind \\.\pipe\
	at     string
}

// bad is an error about a place of config.json.
func bad(at, format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{at}, args...)...)
}

func index(list string, i int, field string) string {
	s := list + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		s += "." + field
	}
	return s
}

// Read takes a checked Windows Spec apart and refuses what no Linux host can
// give. dir is the bundle's.
func Read(s *specs.Spec, dir string) (*Wants, error) {
	if s.Windows == nil {
		return nil, bad("windows", "is missing")
	}
	if err := refuse(s); err != nil {
		return nil, err
	}
	w := &Wants{Unqualified: true}
	var err error
	if err = w.layers(s.Windows.LayerFolders, dir); err != nil {
		return nil, err
	}
	if w.Version, err = versionOf(s); err != nil {
		return nil, err
	}
	name := ""
	if s.Process != nil {
		name = s.Process.User.Username
	}
	if w.User, err = findUser(name); err != nil {
		return nil, err
	}
	for i := range s.Mounts {
		if err := w.mount(i, &s.Mounts[i]); err != nil {
			return nil, err
		}
	}
	if len(w.Pipes) > mostPipes {
		return nil, bad("mounts", "has %d named pipes, a container can have %d", len(w.Pipes), mostPipes)
	}
	if n := s.Windows.Network; n != nil {
		w.Network, w.Search = n.NetworkNamespace, n.DNSSearchList
		// networkNamespace stands alone, and its names are the namespace's maker's.
		w.Unqualified = n.AllowUnqualifiedDNSQuery || n.NetworkNamespace != ""
	}
	w.leftOut(s)
	return w, nil
}

// layers: config-windows.md, "LayerFolders": topmost to base, "the last entry
// MUST be the path to the container's scratch".
func (w *Wants) layers(folders []string, dir string) error {
	if len(folders) == 0 {
		return bad("windows.layerFolders", "is empty; the last entry is the scratch")
	}
	for i, f := range folders {
		at := index("windows.layerFolders", i, "")
		switch {
		case f == "":
			return bad(at, "is empty")
		case len(f) > 1 && f[1] == ':', strings.HasPrefix(f, `\\`):
			return libcontainer.WithHint(bad(at, "%q is a path of a Windows machine, and this is Linux", f), "name folders of this machine")
		}
		if !path.IsAbs(f) {
			f = path.Join(dir, f)
		}
		f = path.Clean(f)
		if k := slices.Index(w.Layers, f); k >= 0 {
			return bad(at, "%q is windows.layerFolders[%d], too", f, k)
		}
		w.Layers = append(w.Layers, f)
	}
	last := len(w.Layers) - 1
	w.Scratch, w.Layers = w.Layers[last], w.Layers[:last]
	return nil
}

// leftOut warns of what has no effect here and harms nobody by that.
func (w *Wants) leftOut(s *specs.Spec) {
	win := s.Windows
	warn := func(at, why string) { w.Warnings = append(w.Warnings, at+" is left out: "+why) }
	if s.Root != nil && s.Root.Path != "" {
		warn("root.path", "a volume of Windows; drive C: is made of windows.layerFolders")
	}
	if win.IgnoreFlushesDuringBoot {
		warn("windows.ignoreFlushesDuringBoot", "Linux decides when it writes to the disk")
	}
	if r := win.Resources; r != nil && r.Storage != nil && r.Storage.SandboxSize != nil && *r.Storage.SandboxSize != 0 {
		warn("windows.resources.storage.sandboxSize", "the scratch is a folder, as large as its file system")
	}
	if s.Domainname != "" {
		warn("domainname", "Windows knows none")
	}
}
