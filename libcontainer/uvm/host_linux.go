package uvm

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
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/procstat"
	"wrun/libcontainer/rootfs"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/uvm/wire"
)

// createWait bounds what a creator waits for its monitor: for another one's
// template, for its own, for the VM and for the container, each in bootWait.
const createWait = 5 * bootWait

// Host is Hyper-V isolation on this Linux machine.
type Host struct{ prepare Prepare }

// New returns the host, which has p work out what it starts. It holds no state and
// asks nothing yet.
func New(p Prepare) *Host { return &Host{prepare: p} }

// Open finds a container by its handle.
func (*Host) Open(_ context.Context, raw libcontainer.Handle) (libcontainer.System, error) {
	if len(raw) == 0 {
		return nil, libcontainer.ErrNotFound // its creator died before it made anything
	}
	h, err := decodeHandle(raw)
	if err != nil {
		return nil, err
	}
	return &system{h: h}, nil
}

// Create boots the VM and has its agent make the container.
func (o *Host) Create(ctx context.Context, c *libcontainer.Config, stdio libcontainer.Stdio) (_ libcontainer.System, err error) {
	b := &birth{host: o, config: c, stdio: stdio, link: -1, system: &system{h: &handle{ID: c.ID, Dir: c.Dir}}}
	if err := b.plan(); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		b.closeLink()
		if !b.made {
			return
		}
		if left := b.system.Close(context.WithoutCancel(ctx)); left != nil {
			err = fmt.Errorf("%w; %w: %w", err, libcontainer.ErrLeft, left)
		}
	}()
	for _, step := range []func(context.Context) error{b.group, b.launch, b.hooks, b.finish} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	b.system.link = b.link
	return b.system, nil
}

// birth is one Create in progress.
type birth struct {
	host   *Host
	config *libcontainer.Config
	stdio  libcontainer.Stdio
	order  order
	system *system
	layout *cgroup.Layout
	link   link // to the monitor
	made   bool // something was recorded, and perhaps made
}

func (b *birth) closeLink() {
	if b.link >= 0 {
		b.link.close()
		b.link = -1
	}
}

// plan decides all that can be decided, and refuses what cannot be, before
// anything happens.
func (b *birth) plan() error {
	c := b.config
	if os.Geteuid() != 0 {
		return errors.New("Hyper-V isolation on linux needs root: it makes cgroups, mounts and namespaces for the utility VM")
	}
	if b.stdio.PreserveFDs > 0 || b.stdio.ListenFDs > 0 {
		return errNoDescriptors
	}
	sandbox, err := sandboxOf(c)
	if err != nil {
		return err
	}
	t, err := translate(c.Spec, c.ID, sandbox != "")
	if err != nil {
		return err
	}
	for _, w := range t.warnings {
		c.Warn("%s", w)
	}
	spec, err := completed(t.spec, c.Spec.Root.Path)
	if err != nil {
		return err
	}
	b.order = order{ID: c.ID, Dir: c.Dir, Spec: spec, Shares: t.shares,
		Terminal: b.stdio.Console != nil, NoNewKeyring: c.NoNewKeyring, Sandbox: sandbox}
	if err := b.prepare(t.spec); err != nil {
		return err
	}
	if b.system.h.Sandbox = sandbox; sandbox != "" {
		if err := b.system.ask(opState, wire.Target{ID: filepath.Base(sandbox)}, &state{}); err != nil {
			return libcontainer.WithHint(fmt.Errorf("join the utility VM of container %s: %w", filepath.Base(sandbox), err), "create and start the sandbox first")
		}
		return nil
	}
	if b.system.h.Network = t.network; t.network != "" {
		if b.system.h.NetworkID, err = namespaceID(t.network); err != nil {
			return err
		}
	}
	return b.machine()
}

// completed is a guest's Spec with the program's environment complete: the guest would
// have to ask the host for the file that it is in.
func completed(s *specs.Spec, root string) (json.RawMessage, error) {
	if s.Process != nil {
		fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open root.path %s: %w", root, err)
		}
		defer unix.Close(fd)
		s.Process.Env = rootfs.Environment(s.Process, fd)
	}
	return json.Marshal(s)
}

// Start is what a container's start in the VM can be worked out of here.
type Start struct {
	ID           string
	Spec         *specs.Spec // as the guest will have it
	Root         string      // the root file system on this machine
	Sources      []string    // of Spec.Mounts, likewise
	Terminal     bool        // somebody relays one
	NoNewKeyring bool
}

// Prepare works out a Start for the agent, with warnings for who asked for it; nil is
// left to the agent.
type Prepare func(Start) (start json.RawMessage, warnings []string, err error)

// prepare works out as much of the container's start as can be here: guest is its
// Spec there.
func (b *birth) prepare(guest *specs.Spec) error {
	c := b.config
	s := Start{ID: c.ID, Spec: guest, Root: c.Spec.Root.Path, Terminal: b.order.Terminal, NoNewKeyring: c.NoNewKeyring}
	for i := range c.Spec.Mounts {
		s.Sources = append(s.Sources, c.Spec.Mounts[i].Source)
	}
	start, warnings, err := b.host.prepare(s)
	for _, w := range warnings {
		c.Warn("%s", w)
	}
	b.order.Start = start
	return err
}

// machine decides what the container's own VM is like.
func (b *birth) machine() error {
	c := b.config
	m, err := NewMachine(c.Spec, findImage(imageFolders()))
	if err != nil {
		return err
	}
	m.TSC = timeStampCounter()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("ask for the size of this machine: %w", err)
	}
	m.fit(info.Totalram*uint64(info.Unit), runtime.NumCPU())
	if err := m.choose(c.VMAccel, c.VMTemplate, c.Spec.Annotations); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	b.order.Machine = m
	return nil
}

// group makes the container's cgroup on the host. Its limits are kept by the
// guest, whose kernel the container's processes are processes of.
func (b *birth) group(context.Context) error {
	var err error
	if b.layout, err = cgroup.Detect(); err != nil {
		return err
	}
	path := ""
	if l := b.config.Spec.Linux; l != nil {
		path = l.CgroupsPath
	}
	h := b.system.h
	if h.Group, err = b.layout.Group(path, b.config.ID, nil, false); err != nil {
		return err
	}
	if err := h.Group.Check(); err != nil {
		return err
	}
	b.made = true
	if err := b.config.Record(h.encode()); err != nil {
		return err
	}
	return h.Group.Create()
}

// launch starts the monitor and waits until its namespaces are there.
func (b *birth) launch(ctx context.Context) error {
	// Its pid namespace ends with it, and with that all of the VM.
	clone, operands := uintptr(unix.CLONE_NEWPID|unix.CLONE_NEWNS), []string(nil)
	switch {
	case b.order.Sandbox != "":
		clone, operands = 0, []string{memberCommand}
	case b.system.h.Network == "":
		clone |= unix.CLONE_NEWNET
	}
	h := b.system.h
	err := inNetwork(h.Network, func() error {
		return b.layout.Within(h.Group, func(into int) (err error) {
			b.system.monitor, b.link, err = spawn(b.stdio, clone, into, operands...)
			return err
		})
	})
	if err != nil {
		b.link = -1
		return err
	}
	h.Pid = b.system.monitor.process.Pid
	if h.Start, _, err = procstat.StartTime(h.Pid); err != nil {
		return fmt.Errorf("look at the monitor: %w", err)
	}
	if err := b.link.patience(createWait); err != nil {
		return err
	}
	if err := b.link.send(b.order, console(b.stdio)...); err != nil {
		return fmt.Errorf("tell the monitor: %w", err)
	}
	return b.hear(ctx)
}

// hear waits for the monitor's next report.
func (b *birth) hear(ctx context.Context) error {
	l := b.link
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(l), unix.SHUT_RDWR) })
	defer stop()
	var r report
	_, err := l.receive(&r)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return errors.New("the monitor of the utility VM ended before the container was made")
	case err != nil:
		return fmt.Errorf("hear from the monitor: %w", err)
	}
	for _, w := range r.Warnings {
		b.config.Warn("%s", w)
	}
	return r.Err.Unpack()
}

// hooks runs what wants to before the VM and the container are: on the host it
// has no namespaces but the monitor's, and none that a hook could be run in.
func (b *birth) hooks(ctx context.Context) error {
	if b.config.Namespaces == nil {
		return nil
	}
	h := b.system.h
	if err := b.config.Record(h.encode()); err != nil {
		return err
	}
	return b.config.Namespaces(ctx, h.Pid, nil)
}

// finish has the VM booted and the container made.
func (b *birth) finish(ctx context.Context) error {
	if err := b.link.send(proceed{}); err != nil {
		return fmt.Errorf("tell the monitor: %w", err)
	}
	if err := b.hear(ctx); err != nil {
		return err
	}
	if b.stdio.Attached != nil {
		if err := b.stdio.Attached(); err != nil {
			return err
		}
	}
	return sendPidfd(b.stdio.PidfdSocket, b.system.h.Pid)
}
