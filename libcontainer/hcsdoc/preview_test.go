package hcsdoc

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
)

// TestPreview: what create --dry-run prints, on any operating system.
func TestPreview(t *testing.T) {
	for _, c := range []struct {
		name string
		in   *Input
		os   string
		edit func(*Input)
	}{
		{"preview-silo", silo(), "windows", func(in *Input) {
			in.Spec.Root = nil
			in.Spec.Windows.IgnoreFlushesDuringBoot = true
			in.Spec.Windows.CredentialSpec = "{}"
			network(specs.WindowsNetwork{EndpointList: []string{"7a010682-17e0-4455-a838-02e5d9655fe6"}})(in)
		}},
		{"preview-single", hyperv(), "windows", func(*Input) {}},
		{"preview-vm", hyperv(), "windows", everyMount},
		{"preview-pod-container", hyperv(), "windows", annotate("io.kubernetes.cri.container-type", "container", "io.kubernetes.cri.sandbox-id", "p1")},
		{"preview-linux", linux(), "linux", func(in *Input) { in.Spec.Windows.HyperV.UtilityVMPath = `D:\boot` }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.edit(c.in)
			text, err := Preview(PreviewConfig{ID: "c1", Owner: "wrun", Spec: c.in.Spec, OS: c.os, HyperV: c.in.Spec.Windows.HyperV != nil, CPUs: 8})
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, c.name, text)
		})
	}
}

func TestRefusedPreview(t *testing.T) {
	for _, c := range []struct {
		in   *Input
		os   string
		edit func(*Input)
		want string
	}{
		{silo(), "windows", memoryOf(5), "windows.resources.memory.limit: "},
		{silo(), "windows", func(in *Input) { in.Spec.Windows = nil }, "windows: is missing"},
		{silo(), "windows", func(in *Input) { in.Spec = nil }, "windows: is missing"},
		{silo(), "windows", func(in *Input) { in.Spec.Process.Args = nil }, "process.args: "},
		{hyperv(), "windows", func(in *Input) { in.Spec.Windows.LayerFolders = nil }, "windows.layerFolders: "},
		{linux(), "linux", mounts(specs.Mount{Source: "x", Destination: "y", Type: "bind"}), "mounts[1].source: "},
		{hyperv(), "windows", annotate(AnnotationSchema, ""), `annotations["org.wrun.hyperv.schema"]: `},
	} {
		c.edit(c.in)
		hyper := c.in.Spec != nil && c.in.Spec.Windows != nil && c.in.Spec.Windows.HyperV != nil
		text, err := Preview(PreviewConfig{ID: "c1", Spec: c.in.Spec, OS: c.os, HyperV: hyper})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s, %v, want %s", text, err, c.want)
		}
	}
}
