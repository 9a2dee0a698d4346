package uvm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// pod is a sandbox and containers in its VM, all of the rig's root file system.
type pod struct {
	*rig
	members int
}

// newPod starts a sandbox that does nothing.
func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{rig: newRig(t, "sleep", "1000")}
	p.spec.Annotations = map[string]string{"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": p.id}
	p.start()
	return p
}

// member saves a bundle for a container of the pod, in the namespaces that a CRI
// engine gives it, and returns its id.
func (p *pod) member(args ...string) string {
	p.Helper()
	p.members++
	id := fmt.Sprintf("%s-m%d", p.id, p.members)
	p.spec.Annotations["io.kubernetes.cri.container-type"] = "container"
	p.spec.Process.Args = args
	p.spec.Linux.CgroupsPath = "/" + id
	for i := range p.spec.Linux.Namespaces {
		switch n := &p.spec.Linux.Namespaces[i]; n.Type {
		case specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace:
			n.Path = fmt.Sprintf("/proc/%d/ns/%s", os.Getpid(), n.Type) // whose it is on the host says nothing
		}
	}
	p.save()
	return id
}

func TestPod(t *testing.T) {
	p := newPod(t)
	kernel := p.inside("cat /proc/sys/kernel/random/boot_id")
	pids := map[int]bool{p.state(p.id).Pid: true}
	var ids []string
	for i := range 3 {
		id := p.member(sh(fmt.Sprintf("echo $(hostname) $(cat /proc/sys/kernel/random/boot_id) >/root/%d; exec sleep 1000", i))...)
		begun := time.Now()
		p.ok("create", id)
		p.ok("start", id)
		t.Logf("container %d of the pod: %v", i+1, time.Since(begun).Round(time.Millisecond))
		ids = append(ids, id)
		if pid := p.state(id).Pid; pids[pid] || pid == 0 {
			t.Errorf("container %s has the pid %d, another one's", id, pid)
		} else {
			pids[pid] = true
		}
		want := "inside " + kernel + "\n"
		p.until("its first words", func() bool {
			said, err := os.ReadFile(fmt.Sprintf("%s/root/%d", p.rootfs, i))
			return err == nil && string(said) == want
		})
	}
	// One is paused, killed, deleted; the others do not notice.
	p.ok("pause", ids[0])
	for i, want := range []specs.ContainerState{"paused", specs.StateRunning, specs.StateRunning} {
		if got := p.state(ids[i]).Status; got != want {
			t.Errorf("container %d is %s, want %s", i, got, want)
		}
	}
	p.ok("resume", ids[0])
	if out := p.ok("exec", ids[1], "echo", "in it"); out != "in it\n" {
		t.Errorf("exec: %q", out)
	}
	if out := p.ok("ps", ids[1]); !strings.Contains(out, "sleep 1000") || strings.Count(out, "\n") != 2 {
		t.Errorf("ps: %s", out)
	}
	p.ok("kill", ids[0], "KILL")
	p.until("the end of the killed", func() bool { return p.state(ids[0]).Status == specs.StateStopped })
	p.ok("delete", ids[0])
	p.ok("delete", "--force", ids[1])
	again := p.member("true")
	p.ok("run", again)
	if got := p.state(ids[2]).Status; got != specs.StateRunning {
		t.Errorf("the third container is %s", got)
	}
	// The VM's end is everybody's.
	p.ok("kill", p.id, "KILL")
	p.until("the end of the pod", func() bool { return p.state(ids[2]).Status == specs.StateStopped && p.stopped() })
	p.ok("delete", ids[2])
}

func TestPodExitCodes(t *testing.T) {
	p := newPod(t)
	for _, code := range []int{0, 7, 255} {
		if res := p.wrun("run", p.member(sh(fmt.Sprintf("echo out; echo err >&2; exit %d", code))...)); res.code != code || res.out != "out\n" || res.err != "err\n" {
			t.Errorf("exit %d: %s", code, res)
		}
	}
	if res := p.wrun("run", p.member("nosuchcmd")); res.code != 1 || !strings.Contains(res.err, "executable file not found") {
		t.Errorf("a program that is not there: %s", res)
	}
}

// TestPodMemberDies kills a member's monitor: the member goes with it.
func TestPodMemberDies(t *testing.T) {
	p := newPod(t)
	id := p.member("sleep", "1234")
	p.ok("create", id)
	p.ok("start", id)
	proc, err := os.FindProcess(p.state(id).Pid)
	p.must(err)
	p.must(proc.Kill())
	p.until("stopped", func() bool { return p.state(id).Status == specs.StateStopped })
	p.until("its program is gone", func() bool { return !strings.Contains(p.inside("ps"), "sleep 1234") })
	p.ok("delete", id)
}

func TestPodRefusals(t *testing.T) {
	p := newPod(t)
	id := p.member("true")
	p.spec.Annotations["io.kubernetes.cri.sandbox-id"] = "nobody"
	p.save()
	if res := p.wrun("create", id); res.code != 1 || !strings.Contains(res.err, "join the utility VM of container nobody") || !strings.Contains(res.err, "start the sandbox first") {
		t.Errorf("a sandbox that is not there: %s", res)
	}
	p.spec.Annotations["io.kubernetes.cri.sandbox-id"] = "../x"
	p.save()
	if res := p.wrun("create", id); res.code != 1 || !strings.Contains(res.err, "is no container id") {
		t.Errorf("a sandbox elsewhere: %s", res)
	}
	p.spec.Annotations["io.kubernetes.cri.container-type"] = "sandbox"
	p.save()
	if res := p.wrun("create", id); res.code != 1 {
		t.Errorf("a sandbox of another name: %s", res)
	}
}
