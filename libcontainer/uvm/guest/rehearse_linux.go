package guest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo"
	"wrun/libcontainer/uvm/wire"
)

// rehearse makes and removes a container that never runs, by the way that the
// host's calls take. What is done for the first time takes longest under
// translation: packages that look at types, the kernel's first cgroup, the
// agent's first pages. In a VM that becomes a template it is done for all that
// are restored from it.
func (a *agent) rehearse() error {
	const id = "rehearsal"
	root := filepath.Join("/run", id)
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(root)
	limit := int64(1 << 20)
	spec := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: root, Readonly: true}, Hostname: id,
		Process: &specs.Process{Args: []string{"/" + id}, Env: []string{"PATH=/bin"}, Cwd: "/", NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}}},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}}},
		Linux: &specs.Linux{
			CgroupsPath:   "/" + id,
			Namespaces:    []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace}},
			Resources:     &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			MaskedPaths:   []string{"/proc/kcore"},
			ReadonlyPaths: []string{"/proc/sys"},
			Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}}},
		},
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	// As the host does it, whose work it is: the agent has to itself for an exec.
	start, _, err := silo.Prepare(silo.Order{ID: id, Spec: spec, Root: root})
	if err != nil {
		return err
	}
	for _, call := range []struct {
		op string
		in any
	}{
		{wire.OpCreate, wire.Create{ID: id, Spec: raw, Start: start}},
		{wire.OpProcesses, wire.Target{ID: id}},
		{wire.OpSignal, wire.Signal{ID: id, Number: 9}},
		{wire.OpWait, wire.Target{ID: id}},
		{wire.OpClose, wire.Target{ID: id}},
	} {
		if err := a.call(call.op, call.in); err != nil {
			return err
		}
	}
	return nil
}

// call has the agent answer as if the host had asked, over pipes.
func (a *agent) call(op string, in any) error {
	here, there, err := pipes()
	if err != nil {
		return err
	}
	host, guest := wire.New(here, nil), wire.New(there, a.do)
	go host.Run()  //nolint:errcheck // ends with the pipe
	go guest.Run() //nolint:errcheck // ends with the pipe
	defer here.close()
	defer there.close()
	return host.Call(context.Background(), op, in, nil)
}

// duplex is two pipes.
type duplex struct{ in, out *os.File }

func pipes() (a, b duplex, err error) {
	r1, w1, err := os.Pipe()
	if err != nil {
		return a, b, err
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		r1.Close()
		w1.Close()
		return a, b, err
	}
	return duplex{r1, w2}, duplex{r2, w1}, nil
}

func (d duplex) Read(p []byte) (int, error)  { return d.in.Read(p) }
func (d duplex) Write(p []byte) (int, error) { return d.out.Write(p) }
func (d duplex) close() {
	d.in.Close()
	d.out.Close()
}
