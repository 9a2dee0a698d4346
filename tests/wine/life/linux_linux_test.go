package life

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestLinux: a Linux bundle runs in a utility VM with a Linux kernel, and the
// guest's agent gets the OCI specification itself.
func TestLinux(t *testing.T) {
	x := site.New(t)
	b := x.LinuxBundle("sh", "-c", "echo from the guest; sleep 1000")
	out := b.Started()
	x.Until("it says something", func() bool { return strings.Contains(out.Later(), "from the guest") })
	vm := x.Document(x.Journal(x.ID+"@vm"), "HcsCreateComputeSystem")
	if kernel := x.Field(vm, "VirtualMachine.Chipset.LinuxKernelDirect"); kernel == nil {
		x.Errorf("the VM's document: %s", vm)
	}
	if process := x.Text(x.Field(x.SystemDocument(), "HostedSystem.OciSpecification.process.args")); !strings.Contains(process, "from the guest") {
		x.Errorf("the container's document: %s", x.SystemDocument())
	}
	x.Equal("exec", x.OK("exec", x.ID, "echo", "more").Stdout, "more\n")
	x.OK("kill", x.ID, "SIGKILL")
	x.Becomes(x.ID, specs.StateStopped)
	x.OK("delete", x.ID)
}
