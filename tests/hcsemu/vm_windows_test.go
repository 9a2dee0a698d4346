package hcsemu

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

const controller = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a"

func vmDocument(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`{"Owner":"test","SchemaVersion":{"Major":2,"Minor":1},"VirtualMachine":{"StopOnReset":true,
		"Chipset":{"Uefi":{"BootThis":{"DeviceType":"VmbFs","DevicePath":"\\EFI\\Microsoft\\Boot\\bootmgfw.efi"}}},
		"ComputeTopology":{"Memory":{"SizeInMB":1024,"AllowOvercommit":true},"Processor":{"Count":1}},
		"Devices":{"Scsi":{%q:{}},"VirtualSmb":{"DirectFileMappingInMB":1024,"Shares":[{"Name":"os","Path":%s,"Options":{"ReadOnly":true}}]}},
		"GuestConnection":{}}}`, controller, quoted(t.TempDir()))
}

// modifyAll makes what a container in a VM needs: a layer, a disk, a root.
func (s *system) modifyAll(kind string) {
	s.t.Helper()
	dir := s.t.TempDir()
	disk := filepath.Join(dir, "sandbox.vhdx")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	requests := []string{
		fmt.Sprintf(`{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":%q,"Settings":{"Name":"s1","Path":%s}}`, kind, quoted(dir)),
		fmt.Sprintf(`{"ResourcePath":"VirtualMachine/Devices/Scsi/%s/Attachments/0","RequestType":%q,"Settings":{"Type":"VirtualDisk","Path":%s},
			"GuestRequest":{"ResourceType":"MappedVirtualDisk","RequestType":%[2]q,"Settings":{"ContainerPath":"C:\\mounts\\scsi\\m0","Lun":0}}}`, controller, kind, quoted(disk)),
		fmt.Sprintf(`{"RequestType":%q,"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":%[1]q,"Settings":{"ContainerRootPath":"C:\\mounts\\scsi\\m0",
			"Layers":[{"Id":"11111111-2222-3333-4444-555555555555","Path":"\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\s1"}]}}}`, kind),
	}
	if kind == "Remove" {
		requests[0], requests[2] = requests[2], requests[0]
	}
	for _, r := range requests {
		s.must("HcsModifyComputeSystem", r)
	}
}

func hostedDocument(vm string) string {
	return fmt.Sprintf(`{"Owner":"test","SchemaVersion":{"Major":2,"Minor":1},"HostingSystemId":%q,"HostedSystem":{"SchemaVersion":{"Major":2,"Minor":1},
		"Container":{"Storage":{"Layers":[{"Id":"11111111-2222-3333-4444-555555555555","Path":"\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\s1"}],
		"Path":"c:\\mounts\\scsi\\m0"}}}}`, vm)
}

// hostProcesses answers the pids of a program on the host.
func hostProcesses(t *testing.T, name string) []uint32 {
	t.Helper()
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(snapshot)
	var pids []uint32
	entry := windows.ProcessEntry32{}
	entry.Size = uint32(unsafe.Sizeof(entry))
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if windows.UTF16ToString(entry.ExeFile[:]) == name {
			pids = append(pids, entry.ProcessID)
		}
	}
	return pids
}

func TestVirtualMachine(t *testing.T) {
	_, doc, hr := create("early", hostedDocument("pod@vm"))
	expect(t, "hosted in nothing", hr, 0x8037010E, doc)
	vm := mustCreate(t, "pod@vm", vmDocument(t))
	_, doc, hr = create("early", hostedDocument("pod@vm"))
	expect(t, "hosted without layers", hr, 0x80070003, doc)
	vm.must("HcsStartComputeSystem", "")
	if w := hostProcesses(t, "vmwp.exe"); len(w) != 1 {
		t.Errorf("workers %v", w)
	}
	if doc := vm.must("HcsGetComputeSystemProperties", `{"PropertyTypes":["GuestConnection","Memory"]}`); !strings.Contains(doc, `"ProtocolVersion":4`) || !strings.Contains(doc, `"AssignedMemory":262144`) {
		t.Errorf("properties %s", doc)
	}
	vm.modifyAll("Add")
	doc, hr = vm.do("HcsModifyComputeSystem", fmt.Sprintf(`{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":"Add","Settings":{"Name":"s1","Path":%s}}`, quoted(t.TempDir())))
	expect(t, "a share twice", hr, 0x800700B7, doc)
	doc, hr = vm.do("HcsModifyComputeSystem", `{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":"Remove","Settings":{"Name":"none"}}`)
	expect(t, "removing no share", hr, 0x80070490, doc)

	c := mustCreate(t, "hosted", hostedDocument("pod@vm"))
	c.must("HcsStartComputeSystem", "")
	p := c.run(`sh -c "read x; echo got $x; exit 300"`)
	if _, err := p.pipe[0].Write([]byte("it\n")); err != nil {
		t.Fatal(err)
	}
	if out := p.rest(1); out != "got it\n" {
		t.Errorf("stdout %q", out)
	}
	if code := p.code(); code != 300 {
		t.Errorf("code %d", code)
	}
	// In the VM it shows, on the host it does not.
	sleeper := c.run(`sleep 1000`)
	if doc := c.must("HcsGetComputeSystemProperties", `{"PropertyTypes":["ProcessList"]}`); !strings.Contains(doc, fmt.Sprintf(`"ProcessId":%d,"ImageName":"sleep.exe"`, sleeper.pid)) {
		t.Errorf("no process %d in %s", sleeper.pid, doc)
	}
	if pids := hostProcesses(t, "sleep.exe"); len(pids) > 0 {
		t.Errorf("on the host: %v", pids)
	}
	trap := c.run(`sh -c "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"`)
	if line := trap.line(); line != "ready\n" {
		t.Fatalf("line %q", line)
	}
	_, hr = trap.do("HcsSignalProcess", `{"Signal":"CtrlShutdown"}`)
	expect(t, "signal", hr, 0, "")
	if code := trap.code(); code != 5 {
		t.Errorf("code %d", code)
	}
	_, doc, hr = c.tryRun(`{"CommandLine":"nosuch"}`)
	expect(t, "a missing program", hr, 0x80070002, doc)

	e := listen(t, "HcsSetComputeSystemCallback", vm.h)
	hosted := listen(t, "HcsSetComputeSystemCallback", c.h)
	vm.must("HcsTerminateComputeSystem", "")
	if got := hosted.next(t); got.data != `{"Status":-2143878906,"ExitType":"UnexpectedExit"}` {
		t.Errorf("hosted: %+v", got)
	}
	if got := e.next(t); got.data != `{"Status":0,"ExitType":"ForcedExit"}` {
		t.Errorf("vm: %+v", got)
	}
	if w := hostProcesses(t, "vmwp.exe"); len(w) != 0 {
		t.Errorf("workers %v after the end", w)
	}
}

func TestPausedMachine(t *testing.T) {
	vm := mustCreate(t, "paused@vm", vmDocument(t))
	vm.must("HcsStartComputeSystem", "")
	p := vm.run(`sh -c "while :; do echo tick; sleep 0.01; done"`)
	p.line()
	vm.must("HcsPauseComputeSystem", "")
	if list := enumerate(t, `{"Ids":["paused@vm"]}`); len(list) != 1 || list[0]["State"] != "Paused" {
		t.Errorf("paused: %v", list)
	}
	ended := make(chan uint32, 1)
	go func() {
		_, hr := p.do("HcsTerminateProcess", "")
		ended <- hr
	}()
	select {
	case hr := <-ended:
		t.Fatalf("a paused guest has ended a process: %#x", hr)
	case <-time.After(300 * time.Millisecond):
	}
	vm.must("HcsResumeComputeSystem", "")
	expect(t, "ending a process, after the pause", <-ended, 0, "")
	if code := p.code(); code != 1067 {
		t.Errorf("code %d", code)
	}
	p = vm.run("sleep 1000")
	vm.must("HcsPauseComputeSystem", "")
	start := time.Now()
	vm.must("HcsTerminateComputeSystem", "")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("ending a paused machine took %v", took)
	}
	if code := p.code(); code != 1067 {
		t.Errorf("code %d of a process in a paused machine that was ended", code)
	}
}

func TestWorkerKilled(t *testing.T) {
	vm := mustCreate(t, "killed@vm", vmDocument(t))
	vm.must("HcsStartComputeSystem", "")
	vm.modifyAll("Add")
	c := mustCreate(t, "inkilled", hostedDocument("killed@vm"))
	c.must("HcsStartComputeSystem", "")
	p := c.run("sleep 1000")
	e := listen(t, "HcsSetComputeSystemCallback", c.h)
	w := hostProcesses(t, "vmwp.exe")
	if len(w) != 1 {
		t.Fatalf("workers %v", w)
	}
	worker, err := windows.OpenProcess(windows.PROCESS_TERMINATE, false, w[0])
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(worker)
	if err := windows.TerminateProcess(worker, 1); err != nil {
		t.Fatal(err)
	}
	if got := e.next(t); !strings.Contains(got.data, "UnexpectedExit") {
		t.Errorf("hosted: %+v", got)
	}
	if code := p.code(); code != 1067 {
		t.Errorf("code %d", code)
	}
	if list := enumerate(t, `{"Types":["VirtualMachine"]}`); len(list) != 1 || list[0]["State"] != "Stopped" || list[0]["ExitType"] != "UnexpectedExit" {
		t.Errorf("vm: %v", list)
	}
}

func TestLinuxMachine(t *testing.T) {
	dir := t.TempDir()
	kernel := filepath.Join(dir, "vmlinux")
	document := func(kernel string) string {
		return fmt.Sprintf(`{"Owner":"test","SchemaVersion":{"Major":2,"Minor":2},"VirtualMachine":{
		"Chipset":{"LinuxKernelDirect":{"KernelFilePath":%s,"KernelCmdLine":"quiet"}},
		"ComputeTopology":{"Memory":{"SizeInMB":512},"Processor":{"Count":1}},"Devices":{"Plan9":{}},
		"GuestConnection":{"UseVsock":true}}}`, quoted(kernel))
	}
	_, doc, hr := create("l@vm", document(kernel))
	expect(t, "without a kernel", hr, 0x80070002, doc)
	if err := os.WriteFile(kernel, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	vm := mustCreate(t, "l@vm", document(kernel))
	vm.must("HcsStartComputeSystem", "")
	vm.must("HcsModifyComputeSystem", fmt.Sprintf(`{"ResourcePath":"VirtualMachine/Devices/Plan9/Shares","RequestType":"Add","Settings":{"Name":"1","AccessName":"1","Path":%s,"Port":564},
		"GuestRequest":{"ResourceType":"MappedDirectory","RequestType":"Add","Settings":{"MountPath":"/run/gcs/c/l","Port":564,"ShareName":"1"}}}`, quoted(dir)))
	vm.must("HcsModifyComputeSystem", `{"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":"Add","Settings":{"ContainerID":"l","ContainerRootPath":"/run/gcs/c/l/rootfs","Layers":[{"Path":"/run/gcs/c/l/layer"}],"ScratchPath":"/run/gcs/c/l/scratch"}}}`)
	c := mustCreate(t, "l", `{"Owner":"test","SchemaVersion":{"Major":2,"Minor":1},"HostingSystemId":"l@vm","HostedSystem":{"SchemaVersion":{"Major":2,"Minor":1},
		"OciBundlePath":"/run/gcs/c/l","OciSpecification":{"ociVersion":"1.0.2","root":{"path":"/run/gcs/c/l/rootfs"},
		"process":{"args":["sh","-c","echo $B; exit 3"],"cwd":"/","env":["B=2"]}}}}`)
	c.must("HcsStartComputeSystem", "")
	run := func(args ...string) *process {
		t.Helper()
		parameters, err := json.Marshal(map[string]any{
			"OciProcess":       map[string]any{"args": args, "cwd": "/", "env": []string{"A=1"}},
			"CreateStdOutPipe": true, "CreateStdErrPipe": true,
		})
		if err != nil {
			t.Fatal(err)
		}
		p, doc, hr := c.tryRun(string(parameters))
		expect(t, fmt.Sprint(args), hr, 0, doc)
		t.Cleanup(p.close)
		return p
	}
	first, doc, hr := c.tryRun(`{"CreateStdOutPipe":true}`)
	expect(t, "the container's own process", hr, 0, doc)
	defer first.close()
	if out, code := first.rest(1), first.code(); out != "2\n" || code != 3 {
		t.Errorf("output %q, code %d", out, code)
	}
	_, doc, hr = c.tryRun(`{"CreateStdOutPipe":true}`)
	expect(t, "the container's own process again", hr, 0x80370105, doc)
	p := run("/bin/sh", "-c", "echo $A; exit 7")
	if out, code := p.rest(1), p.code(); out != "1\n" || code != 7 {
		t.Errorf("output %q, code %d", out, code)
	}
	p = run("sleep", "1000")
	_, hr = p.do("HcsSignalProcess", `{"Signal":15}`)
	expect(t, "signal", hr, 0, "")
	if code := p.code(); code != 143 {
		t.Errorf("code %d", code)
	}
	_, doc, hr = c.tryRun(`{"OciProcess":{"args":["/bin/ls"],"cwd":"/"}}`)
	expect(t, "a missing program", hr, 0x80070002, doc)
	if list := enumerate(t, `{"Ids":["l"]}`); len(list) != 1 || list[0]["RuntimeOsType"] != "Linux" || list[0]["HostingSystemId"] != "l@vm" {
		t.Errorf("the container: %v", list)
	}
}
