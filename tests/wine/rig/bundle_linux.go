package rig

import (
	"encoding/json"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Kind is how a bundle is to be isolated.
type Kind string

// The kinds of Windows containers.
const (
	Silo Kind = "silo"       // process isolation, HCS v2
	V1   Kind = "hyper-v v1" // a VM of its own that HCS manages, as Docker's
	V2   Kind = "hyper-v v2" // hosted in a utility VM, as in pods
)

// Kinds lists them.
var Kinds = []Kind{Silo, V1, V2}

// schema is the annotation that chooses between the two ways to Hyper-V.
const schema = "org.wrun.hyperv.schema"

// Bundle is a folder of the Windows machine with a config.json, once saved.
type Bundle struct {
	Dir  string
	Spec *specs.Spec
	t    *Test
}

// Bundle makes a bundle of the given kind whose program is args. Its Spec may be
// changed until Save. The image is Windows Server 2022.
func (t *Test) Bundle(kind Kind, args ...string) *Bundle {
	t.Helper()
	return t.BundleOf(Server2022.Build, kind, args...)
}

// BundleOf is Bundle with an image of the Windows with that build number.
func (t *Test) BundleOf(build int, kind Kind, args ...string) *Bundle {
	t.Helper()
	t.bundles++
	b := &Bundle{Dir: t.Dir + `\bundle` + strconv.Itoa(t.bundles), t: t}
	layers, err := t.layers(b.Dir+`\layers`, build)
	t.Must(err)
	b.Spec = &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{Args: args, Cwd: `C:\`, Env: []string{"NAME=value"}},
		Windows: &specs.Windows{LayerFolders: layers},
	}
	switch kind {
	case V1:
		b.Spec.Windows.HyperV = &specs.WindowsHyperV{}
	case V2:
		b.Spec.Windows.HyperV = &specs.WindowsHyperV{}
		b.Spec.Annotations = map[string]string{schema: "v2"}
	}
	return b
}

// Save writes config.json and answers the bundle's folder.
func (b *Bundle) Save() string {
	b.t.Helper()
	data, err := json.MarshalIndent(b.Spec, "", "\t")
	b.t.Must(err)
	b.t.Must(os.WriteFile(b.t.Host.Unix(b.Dir+`\config.json`), data, 0o644))
	return b.Dir
}

// Scratch is the bundle's writable layer.
func (b *Bundle) Scratch() string {
	l := b.Spec.Windows.LayerFolders
	return l[len(l)-1]
}

// Annotate adds an annotation.
func (b *Bundle) Annotate(key, value string) {
	if b.Spec.Annotations == nil {
		b.Spec.Annotations = map[string]string{}
	}
	b.Spec.Annotations[key] = value
}

// Create is `wrun create` of the bundle as it is now, under the test's id.
func (b *Bundle) Create(options ...string) Result {
	b.t.Helper()
	return b.CreateAs(b.t.ID, options...)
}

// CreateAs is Create under another id. It must succeed.
func (b *Bundle) CreateAs(id string, options ...string) Result {
	b.t.Helper()
	return b.t.OK(b.args("create", id, options)...)
}

// Started is create and start. The Result is create's: its files are the
// container's standard streams.
func (b *Bundle) Started(options ...string) Result {
	b.t.Helper()
	r := b.Create(options...)
	b.t.OK("start", b.t.ID)
	return r
}

// Run is `wrun run` of the bundle as it is now, however it ends.
func (b *Bundle) Run(options ...string) Result {
	b.t.Helper()
	return b.t.Wrun(b.args("run", b.t.ID, options)...)
}

// Args are the arguments of `wrun <command>` for the bundle as it is now.
func (b *Bundle) Args(command string, options ...string) []string {
	b.t.Helper()
	return b.args(command, b.t.ID, options)
}

func (b *Bundle) args(command, id string, options []string) []string {
	b.t.Helper()
	return append(append([]string{command, "--bundle", b.Save()}, options...), id)
}

// LinuxBundle makes a Linux bundle for a utility VM with a Linux kernel. The
// kernel, its file system and the layers are files by name only.
func (t *Test) LinuxBundle(args ...string) *Bundle {
	t.Helper()
	b := t.Bundle(V2, args...)
	vm := b.Dir + `\vm`
	for _, name := range []string{vm + `\vmlinux`, vm + `\initrd.img`, b.Dir + `\layers\top\layer.vhd`, b.Dir + `\layers\base\layer.vhd`} {
		t.Must(t.write(name, []byte("a file by name only\n")))
	}
	b.Spec.Annotations = nil
	b.Spec.Windows.HyperV.UtilityVMPath = vm
	b.Spec.Process.Cwd = "/"
	b.Spec.Linux = &specs.Linux{}
	b.Spec.Root = &specs.Root{Path: "rootfs"} // the specification wants one; the VM makes its own of the layers
	t.Must(t.MkdirAll(b.Dir + `\rootfs`))
	return b
}
