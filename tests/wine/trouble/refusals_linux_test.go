package trouble

import (
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// TestRefusals: bundles that cannot work. Each has one clear error that names
// the place, and nothing is left, at the service or on disk.
func TestRefusals(t *testing.T) {
	some := func(n uint64) *uint64 { return &n }
	few := func(n uint16) *uint16 { return &n }
	for _, c := range []struct {
		name  string
		kind  rig.Kind
		edit  func(t *rig.Test, b *rig.Bundle)
		words []string
	}{
		{"no layers", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Windows.LayerFolders = nil }, []string{"layerFolders"}},
		{"only a scratch", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.LayerFolders = b.Spec.Windows.LayerFolders[2:]
		}, []string{"layerFolders"}},
		{"layer missing", rig.Silo, func(t *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.LayerFolders[0] = t.Dir + `\nowhere`
		}, []string{"layerFolders", "nowhere"}},
		{"layer missing", rig.V1, func(t *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.LayerFolders[0] = t.Dir + `\nowhere`
		}, []string{"layerFolders", "nowhere"}},
		{"no utility VM", rig.V1, func(t *rig.Test, b *rig.Bundle) {
			t.Must(os.RemoveAll(t.Host.Unix(b.Spec.Windows.LayerFolders[1] + `\UtilityVM`)))
		}, []string{"UtilityVM"}},
		{"no utility VM", rig.V2, func(t *rig.Test, b *rig.Bundle) {
			t.Must(os.RemoveAll(t.Host.Unix(b.Spec.Windows.LayerFolders[1] + `\UtilityVM`)))
		}, []string{"UtilityVM"}},
		{"root that is no volume", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Root = &specs.Root{Path: `C:\rootfs`} }, []string{"root.path", "volume"}},
		{"root read-only", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Root = &specs.Root{Readonly: true} }, []string{"root.readonly"}},
		{"root under Hyper-V", rig.V1, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Root = &specs.Root{Path: `\\?\Volume{4b2d9f64-7b1e-4a57-9d5d-0f1c6a5f9a11}\`}
		}, []string{"root", "Hyper-V"}},
		{"cpu conflict", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Resources = &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: some(2), Maximum: few(5000)}}
		}, []string{"windows.resources.cpu", "exclusive"}},
		{"cpu conflict", rig.V1, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Resources = &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Shares: few(2), Maximum: few(5000)}}
		}, []string{"windows.resources.cpu", "exclusive"}},
		{"cpu maximum", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Resources = &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Maximum: few(10001)}}
		}, []string{"cpu.maximum"}},
		{"memory of nothing", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Resources = &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: some(1000)}}
		}, []string{"memory.limit"}},
		{"device of an unknown type", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "serial"}}
		}, []string{"windows.devices[0]", "serial"}},
		{"device under Hyper-V", rig.V1, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"}}
		}, []string{"windows.devices[0]", "Hyper-V"}},
		{"pipe into a folder", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Mounts = []specs.Mount{{Source: `\\.\pipe\docker_engine`, Destination: `C:\pipe`}}
		}, []string{"mounts[0]", "pipe"}},
		{"folder as a pipe", rig.Silo, func(t *rig.Test, b *rig.Bundle) {
			b.Spec.Mounts = []specs.Mount{{Source: t.Dir, Destination: `\\.\pipe\x`}}
		}, []string{"mounts[0]", "pipe"}},
		{"mount of nothing", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Mounts = []specs.Mount{{Source: `C:\no\such\folder`, Destination: `C:\x`}}
		}, []string{"mounts[0]"}},
		{"mount of a network folder", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Mounts = []specs.Mount{{Source: `\\server\share`, Destination: `C:\x`}}
		}, []string{"mounts[0].source"}},
		{"mount of an unknown type", rig.Silo, func(t *rig.Test, b *rig.Bundle) {
			b.Spec.Mounts = []specs.Mount{{Source: t.Dir, Destination: `C:\x`, Type: "tmpfs"}}
		}, []string{"mounts[0]", "tmpfs"}},
		{"namespace and endpoints", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: "6f3c1b0e-0000-4000-8000-000000000000", EndpointList: []string{"x"}}
		}, []string{"windows.network"}},
		{"credentials that are no JSON", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Windows.CredentialSpec = "no JSON" }, []string{"credentialSpec"}},
		{"servicing in schema v2", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Windows.Servicing = true }, []string{"windows.servicing"}},
		{"host process", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Annotate("microsoft.com/hostprocess-container", "true") }, []string{"hostprocess"}},
		{"an annotation that is no number", rig.Silo, func(_ *rig.Test, b *rig.Bundle) {
			b.Annotate("io.microsoft.container.memory.sizeinmb", "much")
		}, []string{"memory.sizeinmb", "much"}},
		{"an unknown schema", rig.V1, func(_ *rig.Test, b *rig.Bundle) { b.Annotate("org.wrun.hyperv.schema", "v3") }, []string{"org.wrun.hyperv.schema", "v3"}},
		{"pod sandbox without an id", rig.V1, func(_ *rig.Test, b *rig.Bundle) { b.Annotate("io.kubernetes.cri.container-type", "sandbox") }, []string{"sandbox-id"}},
		{"a Linux bundle in a silo", rig.Silo, func(t *rig.Test, b *rig.Bundle) {
			b.Spec.Windows, b.Spec.Linux = nil, &specs.Linux{}
			b.Spec.Root = &specs.Root{Path: "rootfs"}
			t.Must(t.MkdirAll(b.Dir + `\rootfs`))
			b.Spec.Process.Cwd = "/"
		}, []string{"Linux", "Windows"}},
		{"ociVersion of the future", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Version = "2.0.0" }, []string{"ociVersion"}},
		{"no program", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Process.Args = nil }, []string{"process."}},
		{"relative cwd", rig.Silo, func(_ *rig.Test, b *rig.Bundle) { b.Spec.Process.Cwd = "here" }, []string{"process.cwd"}},
	} {
		t.Run(c.name+"/"+string(c.kind), func(t *testing.T) {
			x := site.New(t)
			b := x.Bundle(c.kind, "true")
			c.edit(x, b)
			calls := x.Since(func() { x.Refused(c.words, b.Args("create")...) })
			if made := calls.Good().Named("HcsCreateComputeSystem", "ActivateLayer", "HcnCreateNamespace"); len(made) != 0 {
				x.Errorf("create did something before it refused: %s", made)
			}
			x.Is(x.ID, "")
		})
	}
}

// TestBrokenConfig: config.json that is not there, no JSON, or of another kind.
func TestBrokenConfig(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	x.Refused([]string{"config.json"}, "create", "--bundle", b.Dir, x.ID)
	x.Refused([]string{"nowhere"}, "create", "--bundle", x.Dir+`\nowhere`, x.ID)
	for text, word := range map[string]string{
		"{": "config.json", `{"ociVersion":"1.0.2","process":"sh"}`: "process", `{"ociVersion":"1.0.2","windows":{"layerFolders":"x"}}`: "layerFolders",
	} {
		x.Must(os.WriteFile(x.Host.Unix(b.Dir+`\config.json`), []byte(text), 0o600))
		x.Refused([]string{word}, "create", "--bundle", b.Dir, x.ID)
	}
	x.Is(x.ID, "")
}

// TestBadIDs: what cannot be the name of a folder is no id.
func TestBadIDs(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	dir := b.Save()
	for _, id := range []string{`..\x`, "a/b", `a\b`, "a:b", "a*", "..", "CON ", "a?"} {
		x.Refused([]string{"container ID"}, "create", "--bundle", dir, id)
	}
	if _, err := os.Stat(x.Host.Unix(x.Root)); err == nil {
		entries, err := os.ReadDir(x.Host.Unix(x.Root))
		if err != nil || len(entries) != 0 {
			x.Errorf("left in the state's folder: %v %v", entries, err)
		}
	}
}

// TestNoService: a machine where the service does not run, or has no such DLL,
// is told so.
func TestNoService(t *testing.T) {
	site.Each(t, func(t *rig.Test, kind rig.Kind) {
		t.Fault("vanish")
		begin := t.Refused([]string{"service"}, t.Bundle(kind, "true").Args("create")...)
		if begin.Took.Seconds() > 20 {
			t.Errorf("it took %v", begin.Took)
		}
		t.Mend()
		t.Is(t.ID, "")
	})
}

// TestErrorEvents: what the service says beside its code is in the error.
func TestErrorEvents(t *testing.T) {
	x := site.New(t)
	x.Fault("op=HcsCreateComputeSystem", "hr=0x80370101")
	x.Refused([]string{"create compute system", "HCS_E_IMAGE_MISMATCH", "0x80370101", "a fault was asked for", "windows.hyperv"},
		x.Bundle(rig.Silo, "true").Args("create")...)
}
