package hcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
	"wrun/libcontainer/hcsdoc"
)

// Exec starts a further process. A caller that stays relays its streams itself;
// for one that goes a monitor does, and is the process that an engine can wait
// for.
func (s *system) Exec(ctx context.Context, e *libcontainer.Exec, io libcontainer.Stdio) (libcontainer.Process, error) {
	if err := s.booted(ctx); err != nil {
		return nil, err
	}
	parameters, err := s.parameters(e.Spec, streamsFor(io, e.Spec.Terminal))
	if err != nil {
		return nil, err
	}
	if e.Detach {
		return s.execDetached(ctx, parameters, e.Spec, io, e.MonitorLog)
	}
	c, err := s.service().open(ctx, s.h.System)
	if err != nil {
		return nil, s.execError(err)
	}
	exited, err := c.watch(ctx)
	var p process
	if err == nil {
		p, err = c.createProcess(ctx, parameters)
		err = notFound(err, programName(e.Spec))
	}
	if err != nil {
		c.close()
		return nil, s.execError(err)
	}
	x := &further{system: c, exited: exited, p: p, os: s.h.OS, done: make(chan struct{})}
	go x.await(startRelay(p, io.In, io.Out, io.Err))
	return x, nil
}

// booted starts the compute system of a container that is only created, which
// an exec finds parked on Linux too.
func (s *system) booted(ctx context.Context) error {
	if _, started, err := readInit(s.h.Dir); err != nil || started {
		return err
	}
	return ask(ctx, s.h.Gate.Pipe, request{Op: opBoot})
}

func (s *system) execError(err error) error {
	if gone(err) || errors.Is(err, computecore.ErrInvalidState) {
		return fmt.Errorf("%w: %w", libcontainer.ErrNotRunning, err)
	}
	return hinted(err)
}

func (s *system) parameters(p *specs.Process, streams hcsdoc.Streams) ([]byte, error) {
	if s.h.OS == "linux" {
		return hcsdoc.LinuxProcess(p, streams, false)
	}
	return hcsdoc.Process(p, streams)
}

func (s *system) execDetached(ctx context.Context, parameters []byte, p *specs.Process, io libcontainer.Stdio, log string) (libcontainer.Process, error) {
	name, err := unique()
	if err != nil {
		return nil, err
	}
	file := "exec-" + name + ".json"
	o := order{System: s.h.System, API: s.h.API, OS: s.h.OS, Process: json.RawMessage(parameters), Program: programName(p), Exec: true, Log: log}
	if err := writeRecord(s.h.Dir, file, o); err != nil {
		return nil, err
	}
	file = filepath.Join(s.h.Dir, file)
	m, err := spawn(ctx, file, io)
	err = join(err, os.Remove(file)) // it was read
	if err != nil {
		return nil, err
	}
	return &relayed{system: s, child: m}, nil
}

// further is a process whose streams this wrun relays.
type further struct {
	system computeSystem
	exited *departure
	p      process
	os     string
	done   chan struct{} // closed when code and err are there
	code   uint32
	err    error
}

// await remembers the end, for Wait may be called twice.
func (x *further) await(r *relay) {
	defer close(x.done)
	x.code, x.err = outcome(x.p, x.exited)
	r.wait(execDrain, readerWait, nil)
	x.p.close()
	x.system.close()
}

func (x *further) Pid() int { return x.p.pid() }

func (x *further) Signal(number int) error {
	select {
	case <-x.done:
		return libcontainer.ErrNotRunning
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	err := x.p.signal(ctx, number, x.os)
	if noProcess(err) {
		return libcontainer.ErrNotRunning
	}
	return hinted(err)
}

func (x *further) Wait(ctx context.Context) (int, error) {
	select {
	case <-x.done:
		return int(x.code), x.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// relayed is a process that a monitor of its own relays.
type relayed struct {
	system *system
	child  *child
}

func (x *relayed) Pid() int { return x.child.process.Pid }

func (x *relayed) Signal(number int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	return x.system.signalPid(ctx, x.child.program, number)
}

func (x *relayed) Wait(ctx context.Context) (int, error) {
	m := &monitor{Pid: x.child.process.Pid, Created: x.child.created}
	h, ok := m.open(0)
	if !ok {
		return 0, fmt.Errorf("waiting for process %d: %w", x.child.program, errNoMonitor)
	}
	defer closeHandle(h)
	if err := waitFor(ctx, h); err != nil {
		return 0, err
	}
	return exitCode(h)
}

// RunHook runs a startContainer hook: inside the container, before its program.
// "The value of path MUST resolve in the container namespace" (config.md), so
// it is a program of the container's file system.
func (s *system) RunHook(ctx context.Context, h specs.Hook, state []byte) error {
	if err := ask(ctx, s.h.Gate.Pipe, request{Op: opBoot}); err != nil {
		return err
	}
	parameters, err := s.parameters(hookProcess(h, s.h.OS), hcsdoc.Streams{In: true, Out: true, Err: true})
	if err != nil {
		return err
	}
	return s.with(ctx, func(c computeSystem) error {
		p, err := c.createProcess(ctx, parameters)
		if err != nil {
			return hinted(notFound(err, h.Path))
		}
		defer p.close()
		return talk(ctx, p, state, s.h.OS)
	})
}

// hookProcess is a hook as a process: args are all of its argv, or the path.
func hookProcess(h specs.Hook, guest string) *specs.Process {
	p := &specs.Process{Args: []string{h.Path}, Env: h.Env, Cwd: `C:\`}
	if len(h.Args) > 1 {
		p.Args = append(p.Args, h.Args[1:]...)
	}
	if guest == "linux" {
		p.Cwd = "/"
	}
	return p
}

// hookOutput is how much of a failing hook's streams its error keeps.
const hookOutput = 2048

// talk gives a hook the state and waits for its end.
func talk(ctx context.Context, p process, state []byte, guest string) error {
	in, out, er := p.stdio()
	go func() {
		_, _ = in.Write(state)
		closing, cancel := context.WithTimeout(context.Background(), callWait)
		defer cancel()
		_ = p.closeStdin(closing)
		_ = in.Close()
	}()
	said := [2]chan string{listen(out), listen(er)}
	code, err := p.wait(ctx)
	if err != nil {
		ending, cancel := context.WithTimeout(context.Background(), callWait)
		defer cancel()
		return join(err, p.signal(ending, libcontainer.Terminate, guest))
	}
	if code == 0 {
		return nil
	}
	return fmt.Errorf("exit status %d, stdout: %s, stderr: %s", code, heard(said[0]), heard(said[1]))
}

// listen keeps the beginning of a stream and reads it to its end.
func listen(r io.ReadCloser) chan string {
	said := make(chan string, 1)
	go func() {
		defer r.Close()
		var b bytes.Buffer
		_, _ = io.CopyN(&b, r, hookOutput)
		said <- strings.TrimSpace(b.String())
		_, _ = io.Copy(io.Discard, r)
	}()
	return said
}

func heard(said chan string) string {
	select {
	case s := <-said:
		return s
	case <-time.After(time.Second):
		return ""
	}
}
