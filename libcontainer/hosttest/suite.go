package hosttest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// Setup is a host under test.
type Setup struct {
	Host libcontainer.Host
	// Config makes the configuration of a fresh container that would run args:
	// an own id and state directory, a root file system with sh, sleep, cat,
	// echo and true in its PATH, an own pid namespace. The suite sets Record.
	Config func(t *testing.T, args ...string) *libcontainer.Config
	// Left names what the host holds on the machine for the containers of this
	// suite: nil or empty once all are closed. May be nil: then only the
	// System's own word is taken.
	Left func() []string
	// Windows says that the containers are Windows': signals are console control
	// events, and the exit codes of ended programs are the system's own.
	Windows *Windows
	// Monitored says that Pid is a monitor's and not among Processes.
	Monitored bool
	// Deputies says that a process of the host stands for each one that Exec
	// starts: its Pid is not among Processes either.
	Deputies bool
	// Lacks gives the reason for what this machine cannot do; keys are the
	// subtests' names. Such a subtest is skipped with the reason.
	Lacks map[string]string
}

// Windows is how a Windows container's processes end.
type Windows struct {
	Killed     int // exit code of a process after signal 9
	Terminated int // of one that does not handle CtrlShutdown
}

// term is the signal that asks a program to end.
func (s *Setup) term() int {
	if s.Windows != nil {
		return libcontainer.CtrlShutdown
	}
	return 15
}

// killed and terminated are the exit codes after signal 9 and after term.
func (s *Setup) killed() int {
	if s.Windows != nil {
		return s.Windows.Killed
	}
	return 128 + 9
}

func (s *Setup) terminated() int {
	if s.Windows != nil {
		return s.Windows.Terminated
	}
	return 128 + 15
}

// Run holds the host against the contract in libcontainer's host.go.
func Run(t *testing.T, s Setup) {
	for _, c := range []struct {
		name string
		test func(*bench)
	}{
		{"CreateParks", createParks},
		{"StartRuns", startRuns},
		{"StdinReaches", stdinReaches},
		{"ExitCodes", exitCodes},
		{"SignalKills", signalKills},
		{"SignalHandled", signalHandled},
		{"SignalParked", signalParked},
		{"SignalAfterEnd", signalAfterEnd},
		{"SignalAll", signalAll},
		{"WaitHasDeadline", waitHasDeadline},
		{"MissingProgram", missingProgram},
		{"OpenFinds", openFinds},
		{"CloseIsIdempotent", closeIsIdempotent},
		{"CloseKills", closeKills},
		{"RecordFails", recordFails},
		{"Remains", remains},
		{"Namespaces", namespaces},
		{"NamespacesFail", namespacesFail},
		{"HookInside", hookInside},
		{"ExecExitCodes", execExitCodes},
		{"ExecMissingProgram", execMissingProgram},
		{"ExecAfterEnd", execAfterEnd},
		{"ExecSignal", execSignal},
		{"Processes", processes},
		{"Pause", pause},
		{"PauseParked", pauseParked},
		{"Update", update},
		{"Stats", stats},
	} {
		t.Run(c.name, func(t *testing.T) {
			if why := s.Lacks[c.name]; why != "" {
				t.Skip(why)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c.test(&bench{T: t, Setup: s, ctx: ctx})
			if s.Left != nil {
				if left := s.Left(); len(left) > 0 {
					t.Errorf("left on the machine: %v", left)
				}
			}
		})
	}
}

// bench is one subtest's view of the host.
type bench struct {
	*testing.T
	Setup
	ctx context.Context
}

// made is a created container with all that was recorded of it.
type made struct {
	libcontainer.System
	b       *bench
	config  *libcontainer.Config
	handles []libcontainer.Handle
	out     string // file
}

// config makes a Config whose Record keeps handles and checks that each is JSON.
func (b *bench) config(args ...string) *made {
	b.Helper()
	m := &made{b: b, config: b.Config(b.T, args...)}
	m.config.Record = func(h libcontainer.Handle) error {
		if !json.Valid(h) {
			b.Errorf("recorded handle is no JSON: %q", h)
		}
		m.handles = append(m.handles, slices.Clone(h))
		return nil
	}
	if m.config.Warn == nil {
		m.config.Warn = b.Logf
	}
	return m
}

// file is a regular file to be somebody's standard stream.
func (b *bench) file(content string) *os.File {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "stdio")
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

func (b *bench) stdio(in string) libcontainer.Stdio {
	return libcontainer.Stdio{In: b.file(in), Out: b.file(""), Err: b.file("")}
}

func read(b *bench, name string) string {
	b.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// create makes a container and has it closed at the end of the subtest body.
func (b *bench) create(args ...string) *made {
	b.Helper()
	return b.createWith(b.stdio(""), args...)
}

func (b *bench) createWith(io libcontainer.Stdio, args ...string) *made {
	b.Helper()
	m := b.config(args...)
	m.out = io.Out.Name()
	sys, err := b.Host.Create(b.ctx, m.config, io)
	if err != nil {
		b.Fatalf("create: %v", err)
	}
	m.System = sys
	if k, ok := sys.(libcontainer.Keeper); ok {
		m.handles = append(m.handles, k.Handle())
	}
	if s, ok := sys.(libcontainer.Settler); ok {
		if err := s.Settle(); err != nil {
			m.close()
			b.Fatalf("settle: %v", err)
		}
	}
	if len(m.handles) == 0 {
		b.Error("create recorded no handle")
	}
	return m
}

// started is create and start.
func (b *bench) started(args ...string) *made {
	b.Helper()
	m := b.create(args...)
	if err := m.Start(b.ctx); err != nil {
		m.close()
		b.Fatalf("start: %v", err)
	}
	return m
}

func (m *made) close() {
	m.b.Helper()
	if err := m.Close(m.b.ctx); err != nil {
		m.b.Errorf("close: %v", err)
	}
}

func (m *made) live() libcontainer.Live {
	m.b.Helper()
	l, err := m.Live(m.b.ctx)
	if err != nil {
		m.b.Errorf("live: %v", err)
	}
	return l
}

func (m *made) last() libcontainer.Handle { return m.handles[len(m.handles)-1] }

// code waits for the end of init.
func (m *made) code(want int) {
	m.b.Helper()
	got, err := m.Wait(m.b.ctx)
	if err != nil {
		m.b.Errorf("wait: %v", err)
	} else if got != want {
		m.b.Errorf("exit code %d, want %d", got, want)
	}
}

// until polls what the outside world has no notification for.
func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	for !ok() {
		if b.ctx.Err() != nil {
			b.Fatalf("never happened: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// exec starts a process in m with the container's own environment.
func (m *made) exec(io libcontainer.Stdio, args ...string) (libcontainer.Process, error) {
	own := specs.Process{Cwd: "/"}
	if p := m.config.Spec.Process; p != nil {
		own = *p
	}
	own.Args, own.Terminal = args, false
	return m.Exec(m.b.ctx, &libcontainer.Exec{Spec: &own, Container: m.config.Spec, Warn: m.b.Logf}, io)
}

func contains(err error, words ...string) bool {
	return err != nil && slices.ContainsFunc(words, func(w string) bool {
		return strings.Contains(strings.ToLower(err.Error()), w)
	})
}

var errAsked = errors.New("asked to fail")
