package hcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
)

// Host is this Windows machine.
type Host struct{}

// New returns the host. It holds no state and asks nothing yet.
func New() *Host {
	quiet()
	return &Host{}
}

// quiet keeps hcsshim from writing log lines of its own to the streams of wrun
// or, in a monitor, of the container. What it has to say is in its errors.
func quiet() { logrus.SetOutput(io.Discard) }

// Open finds a container by its handle. Whether its compute system is still
// there says Live.
func (*Host) Open(_ context.Context, raw libcontainer.Handle) (libcontainer.System, error) {
	if len(raw) == 0 {
		return nil, libcontainer.ErrNotFound // its creator died before it made anything
	}
	h, err := decodeHandle(raw)
	if err != nil {
		return nil, err
	}
	return &system{h: h}, h.catchUp()
}

// catchUp completes a handle that was recorded before the last one: what the
// container's making left in its directory says how far it came.
func (h *handle) catchUp() error {
	if h.Gate == nil || h.Gate.Pid == 0 {
		gate := new(monitor)
		found, err := readRecord(h.Dir, gateFile, gate)
		if err != nil && !errors.Is(err, errDamaged) {
			return err
		}
		if found {
			h.Gate = gate
		}
	}
	_, err := os.Stat(filepath.Join(h.Dir, documentFile))
	h.Made = err == nil
	return nil
}

// Create builds the container: its network and its file system where the
// bundle brought none, its utility VM where it needs one, the monitor, the
// compute system. The system is started by Start.
func (*Host) Create(ctx context.Context, c *libcontainer.Config, streams libcontainer.Stdio) (_ libcontainer.System, err error) {
	b := &birth{config: c, io: streams, in: newInput(c)}
	if err := b.decide(); err != nil {
		return nil, err
	}
	b.system = &system{h: b.h}
	defer func() {
		if err != nil {
			err = hinted(err)
			b.monitor.stop() // it does not listen yet
			if b.announced {
				if left := b.system.Close(context.WithoutCancel(ctx)); left != nil {
					err = fmt.Errorf("%w; %w: %w", err, libcontainer.ErrLeft, left)
				}
			}
		}
	}()
	for _, step := range []func(context.Context) error{b.summon, b.free, b.network, b.credential, b.machine, b.storage, b.attend, b.make} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if c.Namespaces != nil {
		// No hook can run inside: the system is not started yet, and config.md
		// has createContainer hooks run before the root is switched, which no
		// Windows container does.
		if err := c.Namespaces(ctx, b.system.Pid(), nil); err != nil {
			return nil, err
		}
	}
	return b.system, nil
}

// birth is one Create in progress.
type birth struct {
	config    *libcontainer.Config
	io        libcontainer.Stdio
	choice    hcsdoc.Choice
	in        *hcsdoc.Input
	h         *handle
	system    *system
	monitor   *launching // nil when it listens
	announced bool       // something was recorded, and perhaps made
	document  []byte
}

func newInput(c *libcontainer.Config) *hcsdoc.Input {
	return &hcsdoc.Input{ID: c.ID, Owner: c.Owner, Spec: c.Spec, CPUs: runtime.NumCPU(), ConsolePipe: c.VMConsole}
}

// record announces a side effect, and the monitor, once Windows has made its
// process: one whose creator dies before that would be nobody's.
func (b *birth) record() error {
	if b.monitor != nil {
		m, err := b.monitor.wait()
		if err != nil {
			return err
		}
		b.h.Gate.Pid, b.h.Gate.Created = m.process.Pid, m.created
	}
	b.announced = true
	return b.config.Record(b.h.encode())
}

// decide chooses the documents and refuses what they cannot say, before
// anything happens.
func (b *birth) decide() error {
	c := b.config
	host := Version()
	b.in.Build = host.Build
	choice, _, err := hcsdoc.Choose(c.Spec, c.Isolation.OS, c.Isolation.Kind == libcontainer.UVM)
	if err != nil {
		return err
	}
	if c.VM != "" && choice == hcsdoc.ChoiceSilo {
		return fmt.Errorf("container %s cannot join the utility VM of %s: it has process isolation (%s)", c.ID, c.VM, c.Isolation.Reason)
	}
	if c.VM != "" && choice == hcsdoc.ChoiceSingle {
		choice = hcsdoc.ChoiceVM // only containers of schema v2 share a VM
	}
	if c.VMLog != "" {
		c.Warn("--vm-log %s: has no effect, no process of wrun's serves a utility VM", c.VMLog)
	}
	b.choice = choice
	b.h = &handle{Dir: c.Dir, System: c.ID, API: apiV2, OS: c.Isolation.OS, Silo: choice == hcsdoc.ChoiceSilo}
	if choice == hcsdoc.ChoiceSingle {
		b.h.API = apiV1
	}
	if err := b.layers(); err != nil {
		return err
	}
	if c.Isolation.OS == "windows" {
		if err := checkVersion(host, b.in.Layers, c.Isolation.Kind == libcontainer.UVM); err != nil {
			return err
		}
	}
	if err := b.sources(); err != nil {
		return err
	}
	if err := b.rehearse(); err != nil {
		return err
	}
	for _, n := range hcsdoc.Notes(c.Spec, choice) {
		c.Warn("%s", n)
	}
	return b.process()
}

// sources looks at what the mounts are of: a utility VM gets files otherwise
// than folders, and the service does not find a silo's through links.
func (b *birth) sources() error {
	b.in.Files, b.in.Resolved = map[string]bool{}, map[string]string{}
	for i := range b.config.Spec.Mounts {
		source := b.config.Spec.Mounts[i].Source
		if vol := filepath.VolumeName(source); len(vol) != 2 {
			continue // a pipe, a device, or a thing of the utility VM's
		}
		st, err := os.Stat(source)
		if err != nil {
			return fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		if st.Mode().IsRegular() {
			b.in.Files[source] = true
		}
		if real, err := filepath.EvalSymlinks(source); err == nil {
			b.in.Resolved[source] = real
		}
	}
	return nil
}

// rehearse renders the documents with any values for what only the making
// gives them, so that what they cannot say is an error before anything happens.
func (b *birth) rehearse() error {
	in := *b.in
	in.Root, in.Host = anyVolume, machineName(in.ID)
	if b.choice == hcsdoc.ChoiceVM || b.choice == hcsdoc.ChoiceLinuxVM {
		in.Root = ""
	}
	if w := in.Spec.Windows; w.Network != nil && w.Network.NetworkNamespace == "" && len(w.Network.EndpointList) > 0 {
		in.Namespace = "00000000-0000-0000-0000-000000000000"
	}
	if spec, err := hcsdoc.CredentialSpec(in.Spec); err != nil {
		return err
	} else if spec != "" {
		in.Credential = json.RawMessage("{}")
	}
	if _, err := hcsdoc.Affinity(&in); err != nil {
		return err
	}
	rehearsal := *b
	rehearsal.in = &in
	if _, err := rehearsal.render(); err != nil {
		return err
	}
	if b.choice != hcsdoc.ChoiceVM && b.choice != hcsdoc.ChoiceLinuxVM {
		return nil
	}
	rehearsal.h = &handle{OS: b.h.OS, VM: &machine{}}
	_, err := rehearsal.machineDocument()
	return err
}

const anyVolume = `\\?\Volume{00000000-0000-0000-0000-000000000000}\`

// process writes the parameters of the init process, which the monitor will
// hand to the service. A container may be created without one.
func (b *birth) process() error {
	p := b.config.Spec.Process
	if p == nil {
		p = &specs.Process{}
	}
	streams := streamsFor(b.io, p.Terminal)
	var err error
	if b.h.OS == "linux" {
		b.document, err = hcsdoc.LinuxProcess(p, streams, true)
	} else if b.config.Spec.Process != nil {
		b.document, err = hcsdoc.Process(p, streams)
	}
	return err
}

// free makes sure that the name is: a system of that name is somebody's, and a
// record of ours that named it would have delete end it.
func (b *birth) free(ctx context.Context) error {
	found, err := find(ctx, serviceFor(b.h.API), b.h.System)
	if err != nil {
		return err
	}
	if found != nil {
		err := fmt.Errorf("creating container %s: the host compute service has a system of that name already, owned by %q, state %s", b.h.System, found.Owner, found.State)
		return libcontainer.WithHint(err, "end it with hcsdiag kill, or choose another id")
	}
	return nil
}

// summon starts the monitor, which comes to life beside the steps that follow:
// to make a process and let it get ready takes Windows longer than all of them.
// It is not recorded yet, because a record has to be enough to undo everything
// that is made later: a monitor whose creator dies now ends by itself.
func (b *birth) summon(context.Context) error {
	name, err := unique()
	if err != nil {
		return fmt.Errorf("naming the monitor's pipe: %w", err)
	}
	b.h.Gate = &monitor{Pipe: pipeName(name)}
	o := order{System: b.h.System, API: b.h.API, OS: b.h.OS, Pipe: b.h.Gate.Pipe,
		Process: json.RawMessage(b.document), Program: programName(b.config.Spec.Process), Log: b.config.MonitorLog}
	if err := writeRecord(b.config.Dir, orderFile, o); err != nil {
		return err
	}
	b.monitor = launchAside(filepath.Join(b.config.Dir, orderFile), b.io)
	return nil
}

// attend waits until the monitor listens.
func (b *birth) attend(ctx context.Context) error {
	m, err := b.monitor.wait()
	if err != nil {
		return err
	}
	if !b.announced {
		if err := b.record(); err != nil {
			return err
		}
	}
	if err := m.ready(ctx); err != nil {
		return err
	}
	b.monitor = nil
	return nil
}

// make has the monitor create the compute system: it is the one that keeps it
// open, and so sees its end.
func (b *birth) make(ctx context.Context) error {
	document, err := b.render()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.config.Dir, documentFile), document, 0o600); err != nil {
		return fmt.Errorf("writing the document of container %s: %w", b.h.System, err)
	}
	b.h.Made = true
	r := request{Op: opCreate}
	if b.h.VM != nil && b.h.VM.Owned {
		r.VM = b.h.VM.System
	}
	err = ask(ctx, b.h.Gate.Pipe, r)
	if errors.Is(err, computecore.ErrSystemAlreadyExists) {
		b.h.Made = false // somebody was faster since free looked: it is not ours to end
	}
	if err != nil {
		return err
	}
	return b.pin()
}

func (b *birth) render() ([]byte, error) {
	switch b.choice {
	case hcsdoc.ChoiceSilo:
		return hcsdoc.Silo(b.in)
	case hcsdoc.ChoiceSingle:
		return hcsdoc.SingleHyperV(b.in)
	}
	if b.h.OS == "linux" {
		return hcsdoc.HostedLinux(b.in)
	}
	return hcsdoc.Hosted(b.in)
}

// programName is what messages call a process.
func programName(p *specs.Process) string {
	switch {
	case p == nil:
		return ""
	case p.CommandLine != "":
		return p.CommandLine
	case len(p.Args) > 0:
		return p.Args[0]
	}
	return ""
}
