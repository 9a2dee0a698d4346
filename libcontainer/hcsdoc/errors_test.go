package hcsdoc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// refusal is an Input that a document must not be made of, and what the error
// begins with and contains.
type refusal struct {
	make     func(*Input) ([]byte, error)
	in       *Input
	edit     func(*Input)
	at, want string
}

func (c *refusal) check(t *testing.T) {
	t.Helper()
	c.edit(c.in)
	doc, err := c.make(c.in)
	if err == nil {
		t.Errorf("%s: no error, but %s", c.at, doc)
		return
	}
	if !strings.HasPrefix(err.Error(), c.at+": ") || !strings.Contains(err.Error(), c.want) {
		t.Errorf("error %q, want %s: … %s", err, c.at, c.want)
	}
}

// TestRefusedResources: limits that mean nothing, or more than one thing.
func TestRefusedResources(t *testing.T) {
	type cpu = specs.WindowsCPUResources
	mask := func(groups ...uint32) []specs.WindowsCPUGroupAffinity {
		var list []specs.WindowsCPUGroupAffinity
		for _, g := range groups {
			list = append(list, specs.WindowsCPUGroupAffinity{Mask: 1, Group: g})
		}
		return list
	}
	old := func(edit func(*Input)) func(*Input) {
		return func(in *Input) { edit(in); in.Build = 17763 }
	}
	for _, c := range []refusal{
		{Silo, silo(), memoryOf(mib - 1), "windows.resources.memory.limit", "1048575 bytes is less than"},
		{Silo, silo(), memoryOf(1), "windows.resources.memory.limit", "less than the 1 MiB"},
		{UtilityVM, hyperv(), memoryOf(1), "windows.resources.memory.limit", "less than the 1 MiB"},
		{SingleHyperV, hyperv(), memoryOf(1), "windows.resources.memory.limit", "less than the 1 MiB"},
		{Silo, silo(), cpuOf(cpu{Count: of(uint64(1)), Shares: of(uint16(1))}), "windows.resources.cpu.count", "windows.resources.cpu.shares; they are mutually exclusive"},
		{Silo, silo(), cpuOf(cpu{Count: of(uint64(1)), Shares: of(uint16(1)), Maximum: of(uint16(1))}), "windows.resources.cpu.count", "cpu.maximum and windows.resources.cpu.shares"},
		{Silo, silo(), func(in *Input) {
			cpuOf(cpu{Count: of(uint64(1))})(in)
			annotate(annContainerWeight, "5")(in)
		}, "windows.resources.cpu.count", path(annContainerWeight)},
		{Silo, silo(), cpuOf(cpu{Count: of(uint64(1 << 40))}), "windows.resources.cpu.count", "is more than"},
		{Silo, silo(), cpuOf(cpu{Maximum: of(uint16(10001))}), "windows.resources.cpu.maximum", "10001 is more than 10000"},
		{SingleHyperV, hyperv(), cpuOf(cpu{Shares: of(uint16(10001))}), "windows.resources.cpu.shares", "10001 is more than 10000"},
		{Silo, silo(), cpuOf(cpu{Affinity: []specs.WindowsCPUGroupAffinity{{Group: 1}}}), "windows.resources.cpu.affinity[0].mask", "no processor"},
		{Silo, silo(), cpuOf(cpu{Affinity: mask(1 << 16)}), "windows.resources.cpu.affinity[0].group", "65536"},
		{Silo, silo(), old(cpuOf(cpu{Affinity: mask(1)})), "windows.resources.cpu.affinity[0].group", "this is build 17763"},
		{Silo, silo(), old(cpuOf(cpu{Affinity: mask(0, 0)})), "windows.resources.cpu.affinity[1]", "this is build 17763"},
		{Hosted, hyperv(), cpuOf(cpu{Affinity: mask(0)}), "windows.resources.cpu.affinity", "under Hyper-V"},
		{SingleHyperV, hyperv(), cpuOf(cpu{Affinity: mask(0)}), "windows.resources.cpu.affinity", "under Hyper-V"},
		{Silo, silo(), resources(specs.WindowsResources{Storage: &specs.WindowsStorageResources{Iops: of(uint64(1 << 63))}}), "windows.resources.storage.iops", "is more than"},
		{Silo, silo(), resources(specs.WindowsResources{Storage: &specs.WindowsStorageResources{Bps: of(uint64(1 << 63))}}), "windows.resources.storage.bps", "is more than"},
	} {
		c.check(t)
	}
}

// TestRefusedAnnotations: a malformed value is an error, not a default.
func TestRefusedAnnotations(t *testing.T) {
	numbers := map[string]func(*Input) ([]byte, error){
		annContainerMemory: Silo, annContainerCount: Silo, annContainerLimit: Silo, annContainerWeight: Silo, annContainerIops: Silo, annContainerBps: Silo,
		annVMMemory: UtilityVM, annVMCount: UtilityVM, annVMLimit: UtilityVM, annVMWeight: UtilityVM, annVMIops: UtilityVM, annVMBps: UtilityVM,
		annPMemCount: LinuxUtilityVM, annPMemSize: LinuxUtilityVM,
	}
	for name, make := range numbers {
		for _, value := range []string{"", "x", "-1", "1.5", "0", "1 ", "0x10", "99999999999999999999"} {
			in := silo()
			in.UtilityVM = `C:\UtilityVM`
			c := refusal{make, in, annotate(name, value), path(name), ""}
			c.check(t)
		}
	}
	flags := map[string]func(*Input) ([]byte, error){
		annOvercommit: UtilityVM, annDeferredCommit: UtilityVM, annPhysical: UtilityVM, annNoCompartments: UtilityVM, annNoDirectMap: UtilityVM,
		annNoWriteShares: Hosted, annKernelDirect: LinuxUtilityVM, annHostProcess: Silo,
	}
	for name, make := range flags {
		for _, value := range []string{"", "yes", "1"} {
			c := refusal{make, hyperv(), annotate(name, value), path(name), "neither true nor false"}
			c.check(t)
		}
	}
	for _, c := range []refusal{
		{Silo, silo(), annotate(annContainerLimit, "10001"), path(annContainerLimit), "between 1 and 10000"},
		{Silo, silo(), annotate(annHostProcess, "true"), path(annHostProcess), "host process container"},
		{SingleHyperV, hyperv(), annotate(annHostProcess, "true"), path(annHostProcess), "host process container"},
		{HostedLinux, linux(), annotate(annHostProcess, "true"), path(annHostProcess), "host process container"},
		{UtilityVM, hyperv(), annotate(annWCOWPolicy, "x"), path(annWCOWPolicy), "confidential"},
		{LinuxUtilityVM, linux(), annotate(annLCOWPolicy, "x"), path(annLCOWPolicy), "confidential"},
		{Silo, silo(), annotate(annDumpFolder, ""), path(annDumpFolder), "is empty"},
		{Silo, silo(), annotate(annDumpFolder, `C:\d`, annDumpType, "big"), path(annDumpType), "neither mini nor full"},
		{Silo, silo(), annotate(annDumpFolder, `C:\d`, annDumpCount, "0"), path(annDumpCount), "between 1"},
		{UtilityVM, hyperv(), annotate(annPhysical, "true", annOvercommit, "true"), path(annOvercommit), annPhysical},
		{UtilityVM, hyperv(), annotate(annPhysical, "true", annDeferredCommit, "true"), path(annDeferredCommit), annPhysical},
		{UtilityVM, hyperv(), annotate(annCPUGroup, ""), path(annCPUGroup), "is empty"},
		{LinuxUtilityVM, linux(), annotate(annKernelDirect, "false"), path(annKernelDirect), "no other way"},
		{LinuxUtilityVM, linux(), annotate(annRootFS, "iso"), path(annRootFS), "neither initrd nor vhd"},
		{Hosted, hyperv(), func(in *Input) {
			annotate(annNoWriteShares, "true")(in)
			mounts(specs.Mount{Source: `C:\a`, Destination: `C:\b`})(in)
		}, "mounts[0]", annNoWriteShares},
		{HostedLinux, linux(), func(in *Input) {
			annotate(annNoWriteShares, "true")(in)
			mounts(specs.Mount{Source: `C:\a`, Destination: "/b", Type: "bind"})(in)
		}, "mounts[1]", annNoWriteShares},
	} {
		c.check(t)
	}
}

// TestRefusedMounts: what cannot be mounted where.
func TestRefusedMounts(t *testing.T) {
	m := func(source, destination, kind string) func(*Input) {
		return mounts(specs.Mount{Source: source, Destination: destination, Type: kind})
	}
	for _, c := range []refusal{
		{Silo, silo(), m("", `C:\b`, ""), "mounts[0].source", "is missing"},
		{Silo, silo(), m(`C:\a`, "", ""), "mounts[0].destination", "is missing"},
		{Silo, silo(), m(`C:\a`, `C:\b`, "nfs"), "mounts[0].type", `"nfs" is no kind of mount`},
		{Hosted, hyperv(), m(`C:\a`, `C:\b`, "tmpfs"), "mounts[0].type", "no kind of mount"},
		{Silo, silo(), m(`C:\a.vhdx`, `D:\`, virtualDisk), "mounts[0].type", "utility VM only"},
		{Silo, silo(), m(`\\.\PhysicalDrive1`, `D:\`, physicalDisk), "mounts[0].type", "utility VM only"},
		{SingleHyperV, hyperv(), m(`C:\a.vhdx`, `D:\`, virtualDisk), "mounts[0].type", "schema v1"},
		{Silo, silo(), m("sandbox:///a", `C:\a`, ""), "mounts[0].source", "this container has none"},
		{Silo, silo(), m(`uvm://\\.\pipe\x`, `\\.\pipe\x`, ""), "mounts[0].source", "this container has none"},
		{SingleHyperV, hyperv(), m("sandbox:///a", `C:\a`, ""), "mounts[0].source", "schema v1"},
		{Hosted, hyperv(), m(`uvm://C:\x`, `C:\x`, ""), "mounts[0].source", "only named pipes"},
		{Hosted, hyperv(), m(`uvm://\\.\pipe\x`, `C:\x`, ""), "mounts[0].source", "only named pipes"},
		{Hosted, hyperv(), m("sandbox:///../Windows", `C:\a`, ""), "mounts[0].source", "no folder within"},
		{Hosted, hyperv(), m("sandbox://", `C:\a`, ""), "mounts[0].source", "no folder within"},
		{Hosted, hyperv(), m("sandbox:///C:/Windows", `C:\a`, ""), "mounts[0].source", "no folder within"},
		{Silo, silo(), m(`\\.\pipe\x`, `C:\a`, ""), "mounts[0].destination", "is no named pipe"},
		{Silo, silo(), m(`C:\a`, `\\.\pipe\x`, ""), "mounts[0].source", "is no named pipe"},
		{Hosted, hyperv(), m(`C:\a`, `D:\`, extensibleDisk), "mounts[0].source", "evd://PROVIDER/PATH"},
		{Hosted, hyperv(), m(`evd://x`, `D:\`, extensibleDisk), "mounts[0].source", "evd://PROVIDER/PATH"},
		{HostedLinux, linux(), m(`evd://x/y`, "/d", extensibleDisk), "mounts[1].type", "Windows guests only"},
		{HostedLinux, linux(), m("/data", "/d", "bind"), "mounts[1].source", "no full path of a Windows host"},
		{Hosted, hyperv(), func(in *Input) { in.LUNs = []int{} }, `attach C:\scratch\c1\sandbox.vhdx`, "are taken"},
		{Hosted, hyperv(), func(in *Input) { in.LUNs = []int{64} }, `attach C:\scratch\c1\sandbox.vhdx to a utility VM`, "no place 64"},
	} {
		c.check(t)
	}
}

// TestRefusedRest: the rest of the field map.
func TestRefusedRest(t *testing.T) {
	device := func(id, kind string) func(*Input) {
		return func(in *Input) { in.Spec.Windows.Devices = []specs.WindowsDevice{{ID: id, IDType: kind}} }
	}
	credential := func(spec, state any) func(*Input) {
		return func(in *Input) { in.Spec.Windows.CredentialSpec, in.Credential = spec, state }
	}
	nothing := func(*Input) {}
	servicing := func(in *Input) { in.Spec.Windows.Servicing = true }
	for _, c := range []refusal{
		{Silo, nil, nothing, "windows", "is missing"},
		{Silo, &Input{}, nothing, "windows", "is missing"},
		{UtilityVM, &Input{Spec: &specs.Spec{}}, nothing, "windows", "is missing"},
		{LinuxUtilityVM, &Input{}, nothing, "windows", "is missing"},
		{Silo, silo(), func(in *Input) { in.Root = "" }, "root.path", "is missing"},
		{Silo, silo(), func(in *Input) { in.Spec.Root.Readonly = true }, "root.readonly", "must be false"},
		{Silo, silo(), servicing, "windows.servicing", "schema v2"},
		{Hosted, hyperv(), servicing, "windows.servicing", "schema v2"},
		{Silo, silo(), device("", "class"), "windows.devices[0].id", "is missing"},
		{Silo, silo(), device("x", ""), "windows.devices[0].idType", "is missing"},
		{Silo, silo(), device("x", "vpci"), "windows.devices[0].idType", `"vpci" is not known`},
		{SingleHyperV, hyperv(), device("x", "class"), "windows.devices[0]", "not supported under Hyper-V"},
		{Hosted, hyperv(), device("x", "class"), "windows.devices[0]", "not supported under Hyper-V"},
		{HostedLinux, linux(), device("x", "class"), "windows.devices[0]", "not supported under Hyper-V"},
		{Silo, silo(), credential("nonsense", json.RawMessage("{}")), "windows.credentialSpec", "no JSON object"},
		{Silo, silo(), credential([]any{}, json.RawMessage("{}")), "windows.credentialSpec", "no JSON object"},
		{SingleHyperV, hyperv(), credential("{", nil), "windows.credentialSpec", "no JSON object"},
		{Silo, silo(), credential("{}", nil), "windows.credentialSpec", "no credential guard instance"},
		{Silo, silo(), credential("{}", json.RawMessage("{")), "windows.credentialSpec", "is no JSON"},
		{Silo, silo(), func(in *Input) {
			credential("{}", json.RawMessage("{}"))(in)
			annotate(annDisableGMSA, "true")(in)
		}, "windows.credentialSpec", annDisableGMSA},
		{Hosted, hyperv(), func(in *Input) { in.CredentialSocket = json.RawMessage(`{}`) }, "windows.credentialSpec", "is not one"},
		{Hosted, hyperv(), func(in *Input) { in.CredentialSocket = json.RawMessage(`{`) }, "windows.credentialSpec", "encode"},
		{HostedLinux, linux(), credential("{}", nil), "windows.credentialSpec", "Windows containers only"},
		{Silo, silo(), network(specs.WindowsNetwork{EndpointList: []string{"e"}}), "windows.network.endpointList", "needs a namespace"},
		{SingleHyperV, hyperv(), network(specs.WindowsNetwork{NetworkNamespace: "n"}), "windows.network.networkNamespace", "schema v1"},
		{SingleHyperV, hyperv(), func(in *Input) { in.Spec.Root = &specs.Root{Path: volume} }, "root", "must not be set"},
		{SingleHyperV, hyperv(), func(in *Input) { in.Layers = nil }, "windows.layerFolders", "fewer than two"},
		{SingleHyperV, hyperv(), func(in *Input) { in.UtilityVM = "" }, "windows.hyperv.utilityVMPath", "none of windows.layerFolders"},
		{SingleHyperV, linux(), nothing, "linux", "schema v1"},
		{UtilityVM, hyperv(), func(in *Input) { in.UtilityVM = "" }, "windows.hyperv.utilityVMPath", "is missing"},
		{UtilityVM, hyperv(), func(in *Input) { in.Scratch = "" }, "windows.layerFolders", "no scratch"},
		{Hosted, hyperv(), func(in *Input) { in.Scratch = "" }, "windows.layerFolders", "fewer than two"},
		{Hosted, hyperv(), func(in *Input) { in.Host = "" }, "windows.hyperv", "no utility VM"},
		{Hosted, hyperv(), func(in *Input) { in.Spec.Root = &specs.Root{Readonly: true} }, "root", "must not be set"},
		{Hosted, linux(), nothing, "linux", "Linux bundle"},
		{HostedLinux, hyperv(), nothing, "linux", "is missing"},
		{LinuxUtilityVM, linux(), func(in *Input) { in.UtilityVM = "" }, "windows.hyperv.utilityVMPath", "vmlinux and initrd.img"},
		{LinuxUtilityVM, linux(), func(in *Input) { in.Build = 17763 }, "linux", "this is build 17763"},
	} {
		c.check(t)
	}
}
