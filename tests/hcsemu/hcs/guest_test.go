package hcs

import (
	"strings"
	"testing"
	"time"

	"wrun/tests/hcsemu/wire"
)

// later is a call that hangs; it answers on the channel.
func (l *lab) later(function string, handle, fresh uint64, args ...string) <-chan *wire.Answer {
	l.Helper()
	c := l.dial()
	answer := make(chan *wire.Answer, 1)
	go func() { answer <- l.on(c, "computecore", function, handle, fresh, 0xffffffff, args...) }()
	return answer
}

// hangs says that none of the calls has been answered after a moment; what must
// not happen has no event.
func (l *lab) hangs(calls ...<-chan *wire.Answer) {
	l.Helper()
	time.Sleep(50 * time.Millisecond)
	for i, c := range calls {
		select {
		case a := <-c:
			l.Fatalf("call %d was answered: %#08x", i, a.HR)
		default:
		}
	}
}

// startHosted makes a VM and a container in it that runs.
func (l *lab) startHosted() (vm, c uint64) {
	l.Helper()
	vm = l.startVM("vm")
	if err := l.m.WriteFile(`C:\scratch\sandbox.vhdx`, nil); err != nil {
		l.Fatal(err)
	}
	for _, request := range []string{
		`{"ResourcePath":"VirtualMachine/Devices/Scsi/c0/Attachments/0","RequestType":"Add","Settings":{"Type":"VirtualDisk","Path":"C:\\scratch\\sandbox.vhdx"},"GuestRequest":{"ResourceType":"MappedVirtualDisk","RequestType":"Add","Settings":{"ContainerPath":"C:\\m","Lun":0}}}`,
		`{"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":"Add","Settings":{"ContainerRootPath":"C:\\m","Layers":[{"Id":"x","Path":"C:\\l"}]}}}`,
	} {
		l.want(l.do("HcsModifyComputeSystem", vm, request), ok)
	}
	c = l.create("c", hostedText)
	l.want(l.do("HcsStartComputeSystem", c), ok)
	return vm, c
}

// TestPausedGuest: what a guest has to do waits until it runs again, or for its
// end, which does not wait.
func TestPausedGuest(t *testing.T) {
	l := newLab(t)
	vm, c := l.startHosted()
	p, _, a := l.make("HcsCreateProcess", c, `{"CommandLine":"sleep"}`)
	l.want(a, ok)
	l.want(l.do("HcsPauseComputeSystem", vm), ok)
	terminate := l.later("HcsTerminateProcess", p, 0)
	create := l.later("HcsCreateProcess", c, 1000, `{"CommandLine":"handler"}`)
	own := l.later("HcsCreateProcess", vm, 1001, `{"CommandLine":"sleep"}`)
	l.hangs(terminate, create, own)
	l.want(l.do("HcsResumeComputeSystem", vm), ok)
	for _, call := range []<-chan *wire.Answer{terminate, create, own} {
		l.want(<-call, ok)
	}
	l.want(l.do("HcsWaitForProcessExit", p), ok, `"Exited":true`)

	l.want(l.do("HcsPauseComputeSystem", vm), ok)
	signal := l.later("HcsSignalProcess", 1000, 0, `{"Signal":"CtrlC"}`)
	create = l.later("HcsCreateProcess", c, 1002, `{"CommandLine":"sleep"}`)
	l.hangs(signal, create)
	l.want(l.do("HcsTerminateComputeSystem", vm), ok)
	l.want(<-signal, ProcessStopped)
	l.want(<-create, systemStopped)
}

// TestLinuxFirstProcess: a hosted Linux container's own process comes from its
// specification, once; all others bring theirs.
func TestLinuxFirstProcess(t *testing.T) {
	l := newLab(t)
	if err := l.m.WriteFile(`C:\boot\kernel`, nil); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`"Uefi":{}`, `"LinuxKernelDirect":{"KernelFilePath":"C:\\boot\\kernel"}`, `"Scsi":{"c0":{}}`, `"Plan9":{}`).Replace(vmText)
	vm := l.create("lvm", text)
	l.want(l.do("HcsStartComputeSystem", vm), ok)
	l.want(l.do("HcsModifyComputeSystem", vm, `{"ResourcePath":"VirtualMachine/Devices/Plan9/Shares","RequestType":"Add","Settings":{"Name":"1","Path":"C:\\data","Port":564},
		"GuestRequest":{"ResourceType":"MappedDirectory","RequestType":"Add","Settings":{"MountPath":"/c","Port":564,"ShareName":"1"}}}`), ok)
	l.want(l.do("HcsModifyComputeSystem", vm, `{"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":"Add","Settings":{"ContainerRootPath":"/c/root","Layers":[{"Path":"/c/layer"}]}}}`), ok)
	start := func(id, process string) uint64 {
		t.Helper()
		h := l.create(id, `{"SchemaVersion":{"Major":2,"Minor":1},"HostingSystemId":"lvm","HostedSystem":{"SchemaVersion":{"Major":2,"Minor":1},
			"OciBundlePath":"/c","OciSpecification":{"root":{"path":"/c/root"}`+process+`}}}`)
		l.want(l.do("HcsStartComputeSystem", h), ok)
		return h
	}
	run := func(c uint64, parameters string, hr Result, says ...string) {
		t.Helper()
		_, _, a := l.make("HcsCreateProcess", c, parameters)
		l.want(a, hr, says...)
	}
	const pipes, further = `{"CreateStdOutPipe":true}`, `{"OciProcess":{"args":["cat"],"cwd":"/"}}`
	c := start("c", `,"process":{"args":["/bin/sleep","5"],"cwd":"/w","env":["A=1=2"]}`)
	run(c, further, ok)
	run(c, pipes, ok)
	run(c, pipes, invalidState, "OciProcess")
	run(c, further, ok)
	if got := l.m.launched("sleep"); got == nil || got.Args[1] != "5" || got.Environment["A"] != "1=2" || got.Pipes != [3]bool{false, true, false} {
		t.Errorf("the first process is %+v", got)
	}
	c = start("wrong", `,"process":{"args":["/bin/none"],"cwd":"/"}`)
	run(c, pipes, fileNotFound)
	run(c, pipes, fileNotFound) // it has not begun
	run(start("empty", ""), pipes, invalidParam, "OciProcess")
}
