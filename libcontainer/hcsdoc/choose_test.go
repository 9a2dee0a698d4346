package hcsdoc

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestChoose(t *testing.T) {
	pod := func(kind string) func(*Input) {
		return annotate("io.kubernetes.cri.container-type", kind, "io.kubernetes.cri.sandbox-id", "p1")
	}
	forced := func(schema string, edit func(*Input)) func(*Input) {
		return func(in *Input) {
			edit(in)
			if in.Spec.Annotations == nil {
				in.Spec.Annotations = map[string]string{}
			}
			in.Spec.Annotations[AnnotationSchema] = schema
		}
	}
	nothing := func(*Input) {}
	share := mounts(specs.Mount{Source: "sandbox:///a", Destination: `C:\a`})
	for _, c := range []struct {
		in   *Input
		os   string
		edit func(*Input)
		want Choice
		why  string // of the choice, or the error where there is none
	}{
		{silo(), "windows", nothing, ChoiceSilo, "no windows.hyperv section"},
		{silo(), "windows", pod("container"), ChoiceSilo, "no windows.hyperv section"},
		{hyperv(), "windows", nothing, ChoiceSingle, "the only container of its VM"},
		{hyperv(), "windows", pod("sandbox"), ChoiceVM, "a sandbox of the pod p1"},
		{hyperv(), "windows", pod("container"), ChoiceVM, "a container of the pod p1"},
		{hyperv(), "windows", share, ChoiceVM, "mounts[0].source cannot be said in HCS's schema v1"},
		{hyperv(), "windows", mounts(specs.Mount{Source: `C:\d.vhdx`, Destination: `D:\`, Type: virtualDisk}), ChoiceVM, "mounts[0].type"},
		{hyperv(), "windows", network(specs.WindowsNetwork{NetworkNamespace: "n"}), ChoiceVM, "windows.network.networkNamespace"},
		{hyperv(), "windows", annotate(annVMMemory, "2048"), ChoiceVM, annVMMemory},
		{hyperv(), "windows", forced("v2", nothing), ChoiceVM, "annotation org.wrun.hyperv.schema says v2"},
		{hyperv(), "windows", forced("v1", nothing), ChoiceSingle, "annotation org.wrun.hyperv.schema says v1"},
		{hyperv(), "windows", forced("v2", pod("sandbox")), ChoiceVM, "says v2"},
		{linux(), "linux", nothing, ChoiceLinuxVM, "Linux bundles"},
		{linux(), "linux", pod("container"), ChoiceLinuxVM, "Linux bundles"},
		{linux(), "linux", forced("v2", nothing), ChoiceLinuxVM, "says v2"},

		{hyperv(), "windows", forced("v1", pod("sandbox")), "", "v1 is impossible: it is a sandbox of the pod p1"},
		{hyperv(), "windows", forced("v1", share), "", "v1 is impossible: mounts[0].source"},
		{linux(), "linux", forced("v1", nothing), "", "v1 is impossible: Windows runs Linux bundles"},
		{hyperv(), "windows", forced("v2", func(in *Input) { in.Spec.Windows.Servicing = true }), "", "v2 is impossible: windows.servicing"},
		{hyperv(), "windows", forced("v3", nothing), "", `"v3" is neither v1 nor v2`},
		{silo(), "windows", forced("v1", nothing), "", "there is no windows.hyperv section"},
		{hyperv(), "windows", pod("pod"), "", `"pod" is neither sandbox nor container`},
	} {
		c.edit(c.in)
		got, reason, err := Choose(c.in.Spec, c.os, c.in.Spec.Windows.HyperV != nil)
		if got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.why, got, err, c.want)
			continue
		}
		if err != nil {
			reason = err.Error()
			if !strings.HasPrefix(reason, `annotations["`) {
				t.Errorf("%q names no annotation", reason)
			}
		}
		if !strings.Contains(reason, c.why) || (err != nil) != (c.want == "") {
			t.Errorf("%q, want %q", reason, c.why)
		}
	}
	if _, _, err := Choose(nil, "windows", true); err == nil {
		t.Error("a choice without a Spec")
	}
}

func TestPod(t *testing.T) {
	for _, c := range []struct {
		annotations   []string
		role, sandbox string
		err           string
	}{
		{nil, "", "", ""},
		{[]string{"io.kubernetes.cri.sandbox-id", "p1"}, "", "", ""},
		{[]string{"io.kubernetes.cri.container-type", "sandbox", "io.kubernetes.cri.sandbox-id", "p1"}, RoleSandbox, "p1", ""},
		{[]string{"io.kubernetes.cri.container-type", "container", "io.kubernetes.cri.sandbox-id", "p1"}, RoleContainer, "p1", ""},
		{[]string{"io.kubernetes.cri-o.ContainerType", "container", "io.kubernetes.cri-o.SandboxID", "p2"}, RoleContainer, "p2", ""},
		{[]string{"io.kubernetes.docker.type", "podsandbox", "io.kubernetes.sandbox.id", "p3"}, RoleSandbox, "p3", ""},
		{[]string{"io.kubernetes.cri.container-type", "container"}, "", "", `annotations["io.kubernetes.cri.sandbox-id"]: is missing`},
		{[]string{"io.kubernetes.docker.type", "x"}, "", "", `annotations["io.kubernetes.docker.type"]: "x"`},
	} {
		in := silo()
		annotate(c.annotations...)(in)
		role, sandbox, err := Pod(in.Spec)
		if role != c.role || sandbox != c.sandbox || (err == nil) != (c.err == "") {
			t.Errorf("%q: %q, %q, %v", c.annotations, role, sandbox, err)
		} else if err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%q: %v, want %s", c.annotations, err, c.err)
		}
	}
}

func TestUtilityVMCandidates(t *testing.T) {
	for _, c := range []struct {
		edit func(*specs.Spec)
		want []string
	}{
		{func(*specs.Spec) {}, []string{`C:\layers\base\UtilityVM`, `C:\layers\app\UtilityVM`}},
		{func(s *specs.Spec) { s.Windows.HyperV = nil }, []string{`C:\layers\base\UtilityVM`, `C:\layers\app\UtilityVM`}},
		{func(s *specs.Spec) { s.Windows.HyperV.UtilityVMPath = `D:\vm` }, []string{`D:\vm`}},
		{func(s *specs.Spec) { s.Windows.LayerFolders = []string{`C:\scratch`} }, nil},
		{func(s *specs.Spec) { s.Windows.LayerFolders = []string{`C:\base\`, `C:\scratch`} }, []string{`C:\base\UtilityVM`}},
		{func(s *specs.Spec) { s.Windows = nil }, nil},
	} {
		in := hyperv()
		c.edit(in.Spec)
		if got := UtilityVMCandidates(in.Spec); !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestNotes: each thing a document does not carry is named.
func TestNotes(t *testing.T) {
	in := hyperv()
	in.Spec.Windows.IgnoreFlushesDuringBoot = true
	in.Spec.Windows.HyperV.UtilityVMPath = `D:\vm`
	in.Spec.Domainname = "d"
	in.Spec.Process.CommandLine = "x"
	in.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}
	mounts(specs.Mount{Options: []string{"ro", "rbind", "rprivate"}})(in)
	annotate("io.microsoft.container.gpu.capabilities", "x", "microsoft.com/hostprocess-inherit-user", "true", "com.example.x", "y", annVMMemory, "1")(in)
	common := []string{"mounts[0].options: rprivate", "domainname", "process: rlimits", "process.args: is left out",
		`annotations["io.microsoft.container.gpu.capabilities"]`}
	inherit, vm := `annotations["microsoft.com/hostprocess-inherit-user"]`, path(annVMMemory)
	with := func(first []string, last ...string) []string { return slices.Concat(first, common, last) }
	l := linux()
	l.Spec.Windows.Servicing = true
	l.Spec.Linux.CgroupsPath = "/x"
	l.Spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{}}, Pids: &specs.LinuxPids{},
		BlockIO: &specs.LinuxBlockIO{}, HugepageLimits: []specs.LinuxHugepageLimit{{}}, Network: &specs.LinuxNetwork{}}
	for _, c := range []struct {
		s      *specs.Spec
		choice Choice
		want   []string
	}{
		{silo().Spec, ChoiceSilo, nil},
		{linux().Spec, ChoiceLinuxVM, nil},
		{nil, ChoiceSilo, nil},
		{in.Spec, ChoiceSilo, with([]string{"windows.ignoreFlushesDuringBoot", "windows.hyperv.utilityVMPath"}, vm, inherit)},
		{in.Spec, ChoiceVM, with([]string{"windows.ignoreFlushesDuringBoot"}, inherit)},
		{in.Spec, ChoiceSingle, with(nil, vm, inherit)},
		{l.Spec, ChoiceLinuxVM, []string{"windows.servicing", "linux.cgroupsPath", "linux.resources.devices", "linux.resources.pids",
			"linux.resources.blockIO", "linux.resources.hugepageLimits", "linux.resources.network"}},
	} {
		got := Notes(c.s, c.choice)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.choice, got, c.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q", c.choice, got[i], c.want[i])
			}
		}
	}
}

// TestReads: the annotations each choice depends on are those it fails on when
// they are malformed, which TestRefusedAnnotations shows; here, which not.
func TestReads(t *testing.T) {
	for _, c := range []struct {
		name string
		want string // s silo, 1 single, v VM, l Linux VM
	}{
		{annContainerMemory, "s1v"}, {annDumpFolder, "s1v"}, {annDisableGMSA, "s1v"},
		{annVMMemory, "vl"}, {annOvercommit, "vl"}, {annVMBps, "vl"}, {annNoWriteShares, "vl"}, {annPhysical, "vl"},
		{annNoCompartments, "v"}, {annNoDirectMap, "v"},
		{annBootFiles, "l"}, {annKernelOptions, "l"}, {annPMemSize, "l"},
		{annHostProcess, "s1vl"}, {annLCOWPolicy, "s1vl"},
		{"io.microsoft.other", ""},
	} {
		got := ""
		for i, choice := range []Choice{ChoiceSilo, ChoiceSingle, ChoiceVM, ChoiceLinuxVM} {
			if reads(choice, c.name) {
				got += "s1vl"[i : i+1]
			}
		}
		if got != c.want {
			t.Errorf("%s is read by %q, want %q", c.name, got, c.want)
		}
	}
}
