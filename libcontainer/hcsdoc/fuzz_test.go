package hcsdoc

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzDocuments: whatever a config.json says, each document is JSON or an
// error, and nothing panics. A document says that the system outlives its
// handles.
func FuzzDocuments(f *testing.F) {
	seeds := []*Input{silo(), hyperv(), linux()}
	edits := []func(*Input){func(*Input) {}, all, everyMount, func(in *Input) {
		cpuOf(specs.WindowsCPUResources{Count: of(uint64(3)), Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 1}}})(in)
		in.Spec.Windows.Devices = []specs.WindowsDevice{{ID: "x", IDType: "class"}}
		in.Spec.Windows.CredentialSpec = "{}"
		in.Spec.Process.Env = []string{"A=1", "a="}
		annotate(annDumpFolder, "C:\\d{container_id}", annVMMemory, "3", annRootFS, "vhd")(in)
	}}
	for i, s := range seeds {
		for j, edit := range edits {
			in := *s
			spec := *s.Spec
			windows := *s.Spec.Windows
			spec.Windows, in.Spec = &windows, &spec
			edit(&in)
			f.Add(must(in.Spec), "c1", uint8(i*len(edits)+j))
		}
	}
	f.Add([]byte(`{}`), "", uint8(255))
	f.Add([]byte(`{"windows":{},"linux":{},"mounts":[{}],"process":{"terminal":true,"consoleSize":{}}}`), "a/b", uint8(7))
	f.Fuzz(func(t *testing.T, config []byte, id string, bits uint8) {
		s := &specs.Spec{}
		if json.Unmarshal(config, s) != nil {
			return
		}
		in := &Input{ID: id, Owner: "wrun", Spec: s, CPUs: int(bits & 3), Build: uint16(bits) << 8}
		if s.Windows != nil {
			for _, l := range s.Windows.LayerFolders {
				in.Layers, in.Scratch = append(in.Layers, Layer{"id", l}), l
			}
		}
		if bits&4 != 0 {
			in.Root, in.UtilityVM, in.Host = volume, `C:\UtilityVM`, id+"@vm"
			in.Credential = json.RawMessage(`{}`)
		}
		if bits&8 != 0 {
			endpoints(in)
			in.Files = map[string]bool{}
			for _, m := range s.Mounts {
				in.Files[m.Source] = true
			}
		}
		check := func(what string, doc []byte, err error) {
			if err == nil && !json.Valid(doc) {
				t.Errorf("%s: no JSON: %q", what, doc)
			}
			if err != nil && doc != nil {
				t.Errorf("%s: both %q and %v", what, doc, err)
			}
		}
		for what, make := range map[string]func(*Input) ([]byte, error){
			"silo": Silo, "vm": UtilityVM, "linux vm": LinuxUtilityVM, "hosted": Hosted, "hosted linux": HostedLinux,
		} {
			doc, err := make(in)
			check(what, doc, err)
			var system struct{ ShouldTerminateOnLastHandleClosed *bool }
			if err == nil && (json.Unmarshal(doc, &system) != nil || system.ShouldTerminateOnLastHandleClosed == nil || *system.ShouldTerminateOnLastHandleClosed) {
				t.Errorf("%s: does not outlive its handles: %s", what, doc)
			}
		}
		doc, err := SingleHyperV(in)
		check("single", doc, err)
		doc, err = Process(s.Process, Streams{In: true})
		check("process", doc, err)
		doc, err = LinuxProcess(s.Process, Streams{Err: true}, bits&16 != 0)
		check("Linux process", doc, err)
		if a, err := Attachments(in); err == nil {
			for _, step := range a.Steps {
				check(step.What, step.Add, nil)
				if step.Undo != nil {
					check(step.What, step.Undo, nil)
				}
			}
		}
		if s.Windows != nil {
			docs, err := UpdateResources([]Kind{KindSilo, KindHosted, KindVM, KindSingle}[bits>>6], s.Windows.Resources, 4)
			for _, doc := range docs {
				check("update", doc, err)
			}
		}
		os := "windows"
		if s.Linux != nil {
			os = "linux"
		}
		text, err := Preview(PreviewConfig{ID: id, Owner: "wrun", Spec: s, OS: os, HyperV: bits&32 != 0, CPUs: 4})
		if (err == nil) == (text == "") {
			t.Errorf("preview: %q, %v", text, err)
		}
		UtilityVMCandidates(s)
	})
}
