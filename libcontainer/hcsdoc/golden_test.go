package hcsdoc

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
)

// pretty is a document as goldens have it.
func pretty(t *testing.T, doc []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		t.Fatalf("no JSON: %v: %s", err, doc)
	}
	return b.String() + "\n"
}

const volume = `\\?\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\`

// silo is the ordinary Input of a silo that tests vary.
func silo() *Input {
	return &Input{
		ID: "c1", Owner: "wrun", CPUs: 8, Build: 20348, Root: volume, Scratch: `C:\scratch\c1`,
		Layers: []Layer{{"1a2b3c4d-0000-5000-8000-000000000002", `C:\layers\app`}, {"1a2b3c4d-0000-5000-8000-000000000001", `C:\layers\base`}},
		Spec: &specs.Spec{
			Version: "1.2.0",
			Process: &specs.Process{Args: []string{"cmd", "/c", "echo", "hello"}, Cwd: `C:\`},
			Root:    &specs.Root{Path: volume},
			Windows: &specs.Windows{LayerFolders: []string{`C:\layers\app`, `C:\layers\base`, `C:\scratch\c1`}},
		},
	}
}

// hyperv is the ordinary Input of a container under Hyper-V.
func hyperv() *Input {
	in := silo()
	in.Root, in.Spec.Root = "", nil
	in.UtilityVM, in.Host = `C:\layers\base\UtilityVM`, "c1@vm"
	in.Spec.Windows.HyperV = &specs.WindowsHyperV{}
	return in
}

// linux is the ordinary Input of a Linux container in a utility VM.
func linux() *Input {
	in := hyperv()
	in.UtilityVM = `C:\Program Files\Linux Containers`
	in.Spec.Process = &specs.Process{Args: []string{"sh"}, Cwd: "/", Env: []string{"PATH=/bin"}}
	in.Spec.Root = &specs.Root{Path: "rootfs", Readonly: true}
	in.Spec.Linux = &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "pid"}, {Type: "mount"}}}
	in.Spec.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}
	return in
}

func annotate(pairs ...string) func(*Input) {
	return func(in *Input) {
		in.Spec.Annotations = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			in.Spec.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func mounts(list ...specs.Mount) func(*Input) {
	return func(in *Input) { in.Spec.Mounts = append(in.Spec.Mounts, list...) }
}

func resources(r specs.WindowsResources) func(*Input) {
	return func(in *Input) { in.Spec.Windows.Resources = &r }
}

func of[T any](v T) *T { return &v }

func memoryOf(bytes uint64) func(*Input) {
	return resources(specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: &bytes}})
}

func cpuOf(c specs.WindowsCPUResources) func(*Input) {
	return resources(specs.WindowsResources{CPU: &c})
}

func network(n specs.WindowsNetwork) func(*Input) {
	return func(in *Input) { in.Spec.Windows.Network = &n }
}

// all is what the reference document's silo has.
func all(in *Input) {
	in.Spec.Hostname = "h"
	in.Namespace = "168f3daf-efc6-4377-b20a-2c86764ba892"
	mounts(specs.Mount{Source: `C:\data`, Destination: `C:\m`, Options: []string{"ro"}},
		specs.Mount{Source: `\\.\pipe\p`, Destination: `\\.\pipe\q`})(in)
	in.Spec.Windows.Resources = &specs.WindowsResources{
		Memory:  &specs.WindowsMemoryResources{Limit: of(uint64(200 << 20))},
		CPU:     &specs.WindowsCPUResources{Maximum: of(uint16(5000))},
		Storage: &specs.WindowsStorageResources{Iops: of(uint64(100)), Bps: of(uint64(2000)), SandboxSize: of(uint64(40 << 30))},
	}
	network(specs.WindowsNetwork{AllowUnqualifiedDNSQuery: true, DNSSearchList: []string{"a.b", "c.d"}})(in)
}

// everyMount is one of each kind that a Windows utility VM knows.
func everyMount(in *Input) {
	in.Files = map[string]bool{`C:\data\config.ini`: true}
	mounts(specs.Mount{Source: `C:\data`, Destination: `C:\rw`},
		specs.Mount{Source: `C:\data`, Destination: `C:\ro`, Type: "bind", Options: []string{"rbind", "RO"}},
		specs.Mount{Source: `C:\data\config.ini`, Destination: `C:\config.ini`, Options: []string{"ro"}},
		specs.Mount{Source: `\\.\pipe\docker_engine`, Destination: `\\.\pipe\engine`},
		specs.Mount{Source: `uvm://\\.\pipe\inner`, Destination: `\\.\pipe\inner`},
		specs.Mount{Source: `sandbox:///shared/cache`, Destination: `C:\cache`},
		specs.Mount{Source: `C:\disks\d.vhdx`, Destination: `D:\`, Type: virtualDisk},
		specs.Mount{Source: `\\.\PhysicalDrive2`, Destination: `E:\`, Type: physicalDisk, Options: []string{"ro"}},
		specs.Mount{Source: `evd://space/{guid}`, Destination: `F:\`, Type: extensibleDisk})(in)
}

func endpoints(in *Input) {
	in.Namespace = "168f3daf-efc6-4377-b20a-2c86764ba892"
	in.Network = &Network{
		Namespace: json.RawMessage(`{"ID":"168f3daf-efc6-4377-b20a-2c86764ba892","Type":"Guest"}`),
		Endpoints: []Endpoint{{"7a010682-17e0-4455-a838-02e5d9655fe6", "0e0e0e0e-0000-0000-0000-000000000001", "00-15-5D-00-00-01", json.RawMessage(`{"ID":"7a010682-17e0-4455-a838-02e5d9655fe6"}`)}},
	}
}

// TestDocuments: each kind of document in full, and what each wish makes of it.
func TestDocuments(t *testing.T) {
	gmsa := func(in *Input) {
		in.Spec.Windows.CredentialSpec = map[string]any{"CmsPlugins": []any{"ActiveDirectory"}, "Name": "a<b>&c"}
		in.Credential = json.RawMessage(`{"Cookie":"c","RpcEndpoint":"e","Transport":"LRPC","CredentialSpec":"{}"}`)
	}
	for _, c := range []struct {
		name string
		make func(*Input) ([]byte, error)
		in   *Input
		edit func(*Input)
	}{
		{"silo", Silo, silo(), nil},
		{"silo-all", Silo, silo(), all},
		{"silo-root-without-backslash", Silo, silo(), func(in *Input) { in.Root = volume[:len(volume)-1] }},
		{"silo-cpu-count", Silo, silo(), cpuOf(specs.WindowsCPUResources{Count: of(uint64(3))})},
		{"silo-cpu-count-clipped", Silo, silo(), cpuOf(specs.WindowsCPUResources{Count: of(uint64(64))})},
		{"silo-cpu-shares", Silo, silo(), cpuOf(specs.WindowsCPUResources{Shares: of(uint16(7500)), Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 3}, {Mask: 1, Group: 1}}})},
		{"silo-annotations-win", Silo, silo(), func(in *Input) {
			all(in)
			annotate(annContainerMemory, "512", annContainerLimit, "2500", annContainerIops, "7", annContainerBps, "8")(in)
		}},
		{"silo-devices", Silo, silo(), func(in *Input) {
			in.Spec.Windows.Devices = []specs.WindowsDevice{
				{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"},
				{ID: "24E552D7-6523-47F7-A647-D3465BF1F5CA", IDType: "class-guid"},
				{ID: "PCIROOT(0)#PCI(0100)", IDType: "vpci-location-path"},
			}
		}},
		{"silo-credential-spec", Silo, silo(), gmsa},
		{"silo-shared-network", Silo, silo(), network(specs.WindowsNetwork{NetworkSharedContainerName: "other"})},
		{"silo-namespace-of-the-bundle", Silo, silo(), network(specs.WindowsNetwork{NetworkNamespace: "168f3daf-efc6-4377-b20a-2c86764ba892"})},
		{"silo-process-dumps", Silo, silo(), annotate(annDumpFolder, `C:\dumps\{container_id}`, annDumpType, "mini", annDumpCount, "3")},
		{"silo-forward-slashes", Silo, silo(), mounts(specs.Mount{Source: "//./pipe/p", Destination: "//./PIPE/q"}, specs.Mount{Source: "C:/data", Destination: "C:/m", Options: []string{"ro", "rw"}})},

		{"silo-mounts-resolved", Silo, silo(), func(in *Input) {
			in.Resolved = map[string]string{`C:\link\config.ini`: `D:\real\config.ini`}
			mounts(specs.Mount{Source: `C:\link\config.ini`, Destination: `C:\config.ini`}, specs.Mount{Source: `C:\data`, Destination: `C:\data`})(in)
		}},

		{"single", SingleHyperV, hyperv(), nil},
		{"single-all", SingleHyperV, hyperv(), func(in *Input) {
			all(in)
			in.Namespace = ""
			in.Spec.Windows.Network.EndpointList = []string{"7a010682-17e0-4455-a838-02e5d9655fe6"}
			in.Spec.Windows.Network.NetworkSharedContainerName = "other"
			in.Spec.Windows.CredentialSpec = `{"CmsPlugins":["ActiveDirectory"]}`
			in.Spec.Windows.Servicing, in.Spec.Windows.IgnoreFlushesDuringBoot = true, true
		}},
		{"single-cpu-count", SingleHyperV, hyperv(), cpuOf(specs.WindowsCPUResources{Count: of(uint64(4))})},

		{"vm", UtilityVM, hyperv(), nil},
		{"vm-one-processor", UtilityVM, hyperv(), func(in *Input) { in.CPUs = 1 }},
		{"vm-sized-by-the-container", UtilityVM, hyperv(), resources(specs.WindowsResources{
			Memory: &specs.WindowsMemoryResources{Limit: of(uint64(3001 << 20))}, CPU: &specs.WindowsCPUResources{Count: of(uint64(4))}})},
		{"vm-annotations", UtilityVM, hyperv(), annotate(annVMMemory, "2047", annOvercommit, "false", annDeferredCommit, "TRUE", annVMLimit, "5000",
			annVMIops, "10", annVMBps, "20", annCPUGroup, "3d8b5c0e-0000-0000-0000-000000000001", annNoCompartments, "true", annNoDirectMap, "true")},
		{"vm-physical-memory", UtilityVM, hyperv(), annotate(annPhysical, "true", annVMWeight, "200", annVMCount, "1")},
		{"vm-console", UtilityVM, hyperv(), func(in *Input) { in.ConsolePipe = `\\.\pipe\console` }},

		{"linux-vm", LinuxUtilityVM, linux(), nil},
		{"linux-vm-console", LinuxUtilityVM, linux(), func(in *Input) { in.ConsolePipe = `\\.\pipe\console` }},
		{"linux-vm-annotations", LinuxUtilityVM, linux(), annotate(annBootFiles, `D:\boot\`, annRootFS, "vhd", annKernelOptions, "mitigations=off",
			annPMemCount, "8", annPMemSize, "1073741824", annVMCount, "3", annKernelDirect, "true")},

		{"hosted", Hosted, hyperv(), nil},
		{"hosted-all", Hosted, hyperv(), all},
		{"hosted-mounts", Hosted, hyperv(), everyMount},
		{"hosted-elsewhere", Hosted, hyperv(), func(in *Input) {
			in.Root, in.VMCPUs = `c:\mounts\scsi\m9`, 3
			cpuOf(specs.WindowsCPUResources{Count: of(uint64(9))})(in)
		}},
		{"hosted-credential-spec", Hosted, hyperv(), gmsa},

		{"hosted-linux", HostedLinux, linux(), nil},
		{"hosted-linux-cleaned", HostedLinux, linux(), func(in *Input) {
			in.Spec.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: `C:\hook.exe`}}}
			in.Spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: "168f3daf-efc6-4377-b20a-2c86764ba892"}
			in.Spec.Linux.CgroupsPath = "/x"
			in.Spec.Linux.Resources = &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}, Pids: &specs.LinuxPids{Limit: of(int64(5))},
				BlockIO: &specs.LinuxBlockIO{}, HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}}, Network: &specs.LinuxNetwork{},
				Memory: &specs.LinuxMemory{Limit: of(int64(1 << 28))}, CPU: &specs.LinuxCPU{Period: of(uint64(0)), Quota: of(int64(0))},
			}
		}},
		{"hosted-linux-mounts", HostedLinux, linux(), linuxMounts},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit != nil {
				c.edit(c.in)
			}
			before := string(must(c.in.Spec))
			doc, err := c.make(c.in)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, c.name, pretty(t, doc))
			if after := string(must(c.in.Spec)); after != before {
				t.Errorf("the Spec was changed to %s", after)
			}
			again, err := c.make(c.in)
			if err != nil || !bytes.Equal(doc, again) {
				t.Errorf("a second time: %s, %v", again, err)
			}
		})
	}
}

func linuxMounts(in *Input) {
	in.Files = map[string]bool{`C:\data\hosts`: true}
	mounts(specs.Mount{Source: `C:\data`, Destination: "/data", Type: "bind", Options: []string{"rbind", "ro"}},
		specs.Mount{Source: `C:\data\hosts`, Destination: "/etc/hosts", Options: []string{"bind"}},
		specs.Mount{Source: "sandbox:///shared", Destination: "/shared", Type: "bind", Options: []string{"bind"}},
		specs.Mount{Source: `C:\disks\d.vhdx`, Destination: "/disk", Type: virtualDisk, Options: []string{"ro"}},
		specs.Mount{Source: `\\.\PhysicalDrive2`, Destination: "/raw", Type: physicalDisk})(in)
}

// TestAttachments: what is done to a VM before a container, in order.
func TestAttachments(t *testing.T) {
	for _, c := range []struct {
		name string
		in   *Input
		edit func(*Input)
	}{
		{"attachments", hyperv(), nil},
		{"attachments-mounts", hyperv(), everyMount},
		{"attachments-network", hyperv(), endpoints},
		{"attachments-credential", hyperv(), func(in *Input) {
			in.CredentialSocket = json.RawMessage(`{"ServiceId":"5e1c6b8e-0000-0000-0000-000000000001","ServiceConfig":{"BindSecurityDescriptor":"D:P(A;;FA;;;SY)"}}`)
		}},
		{"attachments-pod", hyperv(), func(in *Input) {
			in.ID, in.LUNs = "0123456789abcdef0123456789abcdef0123456789abcdef", []int{5, 9}
			annotate(annNoDirectMap, "true")(in)
			mounts(specs.Mount{Source: `C:\d.vhdx`, Destination: `D:\`, Type: virtualDisk})(in)
		}},
		{"attachments-linux", linux(), func(in *Input) { linuxMounts(in); endpoints(in) }},
		{"attachments-linux-layer-is-there", linux(), func(in *Input) {
			in.LUNs, in.Attached = []int{4}, map[string]int{`disk:c:\layers\base\layer.vhd`: 0, `disk:c:\layers\app\layer.vhd`: 1}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit != nil {
				c.edit(c.in)
			}
			a, err := Attachments(c.in)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			for _, s := range a.Steps {
				b.WriteString("# " + s.What + "\n")
				if s.Grant != "" {
					b.WriteString("grant " + s.Grant + "\n")
				}
				if s.LUN != nil {
					b.WriteString("place " + strconv.Itoa(*s.LUN) + "\n")
				}
				if s.Key != "" {
					b.WriteString("key " + s.Key + "\n")
				}
				b.WriteString("do   " + string(s.Add) + "\nundo " + string(s.Undo) + "\n\n")
				for _, doc := range [][]byte{s.Add, s.Undo} {
					if doc != nil && !json.Valid(doc) {
						t.Errorf("no JSON: %s", doc)
					}
				}
			}
			a.Steps = nil
			b.Write(must(a))
			golden.Check(t, c.name, b.String()+"\n")
		})
	}
}

// TestSharedDisk: a plan attaches a disk that nobody writes to once.
func TestSharedDisk(t *testing.T) {
	in := hyperv()
	d := specs.Mount{Source: `C:\d.vhdx`, Type: virtualDisk, Options: []string{"ro"}}
	one, two := d, d
	one.Destination, two.Destination = `D:\`, `E:\`
	two.Source = `c:\D.vhdx`
	mounts(one, two)(in)
	a, err := Attachments(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.LUNs) != 2 || a.paths[0] != a.paths[1] {
		t.Errorf("places %v, paths %v", a.LUNs, a.paths)
	}
}
