package podman

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun: what a program says and how it ends reaches podman's caller, and so
// does why it could not be started, in the codes that docker made customary.
func TestRun(t *testing.T) {
	each(t, func(r *rig) {
		res := r.podman("input", r.run([]string{"--rm", "--interactive"}, "sh", "-c", "cat; echo; echo error >&2; exit 42")...)
		if res.code != 42 || res.out != "input\n" || res.err != "error\n" {
			r.Errorf("run: %s", res)
		}
		r.equal("a terminal", r.ok(r.run([]string{"--rm", "--tty"}, "sh", "-c", "test -t 0 && test -t 1 && echo terminal")...), "terminal")
		for program, want := range map[string]int{"/no/such": 127, "nosuch": 127, "/tmp": 126, "/etc/hosts": 126} {
			if res := r.podman("", r.run([]string{"--rm"}, program)...); res.code != want {
				r.Errorf("%s: %s, want code %d", program, res, want)
			}
		}
	})
}

// TestOptions: what podman's options ask for is what the container has.
func TestOptions(t *testing.T) {
	each(t, func(r *rig) {
		r.write("bundle/given", "given")
		given := filepath.Join(r.dir, "bundle/given")
		for _, c := range []struct {
			options []string
			script  string
			want    string
		}{
			{nil, "cat /proc/1/comm; cat /proc/self/status | busybox grep -c 'Seccomp:.*2'", "sh\n1"},
			{[]string{"--read-only"}, "echo x 2>/dev/null >/etc/x || echo refused", "refused"},
			{[]string{"--hostname", "here"}, "busybox hostname", "here"},
			{[]string{"--user", "7:8"}, "busybox id -u; busybox id -g", "7\n8"},
			{[]string{"--cap-drop", "all"}, "busybox grep CapEff /proc/self/status | busybox cut -f2", "0000000000000000"},
			{[]string{"--privileged"}, "busybox grep -c Seccomp:.*0 /proc/self/status", "1"},
			{[]string{"--volume", given + ":/given:ro"}, "cat /given; echo x 2>/dev/null >/given || echo refused", "givenrefused"},
			{[]string{"--tmpfs", "/t:size=1m"}, "busybox df /t | busybox tail -1 | busybox awk '{print $2}'", "1024"},
			{[]string{"--env", "A=1 2", "--workdir", "/tmp"}, "echo $A; pwd", "1 2\n/tmp"},
			{[]string{"--ulimit", "core=0:0", "--ulimit", "nofile=100:200", "--ulimit", "nproc=4096:4096"}, "ulimit -c; ulimit -n; ulimit -Hn", "0\n100\n200"},
			{[]string{"--sysctl", "net.ipv4.ip_forward=1"}, "cat /proc/sys/net/ipv4/ip_forward", "1"},
			{[]string{"--oom-score-adj", "500"}, "cat /proc/self/oom_score_adj", "500"},
			{[]string{"--security-opt", "mask=/proc/version"}, "cat /proc/version", ""},
			{[]string{"--pid", "host", "--uts", "host"}, "test $$ != 1 && echo host", "host"},
		} {
			r.equal(strings.Join(c.options, " "), r.ok(r.run(append([]string{"--rm"}, c.options...), "sh", "-c", c.script)...), c.want)
		}
	})
}

// TestLife: a container that stays, from the first to the last command.
func TestLife(t *testing.T) {
	each(t, func(r *rig) {
		status := func() string { return r.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "one") }
		r.ok(r.run([]string{"--detach", "--name", "one"}, "sh", "-c", "echo said; trap 'exit 3' TERM; while :; do sleep 0.1; done")...)
		r.equal("status", status(), "running 0")
		if res := r.podman("in", "exec", "--interactive", "one", "sh", "-c", "cat; exit 7"); res.code != 7 || res.out != "in" {
			r.Errorf("exec: %s", res)
		}
		r.equal("exec with a terminal", r.ok("exec", "--tty", "--env", "A=1", "--user", "9", "one", "sh", "-c", "test -t 1 && busybox id -u && echo $A"), "9\r\n1")
		if res := r.podman("", "exec", "one", "nosuch"); res.code != 127 {
			r.Errorf("exec of nothing: %s", res)
		}
		if top := r.ok("top", "one", "args"); !strings.Contains(top, "trap 'exit 3'") {
			r.Errorf("top: %q", top)
		}
		r.ok(r.run([]string{"--rm", "--name", "two", "--pid", "container:one", "--ipc", "container:one"}, "sh", "-c", "busybox grep -q trap /proc/1/cmdline")...)
		if r.user == 0 {
			r.ok("pause", "one")
			r.equal("status", status(), "paused 0")
			if res := r.podman("", "exec", "one", "true"); res.code == 0 {
				r.Errorf("exec while paused: %s", res)
			}
			r.ok("unpause", "one")
			r.equal("stats", r.ok("stats", "--no-stream", "--format", "{{.Name}}", "one"), "one")
		}
		r.ok("stop", "--time", "20", "one")
		r.equal("stopped", status(), "exited 3")
		r.equal("logs", r.ok("logs", "one"), "said")
		r.ok("start", "one")
		r.equal("started again", status(), "running 0")
		r.ok("kill", "--signal", "KILL", "one")
		r.equal("wait", r.ok("wait", "one"), "137")
		r.ok("restart", "--time", "0", "one")
		r.equal("restarted", status(), "running 0")
		r.ok("rm", "--force", "--time", "0", "one")
		r.equal("what is left", r.ok("ps", "--all", "--quiet"), "")
	})
}

// TestLimits: root's limits are in the container's cgroup, and hold.
func TestLimits(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err != nil {
		t.Skip("no cgroup v1 controller memory here: " + err.Error())
	}
	as(t, 0, func(r *rig) {
		limits := []string{"--rm", "--memory", "64m", "--pids-limit", "50", "--cpu-shares", "512"}
		r.equal("limits", r.ok(r.run(limits, "sh", "-c",
			"cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares")...), "67108864\n50\n512")
		if res := r.podman("", r.run(limits, "busybox", "tail", "-c", "200m", "/dev/zero")...); res.code != 137 {
			r.Errorf("a program that wanted too much: %s", res)
		}
	})
}
