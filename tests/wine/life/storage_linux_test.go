package life

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/wine/rig"
)

// layerCalls are the functions that mount and unmount.
var layerCalls = []string{"ActivateLayer", "PrepareLayer", "UnprepareLayer", "DeactivateLayer", "CreateSandboxLayer", "ExpandSandboxSize"}

// TestLayersMounted: a silo without a root has its layers mounted by wrun, and
// delete takes exactly that back.
func TestLayersMounted(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "sleep", "1000")
	made := x.Since(func() { b.Create() })
	x.Equal("mounting", made.Good().Named(layerCalls...).String(), "ActivateLayer PrepareLayer")
	root := x.Field(x.SystemDocument(), "Container.Storage.Path")
	if r, ok := root.(string); !ok || !strings.HasPrefix(r, `\\?\Volume{`) || !strings.HasSuffix(r, `}\`) {
		x.Errorf("the container's root is %v", root)
	}
	x.OK("start", x.ID)
	x.OK("kill", x.ID, "KILL")
	x.Becomes(x.ID, specs.StateStopped)
	if left := x.Left().Layers; len(left) != 1 || !left[0].Prepared {
		x.Errorf("a stopped container's layers: %+v", left)
	}
	undone := x.Since(func() { x.OK("delete", x.ID) })
	x.Equal("unmounting", undone.Good().Named(layerCalls...).String(), "UnprepareLayer DeactivateLayer")
}

// TestRootBrought: a root that the engine mounted is used as it is, and stays.
func TestRootBrought(t *testing.T) {
	x := site.New(t)
	const volume = `\\?\Volume{4b2d9f64-7b1e-4a57-9d5d-0f1c6a5f9a11}\`
	b := x.Bundle(rig.Silo, "sleep", "1000")
	b.Spec.Root = &specs.Root{Path: volume}
	calls := x.Since(func() {
		b.Started()
		x.OK("delete", "--force", x.ID)
	})
	if mounts := calls.Named(layerCalls...); len(mounts) != 0 {
		x.Errorf("wrun touched the engine's layers: %s", mounts)
	}
	if got := x.Field(x.SystemDocument(), "Container.Storage.Path"); got != volume {
		x.Errorf("the container's root is %v", got)
	}
}

// TestScratchMade: a scratch folder without a disk gets one.
func TestScratchMade(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	x.Remove(b.Scratch() + `\sandbox.vhdx`)
	calls := x.Since(func() { b.Create() })
	x.Equal("mounting", calls.Good().Named(layerCalls...).String(), "CreateSandboxLayer ActivateLayer PrepareLayer")
}

// TestScratchExpanded: the disk is expanded to the size that the bundle asks
// for. hcsshim then opens it through virtdisk.dll, which is a stub in Wine, so
// only the request to the layer driver can be seen, and that its failure ends
// create with nothing left.
func TestScratchExpanded(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.Silo, "true")
	size := uint64(40 << 30)
	b.Spec.Windows.Resources = &specs.WindowsResources{Storage: &specs.WindowsStorageResources{SandboxSize: &size}}
	calls := x.Since(func() { x.Refused([]string{"ExpandSandboxSize"}, b.Args("create")...) })
	expanded := calls.Named("ExpandSandboxSize")
	if len(expanded) != 1 || expanded[0].Number != size {
		x.Errorf("asked for %s, want one ExpandSandboxSize to %d", calls, size)
	}
	x.Is(x.ID, "")
	x.Nothing()
}

// TestCreateFailsMounted: what create mounted before it failed is unmounted.
func TestCreateFailsMounted(t *testing.T) {
	x := site.New(t)
	x.Fault("op=HcsCreateComputeSystem", "hr=0x80370109")
	x.Refused([]string{"HCS_E_CONNECTION_TIMEOUT"}, x.Bundle(rig.Silo, "true").Args("create")...)
	x.Mend()
	x.Is(x.ID, "")
	x.Nothing()
}

// TestUtilityVMFound: the image of the utility VM is looked for from the base
// layer upwards, unless the bundle names it.
func TestUtilityVMFound(t *testing.T) {
	site.Of(t, rig.HyperV, func(t *rig.Test, kind rig.Kind) {
		b := t.Bundle(kind, "true")
		layers := b.Spec.Windows.LayerFolders
		b.Create()
		t.HasText("the base layer's", documents(t), layers[1]+`\UtilityVM`)
		t.OK("delete", "--force", t.ID)

		b = t.Bundle(kind, "true")
		named := t.Dir + `\vm`
		t.Copy(b.Spec.Windows.LayerFolders[1]+`\UtilityVM`, named)
		b.Spec.Windows.HyperV.UtilityVMPath = named
		before := len(documents(t))
		b.Create()
		t.HasText("the one that the bundle names", documents(t)[before:], named)
	})
}

// TestMounts: folders, files, read-only ones and named pipes are in the
// document that the service gets.
func TestMounts(t *testing.T) {
	x := site.New(t)
	dir, file := x.Dir+`\data`, x.Write(`data\file.txt`, "x")
	b := x.Bundle(rig.Silo, "true")
	b.Spec.Mounts = []specs.Mount{
		{Destination: `C:\in`, Source: dir},
		{Destination: `C:\readonly`, Source: dir, Options: []string{"ro"}},
		{Destination: `C:\one.txt`, Source: file},
		{Destination: `\\.\pipe\inside`, Source: `\\.\pipe\outside`},
	}
	b.Create()
	want := `[{"ContainerPath":"C:\\in","HostPath":` + x.Text(dir) + `},` +
		`{"ContainerPath":"C:\\readonly","HostPath":` + x.Text(dir) + `,"ReadOnly":true},` +
		`{"ContainerPath":"C:\\one.txt","HostPath":` + x.Text(file) + `}]`
	x.Equal("folders", x.Text(x.Field(x.SystemDocument(), "Container.MappedDirectories")), want)
	x.Equal("pipes", x.Text(x.Field(x.SystemDocument(), "Container.MappedPipes")),
		`[{"ContainerPipeName":"inside","HostPath":"\\\\.\\pipe\\outside"}]`)
}

// TestMountsV1: the same in the other schema.
func TestMountsV1(t *testing.T) {
	x := site.New(t)
	b := x.Bundle(rig.V1, "true")
	b.Spec.Mounts = []specs.Mount{
		{Destination: `C:\readonly`, Source: x.Dir, Options: []string{"ro"}},
		{Destination: `\\.\pipe\inside`, Source: `\\.\pipe\outside`},
	}
	b.Create()
	if got := x.Text(x.Field(x.SystemDocument(), "MappedDirectories")); !strings.Contains(got, `"ContainerPath":"C:\\readonly"`) || !strings.Contains(got, `"ReadOnly":true`) {
		x.Errorf("folders: %s", got)
	}
	x.Equal("pipes", x.Text(x.Field(x.SystemDocument(), "MappedPipes")), `[{"ContainerPipeName":"inside","HostPath":"\\\\.\\pipe\\outside"}]`)
}

// TestMountsV2: a folder becomes a share of the utility VM, and the share goes
// with the container.
func TestMountsV2(t *testing.T) {
	x := site.New(t)
	x.Must(x.MkdirAll(x.Dir + `\data`))
	b := x.Bundle(rig.V2, "true")
	b.Spec.Mounts = []specs.Mount{{Destination: `C:\in`, Source: x.Dir + `\data`, Options: []string{"ro"}}}
	b.Create()
	x.HasText("the folder", documents(x), x.Dir+`\data`)
	x.HasText("its place", documents(x), `C:\in`)
}

// documents are all documents that the service got for the container and its
// utility VM.
func documents(t *rig.Test) []string {
	t.Helper()
	var all []string
	for _, system := range []string{t.ID, t.ID + "@vm"} {
		for _, c := range t.Journal(system) {
			if c.Document != "" {
				all = append(all, c.Document)
			}
		}
	}
	return all
}
