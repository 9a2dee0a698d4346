package hcsdoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file prints the documents of a container on any operating system, for
// create --dry-run. What only a Windows host can know stands in angle brackets.

// PreviewConfig is what a preview is made from.
type PreviewConfig struct {
	ID, Owner string
	Spec      *specs.Spec
	OS        string // of the bundle
	HyperV    bool
	CPUs      int    // as Input.CPUs
	Build     uint16 // as Input.Build
}

// Preview lists the documents that create and start would send, in order, with
// the reason for their kind.
func Preview(c PreviewConfig) (string, error) {
	choice, reason, err := Choose(c.Spec, c.OS, c.HyperV)
	if err != nil {
		return "", err
	}
	if c.Spec.Windows == nil {
		return "", errNoSpec
	}
	v := &view{in: c.input(), choice: choice}
	v.line("documents  %s: %s", choice, reason)
	if choice == ChoiceVM || choice == ChoiceLinuxVM {
		v.line("proven by  nobody on current Windows: the guest connection is HCS's own, as Microsoft's shim had it until 2020")
	}
	for _, n := range Notes(c.Spec, choice) {
		v.line("note       %s", n)
	}
	create := v.machine
	switch choice {
	case ChoiceSilo:
		create = v.silo
	case ChoiceSingle:
		create = v.single
	}
	if err := create(); err != nil {
		return "", err
	}
	if err := v.process(); err != nil {
		return "", err
	}
	return v.text.String(), nil
}

func (c *PreviewConfig) input() *Input {
	in := &Input{ID: c.ID, Owner: c.Owner, Spec: c.Spec, CPUs: c.CPUs, Build: c.Build}
	w := c.Spec.Windows
	if n := len(w.LayerFolders); n > 0 {
		in.Scratch = w.LayerFolders[n-1]
		for _, f := range w.LayerFolders[:n-1] {
			in.Layers = append(in.Layers, Layer{"<NameToGuid(" + baseName(f) + ")>", f})
		}
	}
	if w.CredentialSpec != nil {
		in.Credential = "<credential guard instance made by create>"
	}
	if n := w.Network; n != nil && n.NetworkNamespace == "" && len(n.EndpointList) > 0 {
		in.Namespace = "<namespace made by create>"
	}
	return in
}

// baseName is a Windows folder's own name, on any operating system.
func baseName(p string) string {
	p = strings.TrimRight(p, `\/`)
	return p[strings.LastIndexAny(p, `\/`)+1:]
}

type view struct {
	in     *Input
	choice Choice
	text   strings.Builder
}

func (v *view) line(format string, args ...any) {
	fmt.Fprintf(&v.text, format+"\n", args...)
}

// document prints one call and the document it carries, indented.
func (v *view) document(call string, doc []byte, err error) error {
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return err
	}
	v.text.WriteString("\n" + call + "\n" + b.String() + "\n")
	return nil
}

func (v *view) silo() error {
	v.in.Root = "<mounted by create>"
	if r := v.in.Spec.Root; r != nil && r.Path != "" {
		v.in.Root = r.Path
	}
	doc, err := Silo(v.in)
	return v.document("HcsCreateComputeSystem "+v.in.ID, doc, err)
}

func (v *view) single() error {
	v.image()
	doc, err := SingleHyperV(v.in)
	return v.document("HcsCreateComputeSystem "+v.in.ID+" (vmcompute.dll, schema v1)", doc, err)
}

// image is the folder that create will look for.
func (v *view) image() {
	list := UtilityVMCandidates(v.in.Spec)
	switch {
	case v.choice == ChoiceLinuxVM:
		v.in.UtilityVM = `%ProgramFiles%\Linux Containers`
		if h := v.in.Spec.Windows.HyperV; h != nil && h.UtilityVMPath != "" {
			v.in.UtilityVM = h.UtilityVMPath
		}
	case len(list) == 1:
		v.in.UtilityVM = list[0]
	case len(list) > 1:
		v.in.UtilityVM = "<first of " + strings.Join(list, ", ") + ">"
	}
}

// machine: a container of a pod comes into the sandbox's VM, any other
// container gets a VM of its own first.
func (v *view) machine() error {
	v.image()
	role, sandbox, err := Pod(v.in.Spec)
	if err != nil {
		return err
	}
	owner := v.in.ID
	if sandbox != "" {
		owner = sandbox
	}
	v.in.Host = owner + "@vm"
	linux := v.choice == ChoiceLinuxVM
	if role != RoleContainer {
		machine := UtilityVM
		if linux {
			machine = LinuxUtilityVM
		}
		doc, err := machine(v.in)
		if err := v.document("HcsCreateComputeSystem "+v.in.Host, doc, err); err != nil {
			return err
		}
		v.line("\nHcsStartComputeSystem %s", v.in.Host)
	}
	a, err := Attachments(v.in)
	if err != nil {
		return err
	}
	for _, s := range a.Steps {
		if err := v.document("HcsModifyComputeSystem "+v.in.Host+": "+s.What, s.Add, nil); err != nil {
			return err
		}
	}
	for _, f := range a.Folders {
		v.line("\nmake the folder %s in the guest", f)
	}
	hosted := Hosted
	if linux {
		hosted = HostedLinux
	}
	doc, err := hosted(v.in)
	return v.document("HcsCreateComputeSystem "+v.in.ID, doc, err)
}

// process is what start will send. Standard input and output are pipes, as of a
// create that has them.
func (v *view) process() error {
	p, all := v.in.Spec.Process, Streams{true, true, true}
	if p == nil {
		return nil
	}
	doc, err := Process(p, all)
	if v.choice == ChoiceLinuxVM {
		doc, err = LinuxProcess(p, all, true)
	}
	return v.document("HcsStartComputeSystem "+v.in.ID+"\nHcsCreateProcess "+v.in.ID, doc, err)
}
