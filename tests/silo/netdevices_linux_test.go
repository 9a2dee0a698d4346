package silo

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ownNetwork gives this test, and every wrun it calls, a network namespace of
// its own with a tap device t0 in it.
func (r *rig) ownNetwork() {
	r.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		r.Skip("no ip (iproute2)")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	r.must(unix.Unshare(unix.CLONE_NEWNET))
	for _, args := range []string{
		"tuntap add dev t0 mode tap", "link set t0 mtu 1400 address 02:00:00:00:00:01",
		"addr add 10.5.0.2/24 dev t0", "addr add 127.0.0.33 dev t0 scope host", "addr add fd00::5/64 dev t0 nodad",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			r.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
}

// TestNetDevices: a device of the host moves into the container with its MTU,
// hardware address and addresses of global scope, under a name of its own.
func TestNetDevices(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*rig)
	}{
		{"new namespace", func(*rig) {}},
		{"user namespace", func(r *rig) { r.mapped() }},
		{"with a hook", func(r *rig) {
			r.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh("ip addr show dev eth7; ip link show t0 2>&1 | grep -c find")...)
			r.ownNetwork()
			r.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"t0": {Name: "eth7"}}
			c.edit(r)
			out := r.output()
			for _, want := range []string{"UP", "mtu 1400 ", "02:00:00:00:00:01", "inet 10.5.0.2/24 ", "inet6 fd00::5/64 ", "\n1\n"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(out, "127.0.0.33") {
				t.Errorf("an address of the host's scope came along:\n%s", out)
			}
		})
	}
}

func TestNetDevicesRefused(t *testing.T) {
	r := newRig(t, "true")
	r.ownNetwork()
	r.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"nosuch": {}}
	r.refused("linux.netDevices: find network device nosuch: no such device")
}

// TestNetDeviceStays: one that cannot move, or whose container comes to nothing
// afterwards, is where it was and as it was.
func TestNetDeviceStays(t *testing.T) {
	for _, c := range []struct {
		name, text string
		edit       func(*rig)
	}{
		{"a name that is taken", "linux.netDevices: move network device t0 to the container as lo: file exists", func(r *rig) {
			r.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"t0": {Name: "lo"}}
		}},
		{"another one that is not there", "find network device zz: no such device", func(r *rig) {
			r.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"t0": {Name: "eth7"}, "zz": {}}
		}},
		{"a hook that fails", "hook", func(r *rig) {
			r.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"t0": {Name: "eth7"}}
			r.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/false"}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			r.ownNetwork()
			r.must(exec.Command("ip", "link", "set", "t0", "up").Run())
			c.edit(r)
			r.refused(c.text)
			out, err := exec.Command("ip", "addr", "show", "dev", "t0").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range []string{",UP", "mtu 1400 ", "inet 10.5.0.2/24 ", "inet6 fd00::5/64 "} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}
