package hcsdoc

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestSmallDocuments: in full, as HCS takes them.
func TestSmallDocuments(t *testing.T) {
	ok := func(b []byte, err error) []byte {
		if err != nil {
			t.Error(err)
		}
		return b
	}
	const scsi0 = `"ResourcePath":"VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/3"`
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{Query("Statistics", "ProcessList"), `{"PropertyTypes":["Statistics","ProcessList"]}`},
		{Query(), `{}`},
		{SystemQuery([]string{"a"}, nil), `{"Ids":["a"]}`},
		{SystemQuery(nil, []string{"wrun"}), `{"Owners":["wrun"]}`},
		{SystemQuery(nil, nil), `{}`},
		{ok(Signal(0)), `{"Signal":"CtrlC"}`},
		{ok(Signal(1)), `{"Signal":"CtrlBreak"}`},
		{ok(Signal(2)), `{"Signal":"CtrlClose"}`},
		{ok(Signal(5)), `{"Signal":"CtrlLogOff"}`},
		{ok(Signal(6)), `{"Signal":"CtrlShutdown"}`},
		{LinuxSignal(15), `{"Signal":15}`},
		{Resize(80, 25), `{"Operation":"ConsoleSize","ConsoleSize":{"Height":25,"Width":80}}`},
		{CloseStdin(), `{"Operation":"CloseHandle","CloseHandle":{"Handle":"StdIn"}}`},
		{ok(AddShare("s1", `C:\data`, false)), `{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":"Add","Settings":{"Name":"s1","Path":"C:\\data","Options":{}}}`},
		{RemoveShare("s1"), `{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":"Remove","Settings":{"Name":"s1"}}`},
		{ok(AttachDisk(3, `C:\d.vhdx`, "", false)), `{` + scsi0 + `,"RequestType":"Add","Settings":{"Type":"VirtualDisk","Path":"C:\\d.vhdx"}}`},
		{ok(AttachDisk(3, `C:\d.vhdx`, "/d", true)), `{` + scsi0 + `,"RequestType":"Add","Settings":{"Type":"VirtualDisk","Path":"C:\\d.vhdx"},"GuestRequest":{"ResourceType":"MappedVirtualDisk","RequestType":"Add","Settings":{"MountPath":"/d","Lun":3}}}`},
		{DetachDisk(3, "", false), `{` + scsi0 + `,"RequestType":"Remove"}`},
		{DetachDisk(3, `c:\d`, false), `{` + scsi0 + `,"RequestType":"Remove","GuestRequest":{"ResourceType":"MappedVirtualDisk","RequestType":"Remove","Settings":{"ContainerPath":"c:\\d","Lun":3}}}`},
		{UncombineLayers("/r"), `{"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":"Remove","Settings":{"ContainerRootPath":"/r"}}}`},
		{AddCredential("c1", "{}", false), `{"PropertyType":"ContainerCredentialGuard","Settings":{"Operation":"AddInstance","OperationDetails":{"Id":"c1","CredentialSpec":"{}","Transport":"LRPC"}}}`},
		{AddCredential("c1", "{}", true), `{"PropertyType":"ContainerCredentialGuard","Settings":{"Operation":"AddInstance","OperationDetails":{"Id":"c1","CredentialSpec":"{}","Transport":"HvSocket"}}}`},
		{RemoveCredential("c1"), `{"PropertyType":"ContainerCredentialGuard","Settings":{"Operation":"RemoveInstance","OperationDetails":{"Id":"c1"}}}`},
		{ok(UpdateLinux(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: of(int64(5))}})), `{"GuestRequest":{"ResourceType":"ContainerConstraints","RequestType":"Update","Settings":{"Linux":{"memory":{"limit":5}}}}}`},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s\nwant %s", c.got, c.want)
		}
	}
	if got := SharePath("s1"); got != `\\?\VMSMB\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\s1` {
		t.Error(got)
	}
	for _, n := range []int{9, 15, 3, -1, 100} {
		if doc, err := Signal(n); err == nil {
			t.Errorf("signal %d: %s", n, doc)
		}
	}
	for _, name := range []string{"", `a\b`, "a/b"} {
		if doc, err := AddShare(name, `C:\a`, true); err == nil {
			t.Errorf("share %q: %s", name, doc)
		}
	}
	if doc, err := AddShare("a", "", true); err == nil {
		t.Errorf("no path: %s", doc)
	}
	for _, lun := range []int{-1, 64} {
		if doc, err := AttachDisk(lun, `C:\d`, "", true); err == nil {
			t.Errorf("place %d: %s", lun, doc)
		}
	}
	if doc, err := AttachDisk(0, "", "", true); err == nil {
		t.Errorf("no path: %s", doc)
	}
	if doc, err := UpdateLinux(nil); err == nil {
		t.Errorf("no limits: %s", doc)
	}
}

func TestUpdateResources(t *testing.T) {
	const silo, vm = `{"ResourcePath":"Container/`, `{"ResourcePath":"VirtualMachine/ComputeTopology/`
	for _, c := range []struct {
		kind Kind
		r    *specs.WindowsResources
		want []string // documents, or one error
	}{
		{KindSilo, nil, nil},
		{KindSilo, &specs.WindowsResources{}, nil},
		{KindSilo, &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(201 << 20))}}, []string{silo + `Memory/SizeInMB","RequestType":"Update","Settings":201}`}},
		{KindVM, &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(201 << 20))}}, []string{vm + `Memory/SizeInMB","RequestType":"Update","Settings":202}`}},
		{KindSilo, &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(5))}}, []string{"windows.resources.memory.limit: 5 bytes"}},
		{KindHosted, &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: of(uint64(mib))}, CPU: &specs.WindowsCPUResources{Maximum: of(uint16(5000))}},
			[]string{silo + `Memory/SizeInMB","RequestType":"Update","Settings":1}`, silo + `Processor","RequestType":"Update","Settings":{"Maximum":5000}}`}},
		{KindSilo, &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: of(uint64(99))}}, []string{silo + `Processor","RequestType":"Update","Settings":{"Count":4}}`}},
		{KindVM, &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Shares: of(uint16(9))}}, []string{vm + `Processor/Limits","RequestType":"Update","Settings":{"Weight":9}}`}},
		{KindVM, &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Count: of(uint64(1))}}, []string{"windows.resources.cpu.count: cannot change"}},
		{KindSilo, &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Maximum: of(uint16(1)), Shares: of(uint16(1))}}, []string{"windows.resources.cpu.maximum: is set together"}},
		{KindSilo, &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Affinity: []specs.WindowsCPUGroupAffinity{{Mask: 1}}}}, []string{"windows.resources.cpu.affinity: cannot change"}},
		{KindSilo, &specs.WindowsResources{Storage: &specs.WindowsStorageResources{Bps: of(uint64(1))}}, []string{"windows.resources.storage: iops and bps cannot change"}},
		{KindSilo, &specs.WindowsResources{Storage: &specs.WindowsStorageResources{SandboxSize: of(uint64(1))}}, []string{"windows.resources.storage.sandboxSize: cannot change"}},
		{KindSingle, &specs.WindowsResources{}, []string{"windows.resources: cannot change"}},
	} {
		docs, err := UpdateResources(c.kind, c.r, 4)
		if err != nil {
			if len(c.want) != 1 || !strings.HasPrefix(err.Error(), c.want[0]) || docs != nil {
				t.Errorf("%s %+v: %s, %v, want %q", c.kind, c.r, docs, err, c.want)
			}
			continue
		}
		var got []string
		for _, d := range docs {
			got = append(got, string(d))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s %+v: %q, want %q", c.kind, c.r, got, c.want)
		}
	}
}

func TestSandboxSize(t *testing.T) {
	in := silo()
	if got := SandboxSize(in.Spec); got != 0 {
		t.Error(got)
	}
	all(in)
	if got := SandboxSize(in.Spec); got != 40<<30 {
		t.Error(got)
	}
	if got := SandboxSize(nil); got != 0 {
		t.Error(got)
	}
}

func TestAffinity(t *testing.T) {
	in := silo()
	want := []specs.WindowsCPUGroupAffinity{{Mask: 3}, {Mask: 1, Group: 2}}
	cpuOf(specs.WindowsCPUResources{Affinity: want})(in)
	for _, build := range []uint16{0, 20348, 26100} {
		in.Build = build
		if got, err := Affinity(in); err != nil || len(got) != 2 || got[1] != want[1] {
			t.Errorf("build %d: %v, %v", build, got, err)
		}
	}
	in.Build = 17763
	if got, err := Affinity(in); err == nil {
		t.Errorf("two groups on 17763: %v", got)
	}
	cpuOf(specs.WindowsCPUResources{Affinity: want[:1]})(in)
	if got, err := Affinity(in); err != nil || len(got) != 1 {
		t.Errorf("one group on 17763: %v, %v", got, err)
	}
	if got, err := Affinity(silo()); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
}
