package hosttest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

func execExitCodes(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	for _, c := range []struct {
		script string
		want   int
	}{{"echo here; exit 0", 0}, {"echo here; exit 42", 42}, {"echo here; exit 255", 255}, {"echo here; kill -9 $$", 137}} {
		io := b.stdio("")
		p, err := m.exec(io, "sh", "-c", c.script)
		if err != nil {
			b.Errorf("%s: %v", c.script, err)
			continue
		}
		if p.Pid() <= 0 || p.Pid() == m.Pid() {
			b.Errorf("%s: pid %d, init's is %d", c.script, p.Pid(), m.Pid())
		}
		if code, err := p.Wait(b.ctx); err != nil || code != c.want {
			b.Errorf("%s: code %d, %v", c.script, code, err)
		}
		if out := read(b, io.Out.Name()); out != "here\n" {
			b.Errorf("%s: output %q", c.script, out)
		}
	}
	if l := m.live(); !l.Exists || !l.Started {
		b.Errorf("after the execs: %+v", l)
	}
}

func execMissingProgram(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	_, err := m.exec(b.stdio(""), "/no/such/program")
	if !contains(err, "no such file or directory", "executable file not found") {
		b.Errorf("exec: %v", err)
	}
	if l := m.live(); !l.Exists || !l.Started {
		b.Errorf("after the failed exec: %+v", l)
	}
	pids, err := m.Processes(b.ctx)
	if err != nil || len(pids) != 1 {
		b.Errorf("after the failed exec: processes %v, %v", pids, err)
	}
}

func execAfterEnd(b *bench) {
	m := b.started("true")
	defer m.close()
	m.code(0)
	if _, err := m.exec(b.stdio(""), "true"); err == nil {
		b.Error("exec in an ended container succeeded")
	}
}

func execSignal(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	io := b.stdio("")
	p, err := m.exec(io, "sh", "-c", "echo ready; "+loop)
	if err != nil {
		b.Fatalf("exec: %v", err)
	}
	// Not before: Go's run time on Windows takes a console event as soon as it has
	// asked for them, and can pass it on, or end by it, only later.
	b.until("the program is up", func() bool { return read(b, io.Out.Name()) == "ready\n" })
	if err := p.Signal(b.term()); err != nil {
		b.Errorf("signal: %v", err)
	}
	if code, err := p.Wait(b.ctx); err != nil || code != b.terminated() {
		b.Errorf("code %d, %v", code, err)
	}
	if l := m.live(); !l.Exists {
		b.Error("the signal to one process ended the container")
	}
}

func processes(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	p, err := m.exec(b.stdio(""), "sleep", "1000")
	if err != nil {
		b.Fatalf("exec: %v", err)
	}
	pids, err := m.Processes(b.ctx)
	if err != nil {
		b.Fatalf("processes: %v", err)
	}
	init := m.Pid()
	if b.Monitored { // whose own number another kernel may have given to one of these
		init = m.live().Init
	}
	if len(pids) != 2 || pids[0] != init || slices.Contains(pids, p.Pid()) == b.Deputies {
		b.Errorf("processes %v, want init %d first; the other one is %d", pids, init, p.Pid())
	}
}

func (b *bench) pauser(m *made) libcontainer.Pauser {
	p, ok := m.System.(libcontainer.Pauser)
	if !ok {
		b.Skip("this host pauses nothing")
	}
	return p
}

func pause(b *bench) {
	m := b.started("sh", "-c", "while :; do echo tick; sleep 0.01; done")
	defer m.close()
	p := b.pauser(m)
	b.until("first tick", func() bool { return read(b, m.out) != "" })
	if err := p.Pause(b.ctx); err != nil {
		b.Fatalf("pause: %v", err)
	}
	if l := m.live(); !l.Exists || !l.Started || !l.Paused {
		b.Errorf("paused: %+v", l)
	}
	time.Sleep(50 * time.Millisecond) // the fake ends its statement
	before := len(read(b, m.out))
	time.Sleep(200 * time.Millisecond)
	if after := len(read(b, m.out)); after != before {
		b.Errorf("a paused program wrote %d bytes", after-before)
	}
	if err := p.Resume(b.ctx); err != nil {
		b.Fatalf("resume: %v", err)
	}
	if l := m.live(); l.Paused {
		b.Errorf("resumed: %+v", l)
	}
	b.until("next tick", func() bool { return len(read(b, m.out)) > before })
	if err := p.Pause(b.ctx); err != nil { // and close works on a paused container
		b.Errorf("second pause: %v", err)
	}
}

func pauseParked(b *bench) {
	m := b.create("true")
	defer m.close()
	p := b.pauser(m)
	if err := p.Pause(b.ctx); err != nil {
		b.Fatalf("pause: %v", err)
	}
	if l := m.live(); !l.Exists || l.Started || !l.Paused {
		b.Errorf("paused: %+v", l)
	}
	if err := p.Resume(b.ctx); err != nil {
		b.Fatalf("resume: %v", err)
	}
	if err := m.Start(b.ctx); err != nil {
		b.Fatalf("start: %v", err)
	}
	m.code(0)
}

func update(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	if b.Windows != nil {
		u, ok := m.System.(libcontainer.WindowsUpdater)
		if !ok {
			b.Skip("this host has no limits to change")
		}
		if err := u.UpdateWindows(b.ctx, &specs.WindowsResources{}); err != nil {
			b.Errorf("an update of nothing: %v", err)
		}
		limit := uint64(256 << 20)
		if err := u.UpdateWindows(b.ctx, &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{Limit: &limit}}); err != nil {
			b.Errorf("update: %v", err)
		}
		return
	}
	u, ok := m.System.(libcontainer.Updater)
	if !ok {
		b.Skip("this host has no limits to change")
	}
	if err := u.Update(b.ctx, &specs.LinuxResources{}); err != nil {
		b.Errorf("an update of nothing: %v", err)
	}
	limit := int64(64)
	if err := u.Update(b.ctx, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}); err != nil {
		b.Errorf("update: %v", err)
	}
}

func stats(b *bench) {
	m := b.started("sleep", "1000")
	defer m.close()
	meter, ok := m.System.(libcontainer.Meter)
	if !ok {
		b.Skip("this host has no meters")
	}
	v, err := meter.Stats(b.ctx)
	if err != nil {
		b.Fatalf("stats: %v", err)
	}
	data, err := json.Marshal(v)
	if err != nil || len(data) < 3 || data[0] != '{' {
		b.Errorf("stats are %s, %v; want a JSON object with something in it", data, err)
	}
}
