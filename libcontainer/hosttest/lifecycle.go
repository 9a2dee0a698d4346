package hosttest

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

const loop = "while :; do sleep 0.02; done"

func createParks(b *bench) {
	m := b.create("sh", "-c", "echo ran")
	defer m.close()
	if l := m.live(); !l.Exists || l.Started || l.Paused {
		b.Errorf("after create: %+v, want a parked program", l)
	}
	if m.Pid() <= 0 {
		b.Errorf("pid %d after create", m.Pid())
	}
	time.Sleep(50 * time.Millisecond) // what must not happen has no event
	if out := read(b, m.out); out != "" {
		b.Errorf("the program ran before start: %q", out)
	}
}

func startRuns(b *bench) {
	m := b.started("sh", "-c", "echo ran; "+loop)
	defer m.close()
	pid := m.Pid()
	if l := m.live(); !l.Exists || !l.Started {
		b.Errorf("after start: %+v", l)
	}
	b.until("output", func() bool { return read(b, m.out) == "ran\n" })
	if m.Pid() != pid {
		b.Errorf("pid changed from %d to %d", pid, m.Pid())
	}
	if err := m.Start(b.ctx); err == nil {
		b.Error("a second start succeeded")
	}
}

func stdinReaches(b *bench) {
	m := b.createWith(b.stdio("through and through\n"), "cat")
	defer m.close()
	if err := m.Start(b.ctx); err != nil {
		b.Fatalf("start: %v", err)
	}
	m.code(0)
	if out := read(b, m.out); out != "through and through\n" {
		b.Errorf("output %q", out)
	}
}

func exitCodes(b *bench) {
	for _, c := range []struct {
		script string
		want   int
	}{{"exit 0", 0}, {"exit 7", 7}, {"exit 255", 255}, {"exit 137", 137}} {
		m := b.started("sh", "-c", c.script)
		m.code(c.want)
		m.code(c.want) // a second wait knows it, too
		if l := m.live(); l.Exists {
			b.Errorf("%s: still there after its end: %+v", c.script, l)
		}
		m.close()
	}
}

func signalKills(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	if err := m.Signal(b.ctx, 9, false); err != nil {
		b.Fatalf("signal: %v", err)
	}
	m.code(b.killed())
}

func signalHandled(b *bench) {
	m := b.started("sh", "-c", "trap 'exit 5' TERM; echo ready; "+loop)
	defer m.close()
	b.until("trap set", func() bool { return read(b, m.out) == "ready\n" })
	if err := m.Signal(b.ctx, b.term(), false); err != nil {
		b.Fatalf("signal: %v", err)
	}
	m.code(5)
}

// signalParked: an engine that gives up between create and start sends SIGKILL.
func signalParked(b *bench) {
	m := b.create("sleep", "1000")
	defer m.close()
	if err := m.Signal(b.ctx, 9, false); err != nil {
		b.Fatalf("signal: %v", err)
	}
	m.code(128 + 9)
	if err := m.Start(b.ctx); err == nil {
		b.Error("a killed program could be started")
	}
}

func signalAfterEnd(b *bench) {
	m := b.started("true")
	defer m.close()
	m.code(0)
	if err := m.Signal(b.ctx, b.term(), false); !errors.Is(err, libcontainer.ErrNotRunning) {
		b.Errorf("signal after the end: %v, want ErrNotRunning", err)
	}
	if err := m.Signal(b.ctx, 9, true); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) {
		b.Errorf("signal to all after the end: %v", err)
	}
}

func signalAll(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	p, err := m.exec(b.stdio(""), "sleep", "1000")
	if err != nil {
		b.Fatalf("exec: %v", err)
	}
	if err := m.Signal(b.ctx, 9, true); err != nil {
		b.Fatalf("signal: %v", err)
	}
	m.code(b.killed())
	if code, err := p.Wait(b.ctx); err != nil || code != b.killed() {
		b.Errorf("the exec'd process: code %d, %v", code, err)
	}
}

func waitHasDeadline(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Millisecond)
	defer cancel()
	if code, err := m.Wait(ctx); err == nil {
		b.Errorf("wait for a running program returned %d", code)
	}
	if l := m.live(); !l.Exists {
		b.Error("an interrupted wait ended the container")
	}
}

// missingProgram may fail in create or in start, and leaves nothing.
func missingProgram(b *bench) {
	m := b.config("/no/such/program")
	sys, err := b.Host.Create(b.ctx, m.config, b.stdio(""))
	if err == nil {
		m.System = sys
		err = sys.Start(b.ctx)
		m.close()
	}
	// podman and docker make exit code 127 of these words.
	if !contains(err, "no such file or directory", "executable file not found") {
		b.Errorf("error %v", err)
	}
}

func openFinds(b *bench) {
	m := b.create("sh", "-c", loop)
	defer m.close()
	again, err := b.Host.Open(b.ctx, m.last())
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	if again.Pid() != m.Pid() {
		b.Errorf("pid %d, opened %d", m.Pid(), again.Pid())
	}
	other := &made{System: again, b: b}
	if l := other.live(); !l.Exists || l.Started {
		b.Errorf("opened parked: %+v", l)
	}
	if err := again.Start(b.ctx); err != nil {
		b.Fatalf("start of the opened: %v", err)
	}
	if l := other.live(); !l.Exists || !l.Started {
		b.Errorf("opened running: %+v", l)
	}
	if err := again.Signal(b.ctx, 9, false); err != nil {
		b.Fatalf("signal to the opened: %v", err)
	}
	m.code(b.killed())
	if l := other.live(); l.Exists {
		b.Errorf("opened ended: %+v", l)
	}
}

func closeIsIdempotent(b *bench) {
	m := b.started("true")
	m.code(0)
	m.close()
	m.close()
	again, err := b.Host.Open(b.ctx, m.last())
	if errors.Is(err, libcontainer.ErrNotFound) {
		return
	}
	if err != nil {
		b.Fatalf("open after close: %v", err)
	}
	other := &made{System: again, b: b}
	if l := other.live(); l.Exists {
		b.Errorf("after close: %+v", l)
	}
	other.close()
}

func closeKills(b *bench) {
	parked := b.create("sleep", "1000")
	parked.close()
	running := b.started("sleep", "1000")
	p, err := running.exec(b.stdio(""), "sleep", "1000")
	if err != nil {
		b.Errorf("exec: %v", err)
	}
	running.close()
	for _, m := range []*made{parked, running} {
		if l := m.live(); l.Exists {
			b.Errorf("after close: %+v", l)
		}
	}
	if p != nil {
		if code, err := p.Wait(b.ctx); err != nil || code != b.killed() {
			b.Errorf("the exec'd process: code %d, %v", code, err)
		}
	}
}

// recordFails: what cannot be announced must not be done, and what was done is
// taken back. Each call of Record fails once.
func recordFails(b *bench) {
	for fail := 1; ; fail++ {
		m := b.config("true")
		calls := 0
		m.config.Record = func(h libcontainer.Handle) error {
			calls++
			m.handles = append(m.handles, h)
			if calls == fail {
				return errAsked
			}
			return nil
		}
		sys, err := b.Host.Create(b.ctx, m.config, b.stdio(""))
		if err == nil {
			m.System = sys
			m.close()
			if calls >= fail {
				b.Errorf("create succeeded though record %d failed", fail)
			}
			return
		}
		if calls < fail || !errors.Is(err, errAsked) {
			b.Fatalf("record %d of %d fails, but create says: %v", fail, calls, err)
		}
		if calls > fail {
			b.Errorf("create recorded %d times though record %d failed", calls, fail)
		}
		m.gone("record failed")
		if b.Left != nil && len(b.Left()) > 0 {
			b.Errorf("record %d failed, left: %v", fail, b.Left())
		}
	}
}

// gone checks that no recorded handle names anything alive, and that each can
// be closed.
func (m *made) gone(when string) {
	m.b.Helper()
	for i, h := range m.handles {
		sys, err := m.b.Host.Open(m.b.ctx, h)
		if errors.Is(err, libcontainer.ErrNotFound) {
			continue
		}
		if err != nil {
			m.b.Errorf("%s: open of handle %d: %v", when, i, err)
			continue
		}
		other := &made{System: sys, b: m.b}
		if l := other.live(); l.Exists {
			m.b.Errorf("%s: handle %d is alive: %+v", when, i, l)
		}
		other.close()
	}
}

// remains: every handle ever recorded is enough to close the container with,
// as delete has to after the creator's sudden death.
func remains(b *bench) {
	for i := 0; ; i++ {
		m := b.create("sleep", "1000")
		if i >= len(m.handles) {
			m.close()
			return
		}
		sys, err := b.Host.Open(b.ctx, m.handles[i])
		if err != nil {
			b.Errorf("open of handle %d of a living container: %v", i, err)
			m.close()
			continue
		}
		if err := sys.Close(b.ctx); err != nil {
			b.Errorf("close by handle %d: %v", i, err)
		}
		if l := m.live(); l.Exists {
			b.Errorf("close by handle %d left it alive: %+v", i, l)
		}
		if b.Left != nil && len(b.Left()) > 0 {
			b.Errorf("close by handle %d left: %v", i, b.Left())
		}
		m.close()
	}
}

func namespaces(b *bench) {
	m := b.config("true")
	calls, pid := 0, 0
	m.config.Namespaces = func(_ context.Context, p int, inside libcontainer.RunHook) error {
		calls++
		pid = p
		if len(m.handles) == 0 {
			b.Error("namespaces were made before anything was recorded")
		}
		return nil
	}
	sys, err := b.Host.Create(b.ctx, m.config, b.stdio(""))
	if err != nil {
		b.Fatalf("create: %v", err)
	}
	m.System = sys
	defer m.close()
	if calls != 1 || pid != m.Pid() {
		b.Errorf("namespaces called %d times with pid %d, want once with %d", calls, pid, m.Pid())
	}
}

func namespacesFail(b *bench) {
	m := b.config("true")
	m.config.Namespaces = func(context.Context, int, libcontainer.RunHook) error { return errAsked }
	sys, err := b.Host.Create(b.ctx, m.config, b.stdio(""))
	if err == nil {
		m.System = sys
		m.close()
	}
	if !errors.Is(err, errAsked) {
		b.Errorf("create: %v, want the error of Namespaces", err)
	}
	m.gone("namespaces failed")
}

// hookInside runs a createContainer hook, whose path is one of the runtime's.
func hookInside(b *bench) {
	const shell = "/bin/sh"
	if _, err := exec.LookPath(shell); err != nil { // Wine has the file and cannot execute it
		b.Skipf("the hook is a shell script: %v", err)
	}
	m := b.config("true")
	out := filepath.Join(b.TempDir(), "state")
	var good, bad error
	m.config.Namespaces = func(ctx context.Context, _ int, inside libcontainer.RunHook) error {
		if inside == nil {
			return libcontainer.ErrUnsupported
		}
		good = inside(ctx, specs.Hook{Path: shell, Args: []string{"sh", "-c", "read x; echo $x >" + out}}, []byte("state\n"))
		bad = inside(ctx, specs.Hook{Path: shell, Args: []string{"sh", "-c", "echo why >&2; exit 3"}}, []byte("state\n"))
		return nil
	}
	sys, err := b.Host.Create(b.ctx, m.config, b.stdio(""))
	if errors.Is(err, libcontainer.ErrUnsupported) {
		b.Skip("this host runs no hook inside the container")
	}
	if err != nil {
		b.Fatalf("create: %v", err)
	}
	m.System = sys
	defer m.close()
	if good != nil {
		b.Errorf("hook: %v", good)
	} else if s := read(b, out); s != "state\n" {
		b.Errorf("the hook read %q", s)
	}
	if !contains(bad, "exit status 3") || !contains(bad, "why") {
		b.Errorf("failing hook: %v", bad)
	}
}
