package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/container"
)

const (
	scope  = "libpod-abc.scope"
	inside = "machine.slice/" + scope
)

// bundle is a container as podman asks for it with cgroup_manager = "systemd".
func (m *machine) bundle(edit func(*specs.Spec)) string {
	m.Helper()
	dir, err := os.MkdirTemp(m.dir, "bundle-")
	container.Must(m, err)
	container.Must(m, os.Chmod(dir, 0o755))
	b := container.NewBundle(m, dir, "sleep", "1000")
	b.Spec.Linux.CgroupsPath = "machine.slice:libpod:abc"
	if edit != nil {
		edit(b.Spec)
	}
	b.Save(m)
	return b.Dir
}

func ptr[T any](v T) *T { return &v }

func limits(s *specs.Spec) {
	s.Annotations = map[string]string{"org.systemd.property.TimeoutStopUSec": "uint64 5000000"}
	s.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(50))},
		CPU: &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(25000)), Period: ptr(uint64(50000))},
		Devices: []specs.LinuxDeviceCgroup{
			{Access: "rwm"}, {Allow: true, Type: "b", Major: ptr(int64(8)), Access: "r"},
			{Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229))}, {Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229))},
		},
	}
}

// files are the limits that the kernel has.
func (m *machine) files() string {
	m.Helper()
	return strings.Join(strings.Fields(m.inside("sh", "-c", "cd /sys/fs/cgroup; cat memory/$0/memory.limit_in_bytes pids/$0/pids.max cpu/$0/cpu.shares cpu/$0/cpu.cfs_quota_us cpu/$0/cpu.cfs_period_us", inside)), " ")
}

// TestLife: the container is in a scope of systemd's, systemd knows its limits
// from the first and after update, and leaves them when it reads its units
// again; in the end neither has anything left of it.
func TestLife(t *testing.T) {
	if native() != "legacy" {
		t.Skip("the machine has no hierarchies of cgroup v1: see TestUnified")
	}
	m := boot(t, "legacy")
	m.OK(t, "create", "--bundle", m.bundle(limits), "abc")
	for name, want := range map[string]string{
		"Slice": "machine.slice", "ControlGroup": "/" + inside, "ActiveState": "active", "Delegate": "yes", "Description": "wrun container abc",
		"MemoryLimit": "67108864", "TasksMax": "50", "CPUShares": "512", "CPUQuotaPerSecUSec": "500ms", "CPUQuotaPeriodUSec": "50ms",
		"DevicePolicy": "strict", "TimeoutStopUSec": "5s",
	} {
		if got := m.property(scope, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := m.files(); got != "67108864 50 512 25000 50000" {
		t.Errorf("the kernel has %s", got)
	}
	m.OK(t, "start", "abc")
	for _, of := range []string{"1", "self"} { // what exec starts is in the scope, too
		for line := range strings.Lines(m.OK(t, "exec", "abc", "cat", "/proc/"+of+"/cgroup").Stdout) {
			if !strings.HasSuffix(line, ":/\n") {
				t.Errorf("process %s is beside the container's cgroup namespace: %s", of, line)
			}
		}
	}
	if pids := strings.Fields(m.inside("cat", "/sys/fs/cgroup/systemd/"+inside+"/cgroup.procs")); len(pids) != 1 {
		t.Errorf("processes %s are in the scope, want the container's first alone", pids)
	}
	devices := m.inside("sort", "/sys/fs/cgroup/devices/"+inside+"/devices.list")

	m.OK(t, "update", "--memory", "33554432", "--pids-limit", "20", "--cpu-quota", "10000", "abc")
	m.inside("systemctl", "daemon-reload")
	if got := m.files(); got != "33554432 20 512 10000 50000" {
		t.Errorf("after update and daemon-reload the kernel has %s", got)
	}
	if now := m.inside("sort", "/sys/fs/cgroup/devices/"+inside+"/devices.list"); now != devices || !strings.Contains(now, "c 1:3 rwm") {
		t.Errorf("devices after daemon-reload: %s; before: %s", now, devices)
	}
	if got := m.property(scope, "CPUQuotaPerSecUSec"); got != "200ms" {
		t.Errorf("systemd gives it %s of a second", got)
	}
	m.OK(t, "pause", "abc")
	if s := m.State(t, "abc"); s != "paused" {
		t.Errorf("paused it is %s", s)
	}
	m.OK(t, "resume", "abc")
	m.OK(t, "delete", "--force", "abc")
	m.gone(scope)
	// The slice is systemd's to remove, where it made it, and wrun's elsewhere.
	if m.property("machine.slice", "ActiveState") != "active" || m.inside("test", "-d", "/sys/fs/cgroup/memory/machine.slice") != "" {
		t.Error("systemd's slice has no cgroup any more")
	}
	if m.inside("test", "!", "-e", "/sys/fs/cgroup/freezer/machine.slice") != "" {
		t.Error("the slice's cgroup for the freezer is left")
	}
}

// TestEnds: a scope ends with its container's processes, before delete.
func TestEnds(t *testing.T) {
	m := boot(t, native())
	dir := m.bundle(func(s *specs.Spec) { s.Process.Args = []string{"true"} })
	m.OK(t, "create", "--bundle", dir, "abc")
	m.OK(t, "start", "abc")
	m.await("the end of the scope", func() bool { return m.property(scope, "LoadState") == "not-found" })
	if s := m.State(t, "abc"); s != specs.StateStopped {
		t.Errorf("it is %s", s)
	}
	m.OK(t, "delete", "abc")
	m.gone(scope)
	// The name is free again.
	m.OK(t, "create", "--bundle", dir, "again")
	m.OK(t, "delete", "--force", "again")
	m.gone(scope)
}

// TestNotAnothers: the delete of a container leaves alone who has its scope by
// now, or had it before.
func TestNotAnothers(t *testing.T) {
	m := boot(t, native())
	dir := m.bundle(nil)
	m.OK(t, "create", "--bundle", dir, "first")
	m.OK(t, "kill", "first", "KILL")
	m.await("the end of the scope", func() bool { return m.property(scope, "LoadState") == "not-found" })
	m.OK(t, "create", "--bundle", dir, "second")
	m.OK(t, "delete", "first")
	// A unit's name is taken in whatever slice it is.
	elsewhere := m.bundle(func(s *specs.Spec) { s.Linux.CgroupsPath = "other.slice:libpod:abc" })
	if r := m.Wrun.Run(t, "create", "--bundle", elsewhere, "third"); r.Code != 1 || !strings.Contains(r.Stderr, "have systemd start "+scope) {
		t.Errorf("exit code %d, %q", r.Code, r.Stderr)
	}
	m.Env = []string{"WRUN_FAULT=" + libcontainer.FaultCreateRecorded}
	m.Wrun.Run(t, "create", "--bundle", elsewhere, "third")
	m.Env = nil
	m.OK(t, "delete", "--force", "third")
	if s, active := m.State(t, "second"), m.property(scope, "ActiveState"); s != specs.StateCreated || active != "active" {
		t.Errorf("the second container is %s, its scope %s", s, active)
	}
	m.OK(t, "delete", "--force", "second")
	m.gone(scope)
}

// TestUnified: the same where systemd has cgroup v2 alone, with limits where the
// machine's controllers are in it.
func TestUnified(t *testing.T) {
	m := boot(t, "unified")
	limited := m.controllers()
	m.OK(t, "create", "--bundle", m.bundle(func(s *specs.Spec) {
		if limited {
			limits(s)
			s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{Weight: ptr(uint16(500))}
			s.Linux.Resources.CPU.Cpus = "0"
			s.Linux.Resources.Unified = map[string]string{"memory.high": "50331648", "memory.swap.max": "0"}
		}
	}), "abc")
	m.OK(t, "start", "abc")
	if got := m.property(scope, "ControlGroup"); got != "/"+inside {
		t.Errorf("it is in %s", got)
	}
	pids := strings.Fields(m.inside("cat", "/sys/fs/cgroup/"+inside+"/cgroup.procs"))
	if len(pids) != 1 {
		t.Errorf("processes %s are in the scope, want the container's first alone", pids)
	}
	m.OK(t, "exec", "abc", "cat", "/dev/null")
	m.inside("systemctl", "daemon-reload")
	m.OK(t, "exec", "abc", "sh", "-c", "echo >/dev/null")
	if limited {
		m.unifiedLimits()
	}
	m.OK(t, "delete", "--force", "abc")
	m.gone(scope)
}

// unifiedLimits are in the kernel's files and in the unit, and daemon-reload
// changes neither.
func (m *machine) unifiedLimits() {
	m.Helper()
	files := func() string {
		return m.read("/"+inside, "memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max", "cpuset.cpus", "io.bfq.weight")
	}
	m.equal("the kernel's limits", files(), "67108864 50331648 0 50 59 25000 50000 0 default 500")
	m.OK(m, "update", "--memory", "33554432", "--pids-limit", "20", "--cpu-quota", "10000", "abc")
	m.inside("systemctl", "daemon-reload")
	m.equal("after update and daemon-reload the kernel's limits", files(), "33554432 50331648 0 20 59 10000 50000 0 default 500")
	for name, want := range map[string]string{
		"MemoryMax": "33554432", "MemoryHigh": "50331648", "MemorySwapMax": "0", "TasksMax": "20", "CPUWeight": "59",
		"CPUQuotaPerSecUSec": "200ms", "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0", "IOWeight": "4500", "DevicePolicy": "strict",
	} {
		m.equal(name, m.property(scope, name), want)
	}
}

// TestRefused: whoever refuses, wrun, systemd or the kernel, nothing is left.
func TestRefused(t *testing.T) {
	m := boot(t, native())
	m.OK(t, "create", "--bundle", m.bundle(nil), "other")
	for name, c := range map[string]struct {
		edit func(*specs.Spec)
		want string
	}{
		"path":       {func(s *specs.Spec) { s.Linux.CgroupsPath = "/abc" }, `linux.cgroupsPath "/abc" is not of the form slice:prefix:name`},
		"slice":      {func(s *specs.Spec) { s.Linux.CgroupsPath = "machine.slice::a.slice" }, "the slice a.slice holds no processes"},
		"taken":      {func(*specs.Spec) {}, "container's cgroup is not empty"},
		"annotation": {func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.Nice": "uint64 x"} }, "annotation org.systemd.property.Nice=uint64 x"},
		"systemd":    {func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.Nonsense": "true"} }, "have systemd start libpod-"},
		"kernel": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "1000"}}
		}, "linux.resources.cpu.cpus"},
		"program": {func(s *specs.Spec) { s.Root.Path = "nowhere" }, "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{T: t, Wrun: m.Wrun, pid: m.pid, groups: m.groups, dir: m.dir}
			dir := m.bundle(func(s *specs.Spec) {
				if name != "taken" {
					s.Linux.CgroupsPath = "machine.slice:libpod:" + name
				}
				c.edit(s)
			})
			r := m.Wrun.Run(t, "create", "--bundle", dir, name)
			if r.Code != 1 || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("exit code %d, %q; want %q", r.Code, r.Stderr, c.want)
			}
			if s := m.State(t, name); s != "" {
				t.Errorf("it is %s", s)
			}
			m.gone("libpod-" + name + ".scope")
		})
	}
	if m.State(t, "other") != specs.StateCreated || m.property(scope, "ActiveState") != "active" {
		t.Error("the other container suffered")
	}
	m.OK(t, "delete", "--force", "other")
	m.gone(scope)
}

// TestKilled: wrun dies at every fault point of create and of delete, and
// delete --force leaves nothing.
func TestKilled(t *testing.T) {
	m := boot(t, native())
	dir := m.bundle(nil)
	killed := 0
	for _, point := range libcontainer.FaultPoints {
		if !strings.HasPrefix(point, "create.") && !strings.HasPrefix(point, "delete.") {
			continue
		}
		for _, passage := range []string{"1", "2"} {
			at := point + ":" + passage
			m.Env = nil
			if strings.HasPrefix(point, "delete.") {
				m.OK(t, "create", "--bundle", dir, "abc")
				m.Env = []string{"WRUN_FAULT=" + at}
				m.Wrun.Run(t, "delete", "--force", "abc")
			} else {
				m.Env = []string{"WRUN_FAULT=" + at}
				if r := m.Wrun.Run(t, "create", "--bundle", dir, "--pid-file", filepath.Join(m.dir, "pid"), "abc"); r.Code != 0 {
					killed++
				}
			}
			m.Env = nil
			if r := m.Wrun.Run(t, "delete", "--force", "abc"); r.Code != 0 {
				t.Errorf("killed at %s: delete --force: %d, %s", at, r.Code, r.Stderr)
			}
			m.gone(scope)
		}
	}
	if killed < 5 {
		t.Errorf("create was killed %d times only", killed)
	}
}

// TestNoSystemd: the error says what to do.
func TestNoSystemd(t *testing.T) {
	if site.WhyNot != "" {
		t.Skip(site.WhyNot)
	}
	dir := t.TempDir()
	m := &machine{T: t, dir: dir}
	w := &container.Wrun{Binary: site.Binary, Root: filepath.Join(dir, "state")}
	bundle := m.bundle(nil)
	out, err := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs none /run && exec "$@"`, "sh",
		w.Binary, "--root", w.Root, "--systemd-cgroup", "create", "--bundle", bundle, "abc").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "systemd is not running here (without --systemd-cgroup wrun makes cgroups itself") {
		t.Errorf("%v: %s", err, out)
	}
	if s := w.State(t, "abc"); s != "" {
		t.Errorf("it is %s", s)
	}
}

// TestElsewhere: wrun in a cgroup namespace of its own does not see where systemd
// puts things.
func TestElsewhere(t *testing.T) {
	m := boot(t, "unified")
	m.as = []string{"sh", "-ec", `mkdir -p /sys/fs/cgroup/own; echo $$ >/sys/fs/cgroup/own/cgroup.procs
exec unshare --cgroup --mount sh -ec 'umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec "$@"' sh "$@"`, "sh"}
	m.program(m.Binary, filepath.Join(m.dir, "wrun"), "--systemd-cgroup")
	m.as = nil
	r := m.Wrun.Run(t, "create", "--bundle", m.bundle(nil), "abc")
	if r.Code != 1 || !strings.Contains(r.Stderr, "systemd has put "+scope+" elsewhere than at /"+inside) {
		t.Errorf("exit code %d, %q", r.Code, r.Stderr)
	}
	if s := m.State(t, "abc"); s != "" {
		t.Errorf("it is %s", s)
	}
	m.await("the end of the scope", func() bool { return m.property(scope, "LoadState") == "not-found" })
	m.gone(scope)
}
