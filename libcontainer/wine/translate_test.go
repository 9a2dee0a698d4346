package wine

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/internal/golden"
	"wrun/libcontainer"
)

// compact is a value as JSON without blanks.
func compact(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func of[T any](v T) *T { return &v }

// minimal is the least of a Windows bundle.
func minimal() *specs.Spec {
	return &specs.Spec{
		Version: "1.3.0",
		Process: &specs.Process{Args: []string{"cmd"}, Cwd: `C:\`},
		Windows: &specs.Windows{LayerFolders: []string{"/layers/scratch"}},
	}
}

// full has each field that means something here.
func full() *specs.Spec {
	return &specs.Spec{
		Version:     "1.3.0",
		Hostname:    "winbox",
		Annotations: map[string]string{AnnotationVersion: "2019", "mine": "x"},
		Root:        &specs.Root{Path: `\\?\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\`},
		Process: &specs.Process{
			Args: []string{`C:\Program Files\a.exe`, "two words", `back\`, `say "hi"`}, Cwd: "C:/app",
			Env:      []string{"Path=C:\\x", "B=1", "PATH=C:\\y", "=C:=C:\\app"},
			User:     specs.User{Username: `user manager\containeruser`},
			Terminal: true, ConsoleSize: &specs.Box{Width: 100, Height: 30}, OOMScoreAdj: of(5),
		},
		Mounts: []specs.Mount{
			{Source: "/srv/data", Destination: `C:\data\inner\deep`},
			{Source: "/srv/file", Destination: `c:/app/file`, Options: []string{"RO"}},
			{Source: "/run/x.sock", Destination: `//./pipe/engine`},
		},
		Windows: &specs.Windows{
			LayerFolders: []string{"/layers/top", "base, with: marks", "/layers/scratch"},
			Network:      &specs.WindowsNetwork{DNSSearchList: []string{"a.example", "b.example"}},
			Resources: &specs.WindowsResources{
				Memory:  &specs.WindowsMemoryResources{Limit: of(uint64(512 << 20))},
				CPU:     &specs.WindowsCPUResources{Count: of(uint64(2)), Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 5}}},
				Storage: &specs.WindowsStorageResources{Iops: of(uint64(100)), Bps: of(uint64(1 << 20)), SandboxSize: of(uint64(1 << 30))},
			},
			IgnoreFlushesDuringBoot: true,
		},
	}
}

func site(w *Wants) *Site {
	return &Site{
		Root: "/cache/root", Wine: Wine{"/usr/lib/wine/wine64", "/usr/lib/wine/wineserver64"}, Runtime: []Bind{{"/usr/share/wine", "/usr/share/wine"}},
		Tools: "/usr/lib/wrun/wine", Prefix: w.Scratch + "/Wine",
		Drive:  Overlay{Lower: append(slices.Clone(w.Layers), "/cache/drive_c"), Upper: w.Scratch + "/Files", Work: w.Scratch + "/Work"},
		Files:  []Bind{{"/run/wrun/x/wine-hosts", "/etc/hosts"}},
		Places: map[string]string{"mounts[1]": "App/file"},
		Nonce:  "0123", CPUs: 4, Disk: Disk{8, 1},
	}
}

// TestTranslate: a Windows Spec gives the same Linux Spec, byte for byte, on every
// system.
func TestTranslate(t *testing.T) {
	for name, tt := range map[string]struct {
		spec *specs.Spec
		edit func(*Site)
	}{
		"minimal": {minimal(), func(*Site) {}},
		"full":    {full(), func(*Site) {}},
		"vm": {func() *specs.Spec {
			s := minimal()
			s.Windows.HyperV = &specs.WindowsHyperV{UtilityVMPath: "/image"}
			s.VM = &specs.VM{Kernel: specs.VMKernel{Parameters: []string{"quiet"}}}
			s.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: "/run/netns/x"}
			return s
		}(), func(s *Site) { s.Mounted = "/run/wrun/x/wine-drive" }},
	} {
		before := compact(t, tt.spec)
		w, err := Read(tt.spec, "/bundle")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := site(w)
		tt.edit(s)
		l, warnings, err := Translate(tt.spec, w, s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data, err := json.MarshalIndent(l, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		text := string(data) + "\n"
		for _, line := range append(w.Warnings, warnings...) {
			text += "warning: " + line + "\n"
		}
		golden.Check(t, name, text+"hosts:\n"+hosts(tt.spec.Hostname)+"resolv.conf:\n"+resolver("# x\nnameserver 10.0.0.1\nsearch old\noptions edns0\n", w))
		if compact(t, tt.spec) != before {
			t.Errorf("%s: the Windows Spec was changed", name)
		}
	}
}

// TestRefuse: what cannot be is an error with its place, and mostly with a cure.
func TestRefuse(t *testing.T) {
	for _, tt := range []struct {
		edit       func(*specs.Spec)
		want, cure string
	}{
		{func(s *specs.Spec) { s.Windows = nil }, "windows: is missing", ""},
		{func(s *specs.Spec) { s.Windows.LayerFolders = nil }, "windows.layerFolders: is empty", ""},
		{func(s *specs.Spec) { s.Windows.LayerFolders = []string{`C:\a`, "/b"} }, `windows.layerFolders[0]: "C:\\a" is a path of a Windows machine`, "folders of this machine"},
		{func(s *specs.Spec) { s.Windows.LayerFolders = []string{"/a/", "/b", "/a"} }, `windows.layerFolders[2]: "/a" is windows.layerFolders[0], too`, ""},
		{func(s *specs.Spec) { s.Windows.CredentialSpec = "{}" }, "windows.credentialSpec: a group managed service account", "Windows host"},
		{func(s *specs.Spec) { s.Windows.Servicing = true }, "windows.servicing:", "leave it out"},
		{func(s *specs.Spec) { s.Windows.Devices = []specs.WindowsDevice{{ID: "x", IDType: "class"}} }, "windows.devices[0]:", "leave"},
		{func(s *specs.Spec) {
			s.Windows.HyperV = &specs.WindowsHyperV{}
			s.Windows.Resources = &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 1}}}}
		}, "windows.resources.cpu.affinity:", "windows.hyperv"},
		{func(s *specs.Spec) { s.Windows.Network = &specs.WindowsNetwork{EndpointList: []string{"e"}} }, "windows.network.endpointList:", "networkNamespace"},
		{func(s *specs.Spec) {
			s.Windows.Network = &specs.WindowsNetwork{NetworkSharedContainerName: "other"}
		}, "windows.network.networkSharedContainerName:", "/proc/<pid of the other>/ns/net"},
		{func(s *specs.Spec) { s.Annotations = map[string]string{"microsoft.com/hostprocess-container": "True"} }, `annotations["microsoft.com/hostprocess-container"]: process namespaces`, "on the host"},
		{func(s *specs.Spec) { s.Annotations = map[string]string{AnnotationVersion: "6.1.7601"} }, `annotations["org.wrun.wine.version"]: "6.1.7601" is no version`, "2019"},
		{func(s *specs.Spec) { s.Annotations = map[string]string{AnnotationVersion: "10.0.70000"} }, `annotations["org.wrun.wine.version"]:`, "2019"},
		{func(s *specs.Spec) { s.Process.User.Username = "SYSTEM" }, `process.user.username: "SYSTEM"`, "ContainerUser"},
		{mount(specs.Mount{Source: "/x", Destination: `C:\x`, Type: "virtual-disk"}), `mounts[0].type: "virtual-disk"`, "leave type out"},
		{mount(specs.Mount{Source: `\\.\pipe\x`, Destination: `\\.\pipe\x`}), `mounts[0].source: "\\\\.\\pipe\\x": a Linux host has no named pipes`, "socket"},
		{mount(specs.Mount{Source: `D:\x`, Destination: `C:\x`}), "mounts[0].source:", "of this machine"},
		{mount(specs.Mount{Source: "x", Destination: `C:\x`}), `mounts[0].source: "x" is no absolute path`, ""},
		{mount(specs.Mount{Source: "/x", Destination: `C:\`}), "mounts[0].destination:", `C:\data`},
		{mount(specs.Mount{Source: "/x", Destination: `E:\x`}), `mounts[0].destination: "E:\\x" is not on drive C:`, ""},
		{mount(specs.Mount{Source: "/x", Destination: `C:\..\x`}), "is not on drive C:", ""},
		{mount(specs.Mount{Source: "/x", Destination: `C:\a?`}), "has a character that no file name", ""},
		{mount(specs.Mount{Source: "/x", Destination: `\\.\Global\x`}), "shared memory, events, mutexes and semaphores", "share a file"},
		{mount(specs.Mount{Source: `\\?\GLOBALROOT\BaseNamedObjects\x`, Destination: `C:\x`}), "shared memory", "share a file"},
		{func(s *specs.Spec) {
			for range mostPipes + 1 {
				s.Mounts = append(s.Mounts, specs.Mount{Source: "/x", Destination: `\\.\pipe\x`})
			}
		}, "mounts: has 17 named pipes", ""},
	} {
		s := minimal()
		tt.edit(s)
		_, err := Read(s, "/bundle")
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(libcontainer.Hint(err), tt.cure) || tt.cure == "" != (libcontainer.Hint(err) == "") {
			t.Errorf("error %v, hint %q; want %q and %q", err, libcontainer.Hint(err), tt.want, tt.cure)
		}
	}
}

func mount(m specs.Mount) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Mounts = []specs.Mount{m} }
}

// TestResources: each limit as cgroups have it.
func TestResources(t *testing.T) {
	for _, tt := range []struct {
		in   specs.WindowsResources
		cpus int
		want string
	}{
		{specs.WindowsResources{}, 4, `{}`},
		{specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(0))}}, 4, `{}`},
		{specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(1 << 30))}}, 4, `{"memory":{"limit":1073741824}}`},
		{specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(1 << 63))}}, 4, `error windows.resources.memory.limit: 9223372036854775808 bytes is more than Linux counts`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: of(uint64(3))}}, 4, `{"cpu":{"quota":300000,"period":100000}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: of(uint64(9))}}, 4, `{"cpu":{"quota":400000,"period":100000}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Maximum: of(uint16(2500))}}, 4, `{"cpu":{"quota":100000,"period":100000}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Maximum: of(uint16(1))}}, 1, `{"cpu":{"quota":1000,"period":100000}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Shares: of(uint16(10000))}}, 4, `{"cpu":{"shares":2048}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Shares: of(uint16(1))}}, 4, `{"cpu":{"shares":2}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 9}, {Mask: 1, Group: 1}}}}, 128, `{"cpu":{"cpus":"0,3,64"}}`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 16}}}}, 4, `error windows.resources.cpu.affinity[0].mask: names processor 4, and this machine has 4`},
		{specs.WindowsResources{CPU: &specs.WindowsCPUResources{Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 1, Group: 16}}}}, 4, `error windows.resources.cpu.affinity[0].group: 16 is no group of 64 processors that Linux can have`},
		{specs.WindowsResources{Storage: &specs.WindowsStorageResources{Bps: of(uint64(5))}}, 4,
			`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":5}],"throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":5}]}}`},
	} {
		l, _, err := Resources(&tt.in, tt.cpus, Disk{8, 1})
		got := ""
		if err != nil {
			got = "error " + err.Error()
		} else {
			got = compact(t, l)
		}
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.in, got, tt.want)
		}
	}
	_, warnings, err := Resources(&specs.WindowsResources{Storage: &specs.WindowsStorageResources{Iops: of(uint64(1))}}, 1, Disk{})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "no block device") {
		t.Errorf("without a disk: %q, %v", warnings, err)
	}
}

// TestProcess: what a process cannot be made of.
func TestProcess(t *testing.T) {
	for want, p := range map[string]*specs.Process{
		"process.commandLine: has more than the 32766":  {CommandLine: strings.Repeat("x", 32767)},
		"process.commandLine: has more than the 32766 ": {CommandLine: strings.Repeat("😀", 16384)},
		"process.commandLine: has a zero byte":          {CommandLine: "a\x00"},
		`process.env[1]: "B=\x00" has a zero byte`:      {CommandLine: "a", Env: []string{"A=1", "B=\x00"}},
		`process.args[0]: "a\"b" has a double quote`:    {Args: []string{`a"b`}},
	} {
		if _, err := Process(p, Administrator, Wine{}, "run", "/s", "n"); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Process(&specs.Process{CommandLine: strings.Repeat("x", 32766)}, Ordinary, Wine{}, "run", "/s", "n"); err != nil {
		t.Errorf("the longest command line: %v", err)
	}
}
