package silo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/memfd"
	"wrun/libcontainer/pidfd"
	"wrun/libcontainer/rootfs"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/seccomp"
)

// process is one that Exec started.
type process struct{ child *child }

func (p *process) Pid() int                              { return p.child.pid }
func (p *process) Wait(ctx context.Context) (int, error) { return p.child.wait(ctx) }
func (p *process) Signal(sig int) error {
	if err := unix.PidfdSendSignal(p.child.pidfd, unix.Signal(sig), nil, 0); err != nil {
		return fmt.Errorf("unable to signal process %d: %w", p.child.pid, err)
	}
	return nil
}

// Exec starts a process in the container's namespaces and cgroup.
func (s *system) Exec(ctx context.Context, e *libcontainer.Exec, io libcontainer.Stdio) (libcontainer.Process, error) {
	in := &Input{Spec: e.Container, Visits: true, Guest: s.guest}
	filter, _, err := seccomp.Compile(in.linux().Seccomp, runtime.GOARCH) // create has warned
	if err != nil {
		return nil, err
	}
	in.Filter = filter
	v, err := s.visit(in, io, e.Cgroup)
	if err != nil {
		return nil, err
	}
	defer v.release()
	if in.Facts.Grantable, err = grantable(in); err != nil {
		return nil, err
	}
	in.DenySetgroups = s.deniesSetgroups()
	in.Facts.OpenFiles = callersOpenFiles()
	in.Facts.AppArmor = e.Spec.ApparmorProfile != "" && appArmor()
	in.Alone = !in.forks() && !e.Paused && io.Attached == nil && e.Spec.OOMScoreAdj == nil && !(filter != nil && filter.Notify)
	in.Env = append(rootfs.Environment(e.Spec, v.files[fileRoot]), v.env...)
	if !in.bare() {
		if err := v.stub(stubFilter(filter, e.Spec), stubFlags(filter)); err != nil {
			return nil, err
		}
	}
	plan, err := CompileExec(in, e.Spec)
	if err != nil {
		return nil, err
	}
	for _, w := range plan.Warnings {
		e.Warn("%s", w)
	}
	if n := e.Spec.OOMScoreAdj; n != nil && !MachineRoot() {
		if err := adjustSelf(*n); err != nil {
			return nil, err
		}
		v.adjusted = true
	}
	child, err := v.launch(plan)
	if err != nil {
		return nil, v.ended(ctx, err)
	}
	v.state = e.State
	if err := v.accompany(ctx, child, e.Spec, io); err != nil {
		child.kill()
		return nil, v.ended(ctx, err)
	}
	child.close()
	if err := pidfd.Send(io.PidfdSocket, child.pidfd); err != nil {
		child.kill()
		return nil, err
	}
	s.execs = append(s.execs, child)
	return &process{child}, nil
}

// deniesSetgroups asks the container's user namespace. Only an ordinary user's
// says so.
func (s *system) deniesSetgroups() bool {
	if unix.Geteuid() == 0 {
		return false
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.h.Pid) + "/setgroups")
	return err == nil && string(text) == "deny\n"
}

// adjustSelf sets the OOM score of this process, and so of its children: an
// ordinary user may not write to one that nobody may look into.
func adjustSelf(n int) error {
	if err := writeProc(os.Getpid(), "oom_score_adj", strconv.Itoa(n)); err != nil {
		return fmt.Errorf("process.oomScoreAdj: %w", err)
	}
	return nil
}

// adjust does so for a new container.
func (b *birth) adjust() error {
	p := b.in.Spec.Process
	if p == nil || p.OOMScoreAdj == nil || b.in.Facts.Privileged || b.in.visible() {
		return nil
	}
	b.adjusted = true
	return adjustSelf(*p.OOMScoreAdj)
}

// MachineRoot tells root from an ordinary user and from the root of a user
// namespace; the initial one has a number of its own (PROC_USER_INIT_INO).
func MachineRoot() bool {
	ns, err := os.Readlink("/proc/self/ns/user")
	return unix.Geteuid() == 0 && err == nil && ns == "user:[4026531837]"
}

// ended says it plainly where a visit failed because the container came to its
// end: pid_namespaces(7), fork(2) then fails with ENOMEM, and everything in the
// namespace is killed.
func (v *visit) ended(ctx context.Context, err error) error {
	if (errors.Is(err, unix.ENOMEM) || errors.Is(err, errDied)) && await(ctx, time.Second, v.files[fileInit]) == nil {
		return libcontainer.ErrNotRunning
	}
	return err
}

// visit is one process on its way into a living container.
type visit struct {
	in     *Input
	files  map[File]int
	opened []int
	into   int
	env    []string
	state  func() *specs.State // the container's, for a seccomp agent; may be nil

	adjusted bool // the child inherits the OOM score
	talking  bool // the conversation's ends are still ours to close
}

// visit opens what a child needs to enter the container.
func (s *system) visit(in *Input, io libcontainer.Stdio, sub map[string]string) (_ *visit, err error) {
	v := &visit{in: in, files: map[File]int{}, into: -1}
	defer func() {
		if err != nil {
			v.release()
		}
	}()
	in.Facts.Privileged = MachineRoot()
	pidfd, err := s.open()
	if err != nil {
		return nil, err
	}
	v.keep(fileInit, pidfd)
	if err := v.enter(s.h, sub); err != nil {
		return nil, err
	}
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	v.keep(fileRoot, root)
	in.Facts.Rooted = isMountRoot(root)
	inherited, err := inherit(io, &v.opened, v.files)
	if err != nil {
		return nil, err
	}
	if err := converse(v.files); err != nil {
		return nil, err
	}
	v.talking = true
	in.Streams, in.Preserve, v.env = inherited.streams, inherited.preserve, inherited.env
	return v, nil
}

// root opens the container's root directory.
func (s *system) root() (int, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(s.h.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ESRCH {
		return -1, libcontainer.ErrNotRunning // it is ending
	}
	if err != nil {
		return -1, fmt.Errorf("open the container's root: %w", err)
	}
	return fd, nil
}

// isMountRoot tells the root of a mount from a directory somewhere in it, which
// a container's program may have made its root since.
func isMountRoot(dir int) bool {
	var st unix.Statx_t
	err := unix.Statx(dir, "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// enter finds the cgroup that the child joins.
func (v *visit) enter(h *handle, sub map[string]string) (err error) {
	group := h.Group
	switch {
	case group == nil && len(sub) > 0:
		return noGroup()
	case group == nil:
		return nil
	case len(sub) > 0:
		group, err = group.Sub(sub)
	default:
		group, err = group.Entrance(h.Pid)
	}
	if err != nil {
		return err
	}
	return v.join(group)
}

func (v *visit) join(group *cgroup.Group) error {
	join, err := group.Open()
	if err != nil {
		return fmt.Errorf("enter the container's cgroup: %w", err)
	}
	for i, fd := range join.Tasks {
		v.keep(TasksFile(i), fd)
	}
	v.in.Facts.Tasks = len(join.Tasks)
	if v.into = join.Into; v.into >= 0 {
		v.keep(fileGroup, v.into)
		v.in.Facts.Born = true
	}
	return nil
}

// stub makes the exec stub, which reports to the parent.
func (v *visit) stub(filter []byte, flags uint32) error {
	fd, err := makeStub(v.files[fileSync], filter, flags)
	if err != nil {
		return err
	}
	v.keep(fileStub, fd)
	return nil
}

func (v *visit) keep(name File, fd int) {
	v.files[name] = fd
	v.opened = append(v.opened, fd)
}

func (v *visit) release() {
	for _, fd := range v.opened {
		unix.Close(fd)
	}
	if v.talking {
		unix.Close(v.files[fileParent])
		unix.Close(v.files[fileSync])
	}
	v.opened, v.talking = nil, false
}

func (v *visit) launch(plan *Plan) (*child, error) {
	v.talking = false // launch closes the conversation's ends when it fails
	if v.in.Alone {
		return follow(plan, v.files, v.into)
	}
	return launch(plan, v.files, v.into)
}

// accompany answers the child until the program is executed: the conversation
// ends with the exec, for the descriptor is close-on-exec.
func (v *visit) accompany(ctx context.Context, c *child, p *specs.Process, io libcontainer.Stdio) error {
	ready := v.in.Alone
	for {
		code, value, said, err := c.next(ctx)
		switch {
		case err != nil:
			return err
		case !said && ready:
			return nil
		case said && code == codeFork:
			err = c.adopt(int(value))
		case said && code == codeNotify:
			state := &specs.State{Version: specs.Version, Status: specs.StateRunning}
			if v.state != nil {
				state = v.state()
			}
			if err = sendListener(c, int(value), v.in.linux().Seccomp, state); err == nil {
				err = c.ack()
			}
		case said && code == codeReady:
			ready = true
			if p != nil && p.OOMScoreAdj != nil && !v.adjusted {
				err = writeProc(c.pid, "oom_score_adj", strconv.Itoa(*p.OOMScoreAdj))
			}
			if err == nil {
				err = attached(io)
			}
			if err == nil {
				err = c.ack()
			}
		default:
			program, cwd := "", ""
			if p != nil {
				program, cwd = p.Args[0], p.Cwd
			}
			return c.failure(code, value, said, program, cwd)
		}
		if err != nil {
			return err
		}
	}
}

// insideHook runs createContainer hooks: the container's namespaces as far as
// they exist, the paths still the host's.
func (s *system) insideHook(in *Input) libcontainer.RunHook {
	return func(ctx context.Context, h specs.Hook, state []byte) error {
		// The directory is runc's: hooks name files of the image relative to it.
		return s.runHook(ctx, &Input{Spec: &specs.Spec{Linux: &specs.Linux{Namespaces: in.linux().Namespaces}}, Env: h.Env, Dir: in.Spec.Root.Path}, h, state)
	}
}

// RunHook runs a startContainer hook.
func (s *system) RunHook(ctx context.Context, h specs.Hook, state []byte) error {
	return s.runHook(ctx, &Input{Spec: s.ownNamespaces(), Env: h.Env}, h, state)
}

// RunStartHook runs a startContainer hook with what it has of the container's
// process: the seccomp filter and, without an environment of its own, that of
// the process. So it is with runc, whose first process runs these hooks.
func (s *system) RunStartHook(ctx context.Context, h specs.Hook, container *specs.Spec, state []byte) error {
	in := &Input{Spec: s.ownNamespaces(), Env: h.Env}
	if container.Linux != nil {
		in.Spec.Linux.Seccomp = container.Linux.Seccomp
	}
	var err error
	if in.Filter, _, err = seccomp.Compile(in.linux().Seccomp, runtime.GOARCH); err != nil {
		return err
	}
	if len(h.Env) == 0 && container.Process != nil {
		root, err := s.root()
		if err != nil {
			return err
		}
		in.Env = rootfs.Environment(container.Process, root)
		unix.Close(root)
	}
	return s.runHook(ctx, in, h, state)
}

// ownNamespaces is a Spec that says no more than what namespaces there are.
func (s *system) ownNamespaces() *specs.Spec {
	spec := &specs.Spec{Linux: &specs.Linux{}}
	for _, n := range s.h.Namespaces {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: n})
	}
	return spec
}

// runHook executes a hook with the state on its standard input and its output
// collected for the error.
func (s *system) runHook(ctx context.Context, in *Input, h specs.Hook, state []byte) error {
	// In memory: a named file would stay behind a killed wrun.
	out, err := memfd.New("hook output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	stdin, err := memfd.New("hook state", state)
	if err != nil {
		return err
	}
	defer stdin.Close()
	v, err := s.visit(in, libcontainer.Stdio{In: stdin, Out: out, Err: out}, nil)
	if err != nil {
		return err
	}
	defer v.release()
	if in.Facts.Grantable, err = grantable(in); err != nil {
		return err
	}
	if err := v.stub(nil, 0); err != nil {
		return err
	}
	child, err := v.launch(CompileHook(in, h))
	if err != nil {
		return err
	}
	if err := v.accompany(ctx, child, &specs.Process{Args: []string{h.Path}}, libcontainer.Stdio{}); err != nil {
		child.kill()
		return err
	}
	defer child.forget()
	code, err := child.wait(ctx)
	if err != nil {
		child.kill()
		return err
	}
	if code != 0 {
		text := make([]byte, 4096)
		n, _ := out.ReadAt(text, 0)
		how := "exit status " + strconv.Itoa(code)
		if child.end.status.Signaled() {
			how = "signal: " + child.end.status.Signal().String()
		}
		return fmt.Errorf("%s, output: %s", how, bytes.TrimSpace(text[:n]))
	}
	return nil
}
