package guest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

// This file is what can be asked of a container that runs.

func (a *agent) processes(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	pids, err := t.container.system.Processes(context.Background())
	if pids == nil {
		pids = []int{}
	}
	return pids, err
}

func (a *agent) freeze(w wire.Target, frozen bool) error {
	t, err := a.find(w.ID)
	if err != nil {
		return err
	}
	p, ok := t.container.system.(libcontainer.Pauser)
	switch {
	case !ok:
		return libcontainer.ErrUnsupported
	case frozen:
		return p.Pause(context.Background())
	}
	return p.Resume(context.Background())
}

// unlimited is what nobody means as a limit: cgroup v1 says so with 2^63.
const unlimited = 1 << 50

func (a *agent) update(u wire.Update) (any, error) {
	t, err := a.find(u.ID)
	if err != nil {
		return nil, err
	}
	s, ok := t.container.system.(libcontainer.Updater)
	if !ok {
		return nil, libcontainer.ErrUnsupported
	}
	if m := u.Resources.Memory; m != nil && m.Limit != nil && *m.Limit > 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return nil, err
		}
		if has := uint64(info.Totalram) * uint64(info.Unit); uint64(*m.Limit) > has && *m.Limit < unlimited {
			return nil, fmt.Errorf("the utility VM has %d MiB of memory and gets no more while it runs: create the container with the limit that it will need", has>>20)
		}
	}
	return nil, s.Update(context.Background(), u.Resources)
}

func (a *agent) stats(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	m, ok := t.container.system.(libcontainer.Meter)
	if !ok {
		return nil, libcontainer.ErrUnsupported
	}
	return m.Stats(context.Background())
}

func (a *agent) hook(h wire.Hook) (any, error) {
	t, err := a.find(h.ID)
	if err != nil {
		return nil, err
	}
	r, ok := t.container.system.(libcontainer.StartHookRunner)
	if !ok {
		return nil, libcontainer.ErrUnsupported
	}
	spec, err := t.container.spec()
	if err != nil {
		return nil, err
	}
	a.births.RLock()
	defer a.births.RUnlock()
	return nil, r.RunStartHook(context.Background(), h.Hook, spec, h.State)
}

func (a *agent) resize(r wire.Resize) (any, error) {
	t, err := a.find(r.ID)
	if err != nil {
		return nil, err
	}
	return nil, t.streams.resemble(r.Terminal)
}

// userHZ is what proc(5) counts times in.
const userHZ = 100

// table describes the container's processes, which no ps of the host sees.
func (a *agent) table(w wire.Target) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	pids, err := t.container.system.Processes(context.Background())
	if err != nil {
		return nil, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return nil, err
	}
	booted := time.Now().Add(-time.Duration(up.Nano()))
	list := []libcontainer.ProcessInfo{}
	for _, pid := range pids {
		if p, ok := describe(pid, booted); ok {
			list = append(list, p)
		}
	}
	return list, nil
}

// describe reads /proc/PID/stat; not ok: it has ended meanwhile.
func describe(pid int, booted time.Time) (p libcontainer.ProcessInfo, ok bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	text := string(data)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, false
	}
	f := strings.Fields(text[end+1:]) // from field 3 on
	if len(f) < 22 {
		return p, false
	}
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(f[i-3], 10, 64) // the kernel's own numbers
		return time.Duration(n) * time.Second / userHZ
	}
	pages, _ := strconv.ParseUint(f[24-3], 10, 64)
	command, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // a zombie has none
	return libcontainer.ProcessInfo{
		Pid: pid, Image: text[open+1 : end], Command: strings.ReplaceAll(strings.TrimRight(string(command), "\x00"), "\x00", " "), Created: booted.Add(ticks(22)),
		User: ticks(14), Kernel: ticks(15), Memory: pages * uint64(os.Getpagesize()),
	}, true
}
