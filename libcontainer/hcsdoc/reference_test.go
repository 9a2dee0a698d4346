package hcsdoc

import (
	"encoding/json"
	"reflect"
	"slices"
	"sort"
	"testing"
)

// The documents that Microsoft's shim was measured to send for the same wishes,
// with wrun's values where a value is the caller's choice.
const (
	shimSilo = `{"Owner":"wrun","SchemaVersion":{"Major":2,"Minor":1},"ShouldTerminateOnLastHandleClosed":true,
	 "Container":{"GuestOs":{"HostName":"h"},
	  "Storage":{"Layers":[{"Id":"1a2b3c4d-0000-5000-8000-000000000002","Path":"C:\\layers\\app"},{"Id":"1a2b3c4d-0000-5000-8000-000000000001","Path":"C:\\layers\\base"}],
	   "Path":"\\\\?\\Volume{ec84d99e-3f02-11e7-ac6c-00155d7682cf}\\","QoS":{"IopsMaximum":100,"BandwidthMaximum":2000}},
	  "MappedDirectories":[{"HostPath":"C:\\data","ContainerPath":"C:\\m","ReadOnly":true}],
	  "MappedPipes":[{"HostPath":"\\\\.\\pipe\\p","ContainerPipeName":"q"}],
	  "Memory":{"SizeInMB":200},"Processor":{"Maximum":5000},
	  "Networking":{"Namespace":"168f3daf-efc6-4377-b20a-2c86764ba892","AllowUnqualifiedDnsQuery":true,"DnsSearchList":"a.b,c.d"},
	  "RegistryChanges":{"AddValues":[{"Key":{"Hive":"System","Name":"ControlSet001\\Control"},"Name":"WaitToKillServiceTimeout","Type":"String","StringValue":"2147483647"}]}}}`
	shimVM = `{"Owner":"wrun","SchemaVersion":{"Major":2,"Minor":1},"ShouldTerminateOnLastHandleClosed":true,"VirtualMachine":{"StopOnReset":true,
	 "Chipset":{"Uefi":{"BootThis":{"DeviceType":"VmbFs","DevicePath":"\\EFI\\Microsoft\\Boot\\bootmgfw.efi"}}},
	 "ComputeTopology":{"Memory":{"SizeInMB":1024,"AllowOvercommit":true,"EnableHotHint":true},"Processor":{"Count":2}},
	 "Devices":{"Scsi":{"df6d0690-79e5-55b6-a5ec-c1e2f77f580a":{"Attachments":{"0":{"Type":"VirtualDisk","Path":"C:\\scratch\\c1\\vm\\sandbox.vhdx"}}}},
	  "HvSocket":{"HvSocketConfig":{"DefaultBindSecurityDescriptor":"D:P(A;;FA;;;SY)(A;;FA;;;BA)","ServiceTable":{"172dad59-976d-45f2-8b6c-6d1b13f2ac4d":{"AllowWildcardBinds":true,"BindSecurityDescriptor":"D:P(A;;FA;;;SY)(A;;FA;;;BA)","ConnectSecurityDescriptor":"D:P(A;;FA;;;SY)(A;;FA;;;BA)"}}}},
	  "VirtualSmb":{"DirectFileMappingInMB":1024,"Shares":[{"Name":"os","Path":"C:\\layers\\base\\UtilityVM\\Files","Options":{"ReadOnly":true,"ShareRead":true,"CacheIo":true,"TakeBackupPrivilege":true,"PseudoOplocks":true}}]}},
	 "RegistryChanges":{"AddValues":[{"Key":{"Hive":"System","Name":"CurrentControlSet\\Services\\gns"},"Name":"EnableCompartmentNamespace","Type":"DWord","DWordValue":1}]}}}`
	shimLinuxVM = `{"Owner":"wrun","SchemaVersion":{"Major":2,"Minor":1},"ShouldTerminateOnLastHandleClosed":true,"VirtualMachine":{"StopOnReset":true,
	 "Chipset":{"LinuxKernelDirect":{"KernelFilePath":"C:\\Program Files\\Linux Containers\\vmlinux","InitRdPath":"C:\\Program Files\\Linux Containers\\initrd.img","KernelCmdLine":" initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 -- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info"}},
	 "ComputeTopology":{"Memory":{"SizeInMB":1024,"AllowOvercommit":true},"Processor":{"Count":2}},
	 "Devices":{"Scsi":{"df6d0690-79e5-55b6-a5ec-c1e2f77f580a":{}},"VirtualPMem":{"MaximumCount":64,"MaximumSizeBytes":4294967296},"HvSocket":{"HvSocketConfig":{"DefaultBindSecurityDescriptor":"D:P(A;;FA;;;SY)(A;;FA;;;BA)"}},"Plan9":{}}}}`
)

// TestAgainstShim: the same structure, but for the differences listed, each of
// which is meant.
func TestAgainstShim(t *testing.T) {
	const (
		outlives = "ShouldTerminateOnLastHandleClosed"                           // of handles: commands are processes
		owned    = "VirtualMachine.GuestConnection"                              // by HCS, the shim speaks to the guest itself
		noLog    = "VirtualMachine.Devices.HvSocket.HvSocketConfig.ServiceTable" // the guest's log is not forwarded
		noPorts  = "VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine"      // nobody listens to the guest's log and entropy ports
	)
	full := silo()
	all(full)
	for _, c := range []struct {
		name string
		make func(*Input) ([]byte, error)
		in   *Input
		shim string
		want []string
	}{
		{"silo", Silo, full, shimSilo, []string{outlives}},
		{"utility VM", UtilityVM, hyperv(), shimVM, []string{outlives, noLog, owned}},
		{"Linux utility VM", LinuxUtilityVM, linux(), shimLinuxVM, []string{outlives, noPorts, owned}},
	} {
		doc, err := c.make(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var ours, theirs any
		if err := json.Unmarshal(doc, &ours); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.shim), &theirs); err != nil {
			t.Fatal(err)
		}
		got := differences("", ours, theirs)
		sort.Strings(got)
		sort.Strings(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s differs in %q, want %q", c.name, got, c.want)
		}
	}
}

// differences are the paths at which a and b are not the same.
func differences(at string, a, b any) []string {
	x, ok := a.(map[string]any)
	y, ok2 := b.(map[string]any)
	if !ok || !ok2 {
		if reflect.DeepEqual(a, b) {
			return nil
		}
		return []string{at}
	}
	var list []string
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	for k := range keys {
		path := k
		if at != "" {
			path = at + "." + k
		}
		list = append(list, differences(path, x[k], y[k])...)
	}
	return list
}
