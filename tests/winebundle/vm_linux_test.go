package winebundle

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/uvm/boot"
)

const (
	podRole = "io.kubernetes.cri.container-type"
	podID   = "io.kubernetes.cri.sandbox-id"
)

// TestIsolatedInVM is TestIsolated and TestShared for Hyper-V isolation, with two
// VMs for all of it: one asks for nothing, the other for what there is.
func TestIsolatedInVM(t *testing.T) {
	plain, asking := newRig(t, `C:\probe.exe`, "wait"), newRig(t, `C:\probe.exe`, "wait")
	image := boot.Build(t).Image
	plain.hyperv(image)
	plain.spec.Process.Args = append(plain.spec.Process.Args, plain.id)
	plain.spec.Annotations = map[string]string{podRole: "sandbox", podID: plain.id}
	asking.hyperv(image)
	shared := filepath.Join(asking.dir, "shared")
	asking.must(os.Mkdir(shared, 0o755))
	for _, name := range []string{"in", "file"} {
		asking.must(os.WriteFile(filepath.Join(shared, name), []byte(name+" of the host\n"), 0o644))
	}
	asking.spec.Mounts = []specs.Mount{
		{Source: shared, Destination: `C:\Shared`},
		{Source: filepath.Join(shared, "file"), Destination: `C:\host.txt`, Options: []string{"ro"}},
		{Source: answering(asking), Destination: `\\.\pipe\wrun pipe`},
	}
	outside := cable(t, asking)
	plain.live("ready\n")
	asking.live("ready\n")
	// says runs a further program and compares what it prints.
	says := func(t *testing.T, r *rig, want string, args ...string) {
		t.Helper()
		if res := r.wrun(append([]string{"exec", r.id}, args...)...); unix(res.Stdout) != want {
			t.Errorf("%q: %+v, want %q", args, res, want)
		}
	}
	// keep has one go on running, and waits for its first word.
	keep := func(r *rig, name, want string, args ...string) {
		r.Helper()
		out, err := os.Create(filepath.Join(r.dir, name))
		r.must(err)
		defer out.Close()
		cmd := r.Command(t.Context(), append([]string{"exec", "--detach", r.id, `C:\probe.exe`}, args...)...)
		cmd.Stdout = out
		r.must(cmd.Run())
		r.until(out.Name(), want+"\n")
	}
	t.Run("process ids", func(t *testing.T) {
		for _, r := range []*rig{plain, asking} {
			says(t, r, "2\n", `C:\probe.exe`, "processes", "probe.exe") // itself and the first
		}
	})
	t.Run("addresses that leave Wine its page", func(t *testing.T) {
		says(t, plain, "00040000\n", "cmd", "/c", "type "+personality)
	})
	t.Run("processes are none of the host's", func(t *testing.T) {
		control := newRig(plain.T, `C:\probe.exe`, "wait")
		control.spec.Process.Args = append(control.spec.Process.Args, control.id)
		control.live("ready\n")
		out, err := exec.CommandContext(t.Context(), "ps", "-e", "-ww", "-o", "args=").Output()
		if err != nil || !strings.Contains(string(out), `probe.exe wait `+control.id+"\n") {
			t.Errorf("ps: %v, and no program of a silo in %s", err, out)
		}
		if strings.Contains(string(out), `probe.exe wait `+plain.id+"\n") {
			t.Errorf("on the host there is the VM's program: %s", out)
		}
	})
	t.Run("registry", func(t *testing.T) {
		says(t, plain, "written\nmine\n", "cmd", "/c", `C:\probe.exe regset wrun\vm mine & C:\probe.exe regget wrun\vm`)
		says(t, asking, "absent\n", `C:\probe.exe`, "regget", `wrun\vm`)
	})
	t.Run("files", func(t *testing.T) {
		says(t, plain, "written\n", `C:\probe.exe`, "write", `C:\mine`, "x")
		says(t, asking, "open: error 2\n", `C:\probe.exe`, "open", `C:\mine`)
		if _, err := os.Stat(filepath.Join(plain.dir, "scratch", "Files", "mine")); err != nil {
			t.Errorf("not in the scratch: %v", err)
		}
	})
	for _, object := range []string{"mutex", "event", "section"} {
		t.Run(object, func(t *testing.T) {
			keep(plain, object, "made", object, `Global\vm-`+object)
			keep(asking, object, "made", object, `Global\vm-`+object)
			keep(plain, object+"2", "there already", object, `Global\vm-`+object)
		})
	}
	t.Run("ports", func(t *testing.T) {
		keep(plain, "port", "listening", "listen", "8080")
		keep(asking, "port", "listening", "listen", "8080")
	})
	t.Run("folder and file", func(t *testing.T) {
		says(t, asking, "in of the host\nwritten\nfile of the host\nwrite: error 5\n", "cmd", "/c",
			`type C:\Shared\in & C:\probe.exe write C:\shared\out x & type C:\host.txt & C:\probe.exe write C:\host.txt x`)
		says(t, plain, "open: error 3\nopen: error 2\n", `C:\probe.exe`, "open", `C:\Shared\in`, `C:\host.txt`)
		if data, err := os.ReadFile(filepath.Join(shared, "out")); err != nil || string(data) != "x" {
			t.Errorf("on the host: %q, %v", data, err)
		}
	})
	t.Run("port from a network that was given", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", outside, "busybox", "nc", "10.89.48.2", "8080").CombinedOutput()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("%q, %v", out, err)
		}
		says(t, plain, "connect: error 10051\n", `C:\probe.exe`, "connect", "8080", "10.89.48.2")
	})
	t.Run("network namespace of another", func(t *testing.T) {
		keep(plain, "second", "listening", "listen", "8081")
		var state specs.State
		plain.must(json.Unmarshal([]byte(plain.good("state", plain.id)), &state))
		joins := newRig(plain.T, `C:\probe.exe`, "connect", "8081") // its cleanup would delete the pod
		joins.T = t
		joins.hyperv(image)
		joins.Root = plain.Root // where the pod is
		joins.spec.Annotations = map[string]string{podRole: "container", podID: plain.id}
		joins.spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: fmt.Sprintf("/proc/%d/ns/net", state.Pid)}
		joins.says("hello\n", 0)
		says(t, asking, "connect: error 10061\n", `C:\probe.exe`, "connect", "8081")
	})
	t.Run("pipe", func(t *testing.T) {
		for range 2 {
			says(t, asking, "heard grüße\n", `C:\probe.exe`, "talk", "wrun pipe", "grüße")
		}
		says(t, plain, "open the pipe: error 2\n", `C:\probe.exe`, "talk", "wrun pipe", "grüße")
	})
}

// cable gives a bundle a network namespace with an interface, and answers the name
// of the namespace where its other end is.
func cable(t *testing.T, r *rig) string {
	t.Helper()
	given, outside := r.id, r.id+"-out"
	t.Cleanup(func() {
		for _, name := range []string{given, outside} {
			if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
				t.Errorf("delete the network namespace %s: %v: %s", name, err, out)
			}
		}
	})
	for _, call := range []string{
		"netns add " + given, "netns add " + outside,
		"-n " + outside + " link add veth0 type veth peer name eth0 netns " + given,
		"-n " + outside + " address add 10.89.48.1/24 dev veth0", "-n " + outside + " link set veth0 up",
		"-n " + given + " address add 10.89.48.2/24 dev eth0", "-n " + given + " link set eth0 up", "-n " + given + " link set lo up",
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(call)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", call, err, out)
		}
	}
	r.spec.Windows.Network = &specs.WindowsNetwork{NetworkNamespace: "/run/netns/" + given}
	return outside
}

// TestPortInSilo: a port of a silo is reached through the network it was given.
func TestPortInSilo(t *testing.T) {
	r := newRig(t, `C:\probe.exe`, "listen", "8080")
	outside := cable(t, r)
	r.live("listening\n")
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", outside, "busybox", "nc", "10.89.48.2", "8080").CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	none := newRig(t, `C:\probe.exe`, "connect", "8080", "10.89.48.2")
	none.says("connect: error 10051\n", 1)
}

// TestPing: a program without privileges can ping, in a silo and in a VM.
func TestPing(t *testing.T) {
	r := newRig(t, "ping", "-n", "1", "localhost")
	for _, user := range []string{"ContainerAdministrator", "ContainerUser"} {
		r.spec.Process.User.Username = user
		if out, res := r.run(); res.Code != 0 || !strings.Contains(out, "Reply from 127.0.0.1") {
			t.Errorf("%s: %q, %+v", user, out, res)
		}
	}
	r.hyperv(boot.Build(t).Image)
	if out, res := r.run(); res.Code != 0 || !strings.Contains(out, "Reply from 127.0.0.1") {
		t.Errorf("in a VM: %q, %+v", out, res)
	}
}
