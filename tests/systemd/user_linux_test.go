package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
)

const (
	userGroup = "/user.slice/user-1000.slice/user@1000.service"
	userScope = userGroup + "/user.slice/" + scope
)

// user is the machine as an ordinary user sees it whose systemd runs, and who
// runs below it, as podman and whatever else that systemd started does. environment
// tells where their systemd is.
func (m *machine) user(environment ...string) *machine {
	m.Helper()
	u := &machine{T: m.T, pid: m.pid, groups: m.groups, dir: m.dir}
	u.Wrun = &container.Wrun{Binary: filepath.Join(m.dir, "user-inside"), Root: filepath.Join(m.dir, "user-state")}
	if err := os.Mkdir(u.Root, 0o700); err == nil {
		container.Must(m, os.Chown(u.Root, 1000, 1000))
	}
	u.as = append([]string{"setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "env", "-u", "DBUS_SESSION_BUS_ADDRESS", "-u", "XDG_RUNTIME_DIR", "HOME=/tmp"}, environment...)
	if m.property("user@1000.service", "ActiveState") == "active" {
		session := "/sys/fs/cgroup" + userGroup + "/tests"
		if out := u.inside("mkdir", "-p", session); out != "" {
			m.Fatal(out)
		}
		u.as = append([]string{"sh", "-ec", `echo $$ >"$0/cgroup.procs"; exec "$@"`, session}, u.as...)
	}
	u.program(u.Binary, filepath.Join(m.dir, "wrun"), "--systemd-cgroup")
	return u
}

const (
	runtimeDir = "XDG_RUNTIME_DIR=/run/user/1000"
	bus        = "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus"
)

// startUser starts the user's systemd.
func (m *machine) startUser() {
	m.Helper()
	if out := m.inside("systemctl", "start", "user@1000.service"); out != "" {
		m.Fatalf("start the user's systemd: %s", out)
	}
}

// mapped is a bundle as an ordinary user may run it: they are its root.
func mapped(edit func(*specs.Spec)) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.CgroupsPath = "user.slice:libpod:abc"
		s.Mounts = s.Mounts[:4] // sysfs is not theirs to mount where there is none
		s.Mounts[2].Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
		s.Linux.MaskedPaths = nil
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
		if edit != nil {
			edit(s)
		}
	}
}

// inherited is a bundle of a rootless engine: it and wrun are in a user namespace
// already.
func inherited(edit func(*specs.Spec)) func(*specs.Spec) {
	return func(s *specs.Spec) {
		mapped(edit)(s)
		s.Linux.Namespaces = s.Linux.Namespaces[:len(s.Linux.Namespaces)-1]
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	}
}

// controllers says whether the machine's v2 has those that users are given.
func (m *machine) controllers() bool {
	m.Helper()
	list := " " + m.inside("cat", "/sys/fs/cgroup/cgroup.controllers") + " "
	return strings.Contains(list, " memory ") && strings.Contains(list, " pids ") && strings.Contains(list, " cpu ")
}

// read is what control files of the scope say.
func (m *machine) read(group string, files ...string) string {
	m.Helper()
	return strings.Join(strings.Fields(m.inside("sh", "-c", "cd /sys/fs/cgroup$0; cat "+strings.Join(files, " "), group)), " ")
}

// TestUser: an ordinary user's systemd has the container, whether wrun finds it
// by its socket or by the message bus, and as root of a user namespace, too.
func TestUser(t *testing.T) {
	m := boot(t, "unified")
	m.startUser()
	for _, c := range []struct {
		name        string
		environment []string
		bundle      func(func(*specs.Spec)) func(*specs.Spec)
	}{
		{"socket", []string{runtimeDir}, mapped},
		{"bus", []string{bus}, mapped},
		{"user namespace", []string{runtimeDir, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere"}, inherited},
		{"user namespace and bus", []string{bus}, inherited},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := m.of(t)
			if c.environment[0] == bus {
				m.startBus()
			}
			u := m.user(c.environment...)
			if strings.HasPrefix(c.name, "user namespace") {
				u.pause()
			}
			u.life(c.bundle)
			if c.environment[0] == runtimeDir {
				u.defaultRoot(c.bundle(nil))
			}
		})
	}
}

// of is the machine in another test.
func (m *machine) of(t *testing.T) *machine {
	other := *m
	other.T = t
	return &other
}

// startBus starts the user's message bus.
func (m *machine) startBus() {
	m.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		m.Skipf("no message bus: sh tests/setup.sh dbus-user-session: %v", err)
	}
	if _, err := os.Stat("/usr/lib/systemd/user/dbus.socket"); err != nil {
		m.Skipf("no unit for a message bus: sh tests/setup.sh dbus-user-session: %v", err)
	}
	if out := m.user(runtimeDir).inside("systemctl", "--user", "start", "dbus.service"); out != "" {
		m.Fatalf("start the user's bus: %s", out)
	}
}

// pause has a process hold a user namespace and a mount namespace, and wrun
// enter them, as podman does.
func (m *machine) pause() {
	m.Helper()
	file := filepath.Join(m.Root, "pause.pid")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		m.Fatal(err)
	}
	args := append(m.beside(), "unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-ec", `echo $$ >"$0"; exec sleep 1000`, file)
	cmd := exec.Command(args[0], args[1:]...)
	container.Must(m, cmd.Start())
	m.Cleanup(func() {
		if pid := child(cmd.Process.Pid); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var pid []byte
	m.await("the process that holds the user namespace", func() bool {
		pid, _ = os.ReadFile(file)
		return strings.HasSuffix(string(pid), "\n")
	})
	outside := *m
	m.as = append(m.as, "nsenter", "--target", strings.TrimSpace(string(pid)), "--user", "--mount", "--preserve-credentials", "--")
	m.program(m.Binary, filepath.Join(m.dir, "wrun"), "--systemd-cgroup")
	m.as = outside.as
}

// life is a container's of the user.
func (m *machine) life(bundle func(func(*specs.Spec)) func(*specs.Spec)) {
	m.Helper()
	limited := m.controllers()
	m.OK(m, "create", "--bundle", m.bundle(bundle(func(s *specs.Spec) {
		if limited {
			s.Linux.Resources = &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(50))},
				CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(25000)), Period: ptr(uint64(50000))},
				Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
			}
		}
	})), "abc")
	for name, want := range map[string]string{"Slice": "user.slice", "ControlGroup": userScope, "ActiveState": "active", "Description": "wrun container abc"} {
		if got := m.property(scope, name); got != want {
			m.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if pids := strings.Fields(m.read(userScope, "cgroup.procs")); len(pids) != 1 {
		m.Errorf("processes %s are in the scope, want the container's first alone", pids)
	}
	m.OK(m, "start", "abc")
	if got := m.OK(m, "exec", "abc", "cat", "/proc/self/cgroup").Stdout; !strings.HasSuffix(got, "\n0::/\n") && got != "0::/\n" {
		m.Errorf("a command is in %q", got)
	}
	m.OK(m, "pause", "abc")
	if s := m.State(m, "abc"); s != "paused" {
		m.Errorf("paused it is %s", s)
	}
	m.OK(m, "resume", "abc")
	if limited {
		m.equal("limits", m.read(userScope, "memory.max", "pids.max", "cpu.weight", "cpu.max"), "67108864 50 59 25000 50000")
		m.OK(m, "update", "--memory", "33554432", "--pids-limit", "20", "--cpu-quota", "10000", "abc")
	}
	m.inside("systemctl", "--user", "daemon-reload")
	if limited {
		m.equal("limits after update and daemon-reload", m.read(userScope, "memory.max", "pids.max", "cpu.weight", "cpu.max"), "33554432 20 59 10000 50000")
		m.equal("systemd's", fmt.Sprint(m.property(scope, "MemoryMax"), " ", m.property(scope, "TasksMax"), " ", m.property(scope, "CPUQuotaPerSecUSec")), "33554432 20 200ms")
	}
	m.OK(m, "delete", "--force", "abc")
	m.gone(scope)
}

// defaultRoot holds that the state is in the user's runtime directory, whose root
// they may be.
func (m *machine) defaultRoot(edit func(*specs.Spec)) {
	m.Helper()
	call := func(args ...string) {
		m.Helper()
		if err := exec.Command(m.Binary, args...).Run(); err != nil {
			m.Errorf("%q: %v", args, err)
		}
	}
	call("create", "--bundle", m.bundle(edit), "default")
	m.equal("state", m.inside("ls", "/run/user/1000/wrun"), "default")
	call("delete", "--force", "default")
	m.gone(scope)
}

func (m *machine) equal(what, got, want string) {
	m.Helper()
	if got != want {
		m.Errorf("%s: %s, want %s", what, got, want)
	}
}

// TestUserRefused: where the user's systemd cannot have the container, the error
// says what to do, and nothing is left; who asked for no cgroup gets none.
func TestUserRefused(t *testing.T) {
	const linger = "loginctl enable-linger"
	m := boot(t, "unified")
	m.user(runtimeDir).refuses("systemd is not running here", linger)
	m.user().refuses("neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS", linger)
	outside := m.user(runtimeDir)
	m.startUser()
	outside.refuses("outside of "+userGroup, "systemd-run --user --scope")
	m.user("DBUS_SESSION_BUS_ADDRESS=unixexec:path=/bin/true").refuses("names no socket", linger)
	u := m.user(runtimeDir)
	for name, c := range map[string]struct {
		edit func(*specs.Spec)
		want string
	}{
		"path":    {func(s *specs.Spec) { s.Linux.CgroupsPath = "/abc" }, "is not of the form slice:prefix:name"},
		"systemd": {func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.Nonsense": "true"} }, "have systemd start libpod-abc.scope"},
		"limit": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}
		}, "cpuset"},
		"program": {func(s *specs.Spec) { s.Root.Path = "nowhere" }, "nowhere"},
	} {
		r := u.Wrun.Run(t, "create", "--bundle", u.bundle(mapped(c.edit)), "abc")
		if r.Code != 1 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%s: exit code %d, %q; want %q", name, r.Code, r.Stderr, c.want)
		}
		u.nothing()
	}
}

// refuses holds that there is no scope for the user's container.
func (m *machine) refuses(want ...string) {
	m.Helper()
	r := m.Wrun.Run(m, "create", "--bundle", m.bundle(mapped(nil)), "abc")
	for _, w := range want {
		if r.Code != 1 || !strings.Contains(r.Stderr, w) {
			m.Errorf("exit code %d, %q; want %q", r.Code, r.Stderr, w)
		}
	}
	m.nothing()
	without := m.bundle(mapped(func(s *specs.Spec) { s.Linux.CgroupsPath = "" }))
	if r := m.Wrun.Run(m, "create", "--bundle", without, "abc"); r.Code != 0 || !strings.Contains(r.Stderr, "the container has no cgroup: ") {
		m.Errorf("without a path: exit code %d, %q", r.Code, r.Stderr)
	}
	m.OK(m, "start", "abc")
	m.OK(m, "exec", "abc", "cat", "/dev/null")
	m.OK(m, "delete", "--force", "abc")
	m.nothing()
}

// nothing holds that nothing is left of a container.
func (m *machine) nothing() {
	m.Helper()
	if s := m.State(m, "abc"); s != "" {
		m.Errorf("it is %s", s)
	}
	m.gone(scope)
}

// TestUserLegacy: an ordinary user's systemd is given no cgroup of v1.
func TestUserLegacy(t *testing.T) {
	if native() != "legacy" {
		t.Skip("the machine has no hierarchies of cgroup v1")
	}
	boot(t, "legacy").user(runtimeDir).refuses("makes cgroups of v2 alone", "--systemd-cgroup")
}
