package silo

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestExec: every option, seen from inside.
func TestExec(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.need("pids")
	r.spec.Process.User.AdditionalGids = []uint32{30}
	r.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(100))}}
	pid := r.start()
	const group = "(grep :pids: /proc/self/cgroup || grep ^0:: /proc/self/cgroup) | cut -d: -f3"
	for _, c := range []struct {
		name    string
		options []string
		script  string
		want    string
	}{
		{"the container's own process by default", nil, "id -u; id -G; pwd; echo $PATH $HOME; umask", "0\n0 30\n/\n/bin /\n0022"},
		{"--cwd", []string{"--cwd", "/tmp"}, "pwd", "/tmp"},
		{"--env", []string{"--env", "A=1", "-e", "PATH=/bin:/x"}, "echo $A $PATH", "1 /bin:/x"},
		{"--user", []string{"--user", "7:8"}, "id -u; id -g; grep CapEff /proc/self/status | cut -f2", "7\n8\n0000000000000000"},
		{"--user without a group", []string{"-u", "7"}, "id -u; id -g", "7\n0"},
		{"--additional-gids", []string{"--additional-gids", "40", "-g", "50"}, "id -G", "0 30 40 50"},
		{"--cap", []string{"--cap", "CAP_SYS_TIME", "-c", "net_admin"}, "grep -E 'CapInh|CapEff|CapBnd|CapAmb' /proc/self/status | cut -f2",
			"0000000000000000\n00000000aa0435fb\n00000000aa0435fb\n0000000000000000"},
		{"--no-new-privs", []string{"--no-new-privs"}, "grep NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"options behind the id are the program's", nil, "echo --tty $0", "--tty sh"},
		{"in the container's cgroup", nil, group, r.spec.Linux.CgroupsPath},
		{"a session of its own", nil, "read a b c d e f g </proc/self/stat; [ $e = $f ] && [ $e = $a ] && echo own", "own"},
	} {
		res := r.wrun(append(append([]string{"exec"}, c.options...), r.id, "sh", "-c", c.script)...)
		if res.code != 0 || strings.TrimSpace(res.out) != c.want || res.err != "" {
			t.Errorf("%s, want %q: %s", c.name, c.want, res)
		}
	}
	for _, k := range kinds {
		r.equal(k.file+" namespace", r.ok("exec", r.id, "readlink", "/proc/self/ns/"+k.file), nsInode(pid, k.file))
	}
	// A user that is read wrongly is another user (crun's CVE-2026-30892).
	for _, user := range []string{"0x7", "7:", ":7", "7:8:9", "-1", " 7", "7 ", "4294967296", "root", "7:root"} {
		if res := r.wrun("exec", "--user", user, r.id, "id"); res.code != 255 || res.out != "" {
			t.Errorf("--user %q: %s", user, res)
		}
	}
	t.Run("--cgroup", func(t *testing.T) {
		tree, controller := "/sys/fs/cgroup/pids", "pids:"
		if unifiedOnly() {
			tree, controller = "/sys/fs/cgroup", ""
		}
		r.must(os.Mkdir(filepath.Join(tree, r.spec.Linux.CgroupsPath, "sub"), 0o755))
		out := r.ok("exec", "--cgroup", controller+"sub", r.id, "sh", "-c", group)
		r.equal("group", out, r.spec.Linux.CgroupsPath+"/sub")
		if res := r.wrun("exec", "--cgroup", controller+"nosuch", r.id, "true"); res.code != 255 || !strings.Contains(res.err, "nosuch") {
			t.Errorf("%s", res)
		}
		if res := r.wrun("exec", "--cgroup", controller+"../..", r.id, "true"); res.code != 255 || !strings.Contains(res.err, "bad sub cgroup path") {
			t.Errorf("a path that would leave: %s", res)
		}
	})
	t.Run("--process", func(t *testing.T) {
		p := &specs.Process{
			Args: sh("id -u; pwd; echo $X; umask; grep CapEff /proc/self/status | cut -f2; cat /proc/self/oom_score_adj; ulimit -n"), Cwd: "/tmp", Env: []string{"PATH=/bin", "X=y"},
			User:         specs.User{UID: 0, Umask: ptr(uint32(0o77))},
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}},
			OOMScoreAdj:  ptr(321), Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}},
		}
		data, err := json.Marshal(p)
		r.must(err)
		r.equal("inside", r.ok("exec", "--process", r.write("process.json", string(data)), r.id), "0\n/tmp\ny\n0077\n0000000000000020\n321\n77")
	})
	t.Run("--detach", func(t *testing.T) {
		file := filepath.Join(r.dir, "exec.pid")
		r.ok("exec", "-d", "--pid-file", file, r.id, "sleep", "98")
		if ps := r.ok("ps", "--format", "json", r.id); !strings.Contains(ps, r.read(file)) || !strings.Contains(ps, fmt.Sprint(pid)) {
			t.Errorf("ps says %s; init is %d, the process %s", ps, pid, r.read(file))
		}
		parent := field(r.read("/proc/"+r.read(file)+"/status"), "PPid")
		if parent == fmt.Sprint(pid) {
			t.Error("the process is a child of the container's init")
		}
	})
	t.Run("missing directory", func(t *testing.T) {
		if res := r.wrun("exec", "--cwd", "/nosuch", r.id, "true"); res.code != 255 || !strings.Contains(res.err, "chdir to cwd (\"/nosuch\")") {
			t.Errorf("%s", res)
		}
	})
	t.Run("pid file of a failed exec", func(t *testing.T) {
		// conmon takes the file for the sign that the process runs.
		file := filepath.Join(r.dir, "failed.pid")
		if res := r.wrun("exec", "-d", "--pid-file", file, r.id, "/nosuch"); res.code != 255 {
			t.Errorf("%s", res)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("there is a pid file")
		}
	})
}

// TestExecInUserNamespace: also where the container's root has no rights on
// the host.
func TestExecInUserNamespace(t *testing.T) {
	r := newRig(t, "sleep", "100")
	for _, k := range kinds {
		r.with(k.kind, "")
	}
	r.mapped()
	pid := r.start()
	for _, k := range kinds {
		r.equal(k.file+" namespace", r.ok("exec", r.id, "readlink", "/proc/self/ns/"+k.file), nsInode(pid, k.file))
	}
	r.equal("user", r.ok("exec", "--user", "5:6", r.id, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map"), "5\n6\n         0     100000      65536")
}

// TestExecAtTheEnd: exec in a container that ends meanwhile says so, whichever
// step finds it out.
func TestExecAtTheEnd(t *testing.T) {
	for i := range 10 {
		r := newRig(t, "sh", "-c", "sleep 0.1")
		r.start()
		end := time.Now().Add(patience)
		for {
			res := r.wrun("exec", r.id, "true")
			if res.code == 0 && time.Now().Before(end) {
				continue
			}
			killed := res.code == 128+9 && res.err == "" // it ran, and ended with the container
			if !killed && !strings.Contains(res.err, "in a stopped container") && !strings.Contains(res.err, "container not running") {
				t.Errorf("container %d: %s", i, res)
			}
			break
		}
	}
}

// TestExecFromChroot: where wrun's own root is not that of its mount namespace,
// the container's is not that of the container's either.
func TestExecFromChroot(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.write("rootfs/mark", "")
	r.must(os.Mkdir(filepath.Join(r.dir, "all"), 0o755))
	r.as = func(cmd *exec.Cmd) {
		const script = `mount --make-rprivate / && mount --rbind / "$0" && exec chroot "$0" "$@"`
		cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", script, filepath.Join(r.dir, "all")}, cmd.Args...)
		cmd.Path = "/usr/bin/unshare"
	}
	r.start("--bundle", r.dir)
	if list := r.ok("exec", r.id, "ls", "/"); !strings.Contains(list, "mark") {
		t.Errorf("exec's root has %q", list)
	}
}

// TestExecParallel: processes that come and go at once.
func TestExecParallel(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.start()
	const callers = 4
	failed := make(chan string, callers)
	for n := range callers {
		go func() {
			for i := range 5 {
				cmd, done := r.command("exec", r.id, "sh", "-c", fmt.Sprintf("echo %d; exit %d", n, 10*n+i))
				if res := done(cmd.Run()); res.code != 10*n+i || strings.TrimSpace(res.out) != fmt.Sprint(n) {
					failed <- res.String()
					return
				}
			}
			failed <- ""
		}()
	}
	for range callers {
		if why := <-failed; why != "" {
			t.Error(why)
		}
	}
}
