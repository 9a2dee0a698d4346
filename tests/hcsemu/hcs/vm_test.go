package hcs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (l *lab) startVM(id string) uint64 {
	l.Helper()
	h := l.create(id, vmText)
	l.want(l.do("HcsStartComputeSystem", h), ok)
	return h
}

const hostedText = `{"SchemaVersion":{"Major":2,"Minor":1},"HostingSystemId":"vm","HostedSystem":{"SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{"Layers":[],"Path":"C:\\m"}}}}`

func TestHosted(t *testing.T) {
	l := newLab(t)
	_, _, a := l.make("HcsCreateComputeSystem", 0, "c", hostedText)
	l.want(a, systemNotFound)
	vm := l.create("vm", vmText)
	modify := func(hr Result, request string, says ...string) {
		t.Helper()
		l.want(l.do("HcsModifyComputeSystem", vm, request), hr, says...)
	}
	if err := l.m.WriteFile(`C:\scratch\sandbox.vhdx`, nil); err != nil {
		t.Fatal(err)
	}
	disk := `{"ResourcePath":"VirtualMachine/Devices/Scsi/c0/Attachments/0","RequestType":"Add","Settings":{"Type":"VirtualDisk","Path":"C:\\scratch\\sandbox.vhdx"},"GuestRequest":{"ResourceType":"MappedVirtualDisk","RequestType":"Add","Settings":{"ContainerPath":"C:\\m","Lun":0}}}`
	modify(invalidState, disk) // its guest does not answer yet, and the disk is taken back
	l.want(l.do("HcsStartComputeSystem", vm), ok)
	layers := `{"GuestRequest":{"ResourceType":"CombinedLayers","RequestType":"Add","Settings":{"ContainerRootPath":"C:\\m","Layers":[{"Id":"x","Path":"\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\s1"}]}}}`
	modify(pathNotFound, layers, "share")
	share := `{"ResourcePath":"VirtualMachine/Devices/VirtualSmb/Shares","RequestType":"%s","Settings":{"Name":"s1","Path":"C:\\data"}}`
	modify(ok, fmt.Sprintf(share, "Add"))
	modify(alreadyExists, fmt.Sprintf(share, "Add"))
	modify(pathNotFound, layers, "disk")
	modify(ok, disk)
	modify(alreadyExists, disk)
	modify(ok, layers)
	modify(invalidJSON, strings.Replace(layers, `"Layers"`, `"FilterType":"UnionFS","Layers"`, 1), "FilterType")
	modify(notFound, `{"ResourcePath":"VirtualMachine/Devices/Scsi/none/Attachments/0","RequestType":"Remove"}`)
	modify(notSupported, `{"ResourcePath":"VirtualMachine/Nonsense/X","RequestType":"Add"}`)
	modify(notSupported, `{"ResourcePath":"Container/Memory/SizeInMB","RequestType":"Update","Settings":5}`)

	c := l.create("c", hostedText)
	l.want(l.do("HcsStartComputeSystem", c), ok)
	l.want(l.do("HcsModifyComputeSystem", c, `{"ResourcePath":"Container/Memory/SizeInMB","RequestType":"Update","Settings":5}`), ok)
	l.want(l.do("HcsModifyComputeSystem", c, `{"ResourcePath":"Container/Processor","RequestType":"Update","Settings":{"Weight":5,"Count":1}}`), invalidParam)
	p, _, a := l.make("HcsCreateProcess", c, `{"CommandLine":"sleep"}`)
	l.want(a, ok)
	e := l.events("computecore", "HcsSetComputeSystemCallback", c)
	l.m.died() // the worker process
	if got := l.next(e); !strings.Contains(*got.Data, `"ExitType":"UnexpectedExit"`) {
		t.Errorf("event %s", *got.Data)
	}
	l.want(l.do("HcsWaitForProcessExit", p), ok, `"Exited":true`)
	l.want(l.do("HcsWaitForComputeSystemExit", vm), ok, "UnexpectedExit")
	l.want(l.do("HcsGetComputeSystemProperties", vm, ""), ok, `"Stopped":true`)
	if l.m.booted != 0 {
		t.Errorf("%d machines are left", l.m.booted)
	}
}

func TestBootFails(t *testing.T) {
	l := newLab(t)
	h := l.create("vm", vmText)
	l.m.bootErr = errors.Join(errors.New("no guest"), Result(0x80370109))
	l.want(l.do("HcsStartComputeSystem", h), 0x80370109, "no guest")
	if got := l.states("")["vm"]; got != "Created" {
		t.Errorf("state %s", got)
	}
	l.m.bootErr = nil
	l.want(l.do("HcsStartComputeSystem", h), ok)
}

func TestTerminateDuringBoot(t *testing.T) {
	l := newLab(t)
	l.m.bootHang = make(chan struct{})
	h := l.create("vm", vmText)
	started := make(chan Result, 1)
	go func() { started <- Result(l.do("HcsStartComputeSystem", h).HR) }()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l.s.mu.Lock()
		busy := l.s.systems["vm"].busy
		l.s.mu.Unlock()
		if busy != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the start does not begin")
		}
	}
	l.want(l.do("HcsStartComputeSystem", h), invalidState, "on its way")
	l.want(l.do("HcsTerminateComputeSystem", h), ok)
	if hr := <-started; hr != terminatedDuringStart {
		t.Errorf("the start said %v", hr)
	}
	if got := l.states("")["vm"]; got != "Stopped" {
		t.Errorf("state %s", got)
	}
}

func TestCredentials(t *testing.T) {
	l := newLab(t)
	add := `{"PropertyType":"ContainerCredentialGuard","Settings":{"Operation":"AddInstance","OperationDetails":{"Id":"c","CredentialSpec":"{}","Transport":"LRPC"}}}`
	l.want(l.do("HcsModifyServiceSettings", 0, add), ok)
	l.want(l.do("HcsModifyServiceSettings", 0, add), alreadyExists)
	l.want(l.do("HcsGetServiceProperties", 0, `{"PropertyTypes":["ContainerCredentialGuard"]}`), ok, `{"Properties":[{"Instances":[{"Id":"c","CredentialGuard":{"Cookie":"`)
	_, _, a := l.make("HcsCreateComputeSystem", 0, "c", strings.Replace(siloText, `"Container":{`, `"Container":{"ContainerCredentialGuard":{"Cookie":"x"},`, 1))
	l.want(a, notFound)
	remove := strings.Replace(strings.Replace(add, "AddInstance", "RemoveInstance", 1), `,"CredentialSpec":"{}","Transport":"LRPC"`, "", 1)
	l.want(l.do("HcsModifyServiceSettings", 0, remove), ok)
	l.want(l.do("HcsModifyServiceSettings", 0, remove), notFound)
	l.want(l.do("HcsGetServiceProperties", 0, `{"PropertyTypes":["ProcessorTopology"]}`), ok, `"LogicalProcessorCount":2`)
	l.want(l.do("HcsGrantVmAccess", 0, "vm", `C:\nowhere`), fileNotFound)
	l.want(l.do("HcsGrantVmAccess", 0, "vm", `C:\data`), ok)
	l.want(l.do("HcsRevokeVmAccess", 0, "vm", `C:\data`), ok)
	l.want(l.do("HcsRevokeVmAccess", 0, "vm", `C:\data`), notFound)
}

// TestLayers: the order of the layer functions, and what it leaves.
func TestLayers(t *testing.T) {
	l := newLab(t)
	layer := func(hr Result, function string, args ...string) string {
		t.Helper()
		a := l.do(function, 0, append([]string{""}, args...)...)
		l.want(a, hr)
		if a.Value == nil {
			return ""
		}
		return *a.Value
	}
	layer(fileNotFound, "ActivateLayer", `C:\scratch`)
	layer(pathNotFound, "CreateSandboxLayer", `C:\scratch`, "C:\\nowhere\n")
	layer(ok, "CreateSandboxLayer", `C:\scratch`, "C:\\base\n")
	layer(alreadyExists, "CreateSandboxLayer", `C:\scratch`, "C:\\base\n")
	layer(ok, "ActivateLayer", `C:\scratch`)
	layer(alreadyExists, "ActivateLayer", `C:\SCRATCH\`)
	layer(notReady, "GetLayerMountPath", `C:\scratch`)
	layer(ok, "PrepareLayer", `C:\scratch`, "C:\\base\n")
	root := layer(ok, "GetLayerMountPath", `C:\scratch`)
	if !volume.MatchString(root) || layer(ok, "GetLayerMountPath", `C:\scratch`) != root {
		t.Errorf("root %q", root)
	}
	text := strings.Replace(siloText, `\\\\?\\Volume{aaaaaaaa-2222-3333-4444-555555555555}\\`, strings.ReplaceAll(root, `\`, `\\`), 1)
	l.create("c", text)
	layer(busy, "DeactivateLayer", `C:\scratch`)
	layer(ok, "UnprepareLayer", `C:\scratch`)
	_, _, a := l.make("HcsCreateComputeSystem", 0, "c2", text)
	l.want(a, pathNotFound, "not prepared")
	if left := l.s.leftovers(); len(left.Layers) != 1 || left.Layers[0].Path != `C:\scratch` {
		t.Errorf("left %+v", left.Layers)
	}
	layer(ok, "DeactivateLayer", `C:\scratch`)
	layer(deviceNotConnected, "DeactivateLayer", `C:\scratch`)
}
