package silo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/pidfd"
	"wrun/libcontainer/procstat"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/netdev"
	"wrun/libcontainer/silo/seccomp"
)

// Host is process isolation on this Linux machine.
type Host struct {
	systemd cgroup.Systemd
	guest   bool
}

// New returns the host. It holds no state and asks nothing yet. s is asked for the
// cgroups of the containers that want it; nil where none will.
func New(s cgroup.Systemd) *Host { return &Host{systemd: s} }

// Guest returns the host that is a utility VM, where all containers are made by one
// process that lives as long as they do. A start costs less there: nobody else looks
// at the cgroups (see [cgroup.Own]), and the maker's program, being executed,
// cannot be written to, so nothing has to hide it (see Input.Guest).
func Guest() *Host { return &Host{guest: true} }

// Open finds a container by its handle.
func (o *Host) Open(_ context.Context, raw libcontainer.Handle) (libcontainer.System, error) {
	if len(raw) == 0 {
		return nil, libcontainer.ErrNotFound // its creator died before it made anything
	}
	h, err := decodeHandle(raw)
	if err != nil {
		return nil, err
	}
	return &system{h: h, systemd: o.systemd, guest: o.guest}, nil
}

// Create builds the container and parks it at the start gate.
func (o *Host) Create(ctx context.Context, c *libcontainer.Config, io libcontainer.Stdio) (libcontainer.System, error) {
	if c.Spec.Root == nil {
		return nil, errors.New("root.path is missing: a Linux container has a root file system")
	}
	if err := mayCreate(c.Spec); err != nil {
		return nil, err
	}
	b := o.birth(c, io, &Input{
		ID: c.ID, Bundle: c.Bundle, Spec: c.Spec,
		NoPivot: c.NoPivot, NoNewKeyring: c.NoNewKeyring, Hooks: c.Namespaces != nil, Guest: o.guest,
	})
	if p := c.Spec.Process; p != nil {
		b.system.cwd = p.Cwd
	}
	return b.run(ctx, b.expect, b.prepare, b.compile)
}

func (o *Host) birth(c *libcontainer.Config, io libcontainer.Stdio, in *Input) *birth {
	return &birth{
		config: c, io: io, in: in, files: map[File]int{}, into: -1,
		system: &system{h: &handle{Dir: c.Dir}, systemd: o.systemd, guest: o.guest},
	}
}

// run takes those steps and all that follow them, or none.
func (b *birth) run(ctx context.Context, first ...func(context.Context) error) (_ libcontainer.System, err error) {
	s := b.system
	defer b.release()
	defer func() {
		if err != nil {
			err = b.abort(context.WithoutCancel(ctx), err)
		}
	}()
	defer b.letGo()
	for _, step := range append(first, b.control, b.launch, b.errands, b.accompany) {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, pidfd.Send(b.io.PidfdSocket, s.child.pidfd)
}

// abort takes back what a failed Create has done.
func (b *birth) abort(ctx context.Context, err error) error {
	s := b.system
	err = errors.Join(err, b.returnDevices())
	if s.child != nil {
		s.child.kill()
		s.child = nil
	} else if fd, ok := b.files[fileSync]; ok {
		b.opened = append(b.opened, fd, b.files[fileParent])
	}
	if b.made {
		if left := s.Close(ctx); left != nil {
			err = fmt.Errorf("%w; %w: %w", err, libcontainer.ErrLeft, left)
		}
	}
	return err
}

// birth is one Create in progress: what it has opened and must close again.
type birth struct {
	config   *libcontainer.Config
	io       libcontainer.Stdio
	system   *system
	in       *Input
	files    map[File]int
	opened   []int            // descriptors to close when the child has its copies
	into     int              // cgroup v2 directory
	moved    bool             // network devices are in the container
	devices  []*netdev.Device // the same; their way back
	slice    string           // systemd's, of the scope
	manager  cgroup.Manager   // a user's, found already
	holder   *child           // keeps the scope until the child is in it
	adjusted bool             // the child inherits the OOM score
	made     bool             // something outside this process was announced, and perhaps made
	plan     *Plan
}

func (b *birth) keep(name File, fd int) {
	b.files[name] = fd
	b.opened = append(b.opened, fd)
}

func (b *birth) release() {
	for _, fd := range b.opened {
		unix.Close(fd)
	}
	b.opened = nil
	for _, d := range b.devices {
		d.Close()
	}
	b.devices = nil
}

// expect has the kernel make the namespaces while we find out what belongs in
// them. Not where the child is born into a cgroup of v2, which must exist.
func (b *birth) expect(ctx context.Context) error {
	layout, err := b.layout()
	if err != nil {
		return err
	}
	all := b.in.hasNamespace(specs.CgroupNamespace)
	for i := range b.in.Spec.Mounts {
		all = all || strings.HasPrefix(b.in.Spec.Mounts[i].Type, "cgroup")
	}
	b.in.Facts.Foreign = layout.Foreign()
	b.in.Facts.Privileged = unix.Geteuid() == 0 && !b.in.Facts.Foreign
	b.in.Facts.Unified = layout.Pure()
	group, err := b.place(ctx, layout, all)
	if err != nil {
		return err
	}
	if group != nil {
		b.system.h.Group = group
		if all {
			b.in.Facts.Cgroups = group.Mounts()
		}
		b.in.Facts.Tasks, b.in.Facts.Born = group.Joins()
	}
	if err := b.adjust(); err != nil {
		return err
	}
	if !b.in.canWait() {
		return converse(b.files)
	}
	if b.plan == nil {
		// Who is there to start it needs no gate.
		b.in.Direct = b.config.Run && b.slice == "" && !b.in.Hooks && b.io.Attached == nil && !b.in.asksAgent() && len(b.in.linux().NetDevices) == 0
	}
	b.system.direct = b.in.Direct
	if b.in.Facts.Born {
		return converse(b.files)
	}
	b.in.Waits = true
	life, err := unix.Open("/proc/self/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open own command line: %w", err)
	}
	b.keep(fileLife, life)
	if err := converse(b.files); err != nil {
		return err
	}
	flags, _, _ := b.in.namespaces()
	if b.system.child, err = expect(flags, b.files); err != nil {
		delete(b.files, fileSync)
	}
	return err
}

// prepare reads all that is needed and changes nothing.
func (b *birth) prepare(ctx context.Context) error {
	c := b.config
	if err := gather(c, b.in); err != nil {
		return err
	}
	var warnings []string
	var err error
	if b.in.Filter, warnings, err = seccomp.Compile(b.in.linux().Seccomp, runtime.GOARCH); err != nil {
		return err
	}
	for _, w := range warnings {
		c.Warn("%s", w)
	}
	if b.in.Filter != nil && c.Debug != nil {
		c.Debug("seccomp filter flags: %d", b.in.Filter.Flags)
	}
	for i := range b.in.linux().Namespaces {
		n := &b.in.linux().Namespaces[i]
		if n.Path == "" {
			continue
		}
		fd, err := joinable(n)
		if err != nil {
			return err
		}
		b.keep(JoinFile(n.Type), fd)
	}
	if !b.in.hasNamespace(specs.MountNamespace) {
		b.system.h.HostRoot = c.Spec.Root.Path
		if b.system.h.HostMount, err = mountID(c.Spec.Root.Path); err != nil {
			return err
		}
	}
	if err := b.mappings(); err != nil {
		return err
	}
	return b.streams(ctx)
}

// streams checks and collects what the child inherits.
func (b *birth) streams(context.Context) error {
	in, err := inherit(b.io, &b.opened, b.files)
	if err != nil {
		return err
	}
	b.in.Streams, b.in.Preserve = in.streams, in.preserve
	b.in.Env = append(b.in.Env, in.env...)
	b.in.Private = len(b.config.Private)
	for i, fd := range b.config.Private {
		b.files[PrivateFile(i)] = fd
	}
	return nil
}

// control makes the cgroup and sets its limits.
func (b *birth) control(ctx context.Context) error {
	h := b.system.h
	if h.Group != nil {
		if err := h.Group.Check(); err != nil {
			return err
		}
	}
	if err := b.record(); err != nil {
		return err
	}
	b.made = true
	if h.Group != nil {
		if err := b.group(ctx, h.Group); err != nil {
			return groupHint(err, b.in.Facts.Privileged)
		}
	}
	report := b.files[fileSync]
	if !b.in.Direct {
		gate, result, err := makeGate(b.config.Dir)
		if err != nil {
			return err
		}
		b.keep(fileGate, gate)
		b.keep(fileResult, result)
		report = result
	}
	if b.in.bare() {
		return nil
	}
	stub, err := makeStub(report, stubFilter(b.in.Filter, b.in.Spec.Process), stubFlags(b.in.Filter))
	if err != nil {
		return err
	}
	b.keep(fileStub, stub)
	return nil
}

// compile makes the plan. A child that waits for it begins to walk it; what
// control makes, it needs last.
func (b *birth) compile(ctx context.Context) error {
	var err error
	if b.plan, err = Compile(b.in); err != nil {
		return err
	}
	for _, w := range b.plan.Warnings {
		b.config.Warn("%s", w)
	}
	return b.adopt(ctx)
}

// adopt makes the plan the container's.
func (b *birth) adopt(context.Context) error {
	h := b.system.h
	if p := b.in.Spec.Process; p != nil {
		h.Program = p.Args[0]
	}
	h.Gate, h.After = b.plan.gate()
	h.OwnPids = b.in.isNew(specs.PIDNamespace)
	for i := range b.in.linux().Namespaces {
		h.Namespaces = append(h.Namespaces, b.in.linux().Namespaces[i].Type)
	}
	if !b.in.Waits || h.HostRoot != "" {
		return nil
	}
	return b.system.child.proceed(b.plan, b.files)
}

func (b *birth) errands(ctx context.Context) error {
	return b.system.child.errands(ctx, b.system.h.Program, b.system.cwd)
}

// launch lets the child go to the end.
func (b *birth) launch(context.Context) error {
	c := b.system.child
	switch {
	case c == nil:
		var err error
		b.system.child, err = launch(b.plan, b.files, b.into)
		delete(b.files, fileSync) // launch has closed both ends if it came to nothing
		return err
	case c.memory.then == nil:
		if err := c.proceed(b.plan, b.files); err != nil {
			return err
		}
	}
	return c.complete(b.files)
}

// accompany answers the child until it is parked, or, when it is to run at
// once, until it needs no answers any more.
func (b *birth) accompany(ctx context.Context) error {
	c := b.system.child
	if err := c.born(); err != nil {
		return err
	}
	// A pid that is going to change is not worth remembering.
	forks := false
	for i := range b.plan.Steps {
		forks = forks || b.plan.Steps[i].Call == callFork
	}
	if !forks {
		if err := b.remember(c); err != nil {
			return err
		}
	}
	if b.in.Direct && b.in.Waits {
		// It has nothing to ask. Being told of its progress would have us run in
		// its place: the kernel wakes who reads a socket on the writer's processor.
		b.system.lent, b.opened = b.opened, nil
		return nil
	}
	for {
		code, value, said, err := c.next(ctx)
		if err != nil {
			return err
		}
		if b.in.Waits {
			c.part()
			b.release()
		}
		switch {
		case said && code == codeSource:
			if err = b.source(c, int(value)); err == nil {
				continue // that was the answer
			}
		case said && code == codeNotify:
			err = sendListener(c, int(value), b.in.linux().Seccomp, &specs.State{
				Version: specs.Version, ID: b.config.ID, Status: specs.StateCreating, Pid: c.pid,
				Bundle: b.config.Bundle, Annotations: b.in.Spec.Annotations,
			})
		case said && code == codeMap:
			err = writeMaps(c.pid, b.in.linux(), unix.Geteuid() == 0)
		case said && code == codeOffsets:
			err = writeOffsets(c.pid, b.in.linux().TimeOffsets)
		case said && code == codeFork:
			if err = c.adopt(int(value)); err == nil {
				err = b.remember(c)
			}
			if err == nil {
				continue // nobody waits for an answer
			}
		case said && code == codeHooks:
			if err = b.netDevices(c.pid); err != nil {
				return err
			}
			err = b.config.Namespaces(ctx, c.pid, b.system.insideHook(b.in))
		case said && code == codeReady:
			if err := b.netDevices(c.pid); err != nil {
				return err
			}
			b.system.ready = true
			return attached(b.io) // the answer is Settle, or Start
		default:
			return c.failure(code, value, said, b.system.h.Program, b.system.cwd)
		}
		if err == nil {
			err = c.ack()
		}
		if err != nil {
			return err
		}
	}
}

// remember saves the pid, and does what is done to the child from outside.
func (b *birth) remember(c *child) error {
	h := b.system.h
	h.Pid = c.pid
	if b.config.Record != nil {
		var err error
		if h.Start, _, err = procstat.StartTime(c.pid); err != nil {
			return fmt.Errorf("look at the container process: %w", err)
		}
	}
	if p := b.in.Spec.Process; p != nil && p.OOMScoreAdj != nil && !b.adjusted {
		if err := writeProc(c.pid, "oom_score_adj", strconv.Itoa(*p.OOMScoreAdj)); err != nil {
			return fmt.Errorf("process.oomScoreAdj: %w", err)
		}
	}
	if !b.in.Hooks {
		// The core saves it with the facts: until then the child ends with
		// this process, or is found in its cgroup.
		return nil
	}
	return b.record()
}

// record saves the facts, where somebody keeps them.
func (b *birth) record() error {
	if b.config.Record == nil {
		return nil
	}
	return b.config.Record(b.system.h.encode())
}

// stubFilter is the filter the stub loads: with no_new_privs no privilege is
// needed for it, so it can come last of all.
func stubFilter(f *seccomp.Filter, p *specs.Process) []byte {
	if f == nil || p == nil || !p.NoNewPrivileges || f.Notify {
		return nil
	}
	return encode(f.Program)
}

func stubFlags(f *seccomp.Filter) uint32 {
	if f == nil {
		return 0
	}
	return f.Flags
}

// gate finds the step that parks the child and names those behind it.
func (p *Plan) gate() (at int, after []string) {
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Call == "read" && s.Args[0] == fileGate {
			for k := i + 1; k < len(p.Steps); k++ {
				after = append(after, p.Steps[k].Call)
			}
			return i, after
		}
	}
	return len(p.Steps), nil
}
