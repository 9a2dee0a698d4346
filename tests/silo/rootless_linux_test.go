package silo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// someone is a user of the machine that no file of it knows.
const someone = 54321

// ordinaryUser makes the bundle one of someone, as `wrun spec --rootless` would
// write it, and every call of wrun theirs.
func (r *rig) ordinaryUser() {
	r.Helper()
	r.must(os.MkdirAll(r.root, 0o700))
	r.must(filepath.WalkDir(r.dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, someone, someone)
	}))
	r.without(specs.NetworkNamespace)
	r.with(specs.UserNamespace, "")
	r.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: someone, Size: 1}}
	r.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: someone, Size: 1}}
	r.spec.Linux.CgroupsPath = ""
	for i := range r.spec.Mounts {
		if r.spec.Mounts[i].Type == "devpts" {
			r.spec.Mounts[i].Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
		}
	}
	r.as = func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someone, Gid: someone}}
	}
}

// known lets the user be found in /etc/passwd and have subordinate ids, for
// this call of wrun only: the files are bound over in a mount namespace of its
// own.
func (r *rig) known() {
	r.Helper()
	if _, err := exec.LookPath("newuidmap"); err != nil {
		r.Skip("no newuidmap (Debian's package uidmap)")
	}
	passwd, err := os.ReadFile("/etc/passwd")
	r.must(err)
	r.write("passwd", string(passwd)+"wrun-test:x:"+strconv.Itoa(someone)+":"+strconv.Itoa(someone)+"::/:/bin/sh\n")
	r.write("subid", "wrun-test:200000:65536\n")
	r.as = func(cmd *exec.Cmd) {
		script := "set -e; mount --bind passwd /etc/passwd; for f in subuid subgid; do [ -e /etc/$f ] || exit 77; mount --bind subid /etc/$f; done;" +
			` exec setpriv --reuid ` + strconv.Itoa(someone) + " --regid " + strconv.Itoa(someone) + ` --clear-groups "$@"`
		cmd.Path = "/usr/bin/unshare"
		cmd.Args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}, cmd.Args...)
	}
}

// TestOrdinaryUser: the life of a container of somebody who is not root and to
// whom no cgroup was delegated.
func TestOrdinaryUser(t *testing.T) {
	r := newRig(t, sh("id -u >/tmp/id; cat /proc/self/uid_map >>/tmp/id; while :; do sleep 0.05; done")...)
	r.ordinaryUser()
	r.write("src/a", "A")
	r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind", "ro"}})
	r.mount(specs.Mount{Destination: "/sys", Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "rro"}})
	r.spec.Process.OOMScoreAdj = ptr(500)
	r.save()
	r.ok("create", r.id)
	if s := r.state(r.id); s.Status != specs.StateCreated {
		t.Errorf("%+v", s)
	}
	r.ok("start", r.id)
	pid := r.state(r.id).Pid
	r.until("the program", func() bool {
		b, _ := os.ReadFile(filepath.Join(r.rootfs, "tmp/id"))
		return strings.Count(string(b), "\n") == 2
	})
	r.equal("user", strings.Join(strings.Fields(r.read(filepath.Join(r.rootfs, "tmp/id"))), " "), "0 0 54321 1")
	r.equal("oom_score_adj", r.read("/proc/"+strconv.Itoa(pid)+"/oom_score_adj"), "500")
	r.equal("exec", r.ok("exec", r.id, "sh", "-c", "id -u; cat /mnt/a; touch /mnt/b 2>&1 | grep -o Read-only; touch /tmp/made && stat -c %u /tmp/made; awk '$5 ~ \"^/sys\" {print $6}' /proc/self/mountinfo | grep -c rw; true"),
		"0\nARead-only\n0\n0")
	var st syscall.Stat_t
	r.must(syscall.Stat(filepath.Join(r.rootfs, "tmp/made"), &st))
	if st.Uid != someone {
		t.Errorf("on the host the file belongs to user %d", st.Uid)
	}
	r.ok("exec", "--detach", r.id, "sleep", "99")
	if out := r.ok("ps", "--format", "json", r.id); strings.Count(out, ",") < 1 || !strings.Contains(out, strconv.Itoa(pid)) {
		t.Errorf("ps: %s", out)
	}
	for _, args := range [][]string{{"pause", r.id}, {"events", "--stats", r.id}, {"update", "--memory", "100m", r.id}, {"exec", "--cgroup", "x", r.id, "true"}} {
		if res := r.wrun(args...); res.code == 0 || !strings.Contains(res.err, "the container has no cgroup") {
			t.Errorf("%v: %s", args, res)
		}
	}
	for want, args := range map[string][]string{
		"process.user.additionalGids": {"exec", "--additional-gids", "5", r.id, "true"},
		"process.user.uid":            {"exec", "--user", "7", r.id, "true"},
	} {
		if res := r.wrun(args...); res.code != 255 || !strings.Contains(res.err, want) {
			t.Errorf("%v: %s", args, res)
		}
	}
	r.ok("kill", r.id, "KILL")
	r.until("end", func() bool { return r.state(r.id).Status == "stopped" })
	r.ok("delete", r.id)
}

// TestOrdinaryUserWithHelper: newuidmap and newgidmap write mappings of more
// than oneself.
func TestOrdinaryUserWithHelper(t *testing.T) {
	r := newRig(t, sh("id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map | awk '{print $1, $2, $3}'; cat /proc/self/setgroups; touch /tmp/a && stat -c %u:%g /tmp/a")...)
	r.ordinaryUser()
	r.known()
	more := specs.LinuxIDMapping{ContainerID: 1, HostID: 200000, Size: 65536}
	r.spec.Linux.UIDMappings = append(r.spec.Linux.UIDMappings, more)
	r.spec.Linux.GIDMappings = append(r.spec.Linux.GIDMappings, more)
	r.spec.Process.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}}
	r.must(os.Chmod(filepath.Join(r.rootfs, "tmp"), 0o777))
	res := r.run()
	if res.code == 77 {
		t.Skip("no /etc/subuid or /etc/subgid to bind over")
	}
	r.equal("inside", res.out+res.err, "7\n8\n0 54321 1\n1 200000 65536\n0 54321 1\n1 200000 65536\nallow\n7:8")
	r.spec.Linux.UIDMappings[1].HostID = 300000 // nobody gave them that
	r.spec.Process.User = specs.User{}
	r.refused("newuidmap")
}

// TestOrdinaryUserMayNot: what is impossible says why.
func TestOrdinaryUserMayNot(t *testing.T) {
	limit := int64(1 << 30)
	for _, c := range []struct {
		name, want string
		edit       func(*rig)
	}{
		{"no user namespace", "rootless containers require user namespaces", func(r *rig) {
			r.without(specs.UserNamespace)
			r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = nil, nil
		}},
		{"limits without a cgroup", "an ordinary user has a cgroup only where one was delegated to them", func(r *rig) {
			r.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		}},
		{"a cgroup of somebody else's", "permission denied", func(r *rig) { r.spec.Linux.CgroupsPath = "/" + r.id }},
		{"an idmapped mount", "an idmapped mount needs root", func(r *rig) {
			r.mount(specs.Mount{Destination: "/mnt", Source: "/tmp", Options: []string{"bind", "idmap"}})
		}},
		{"a group that is not mapped", "process.user.additionalGids", func(r *rig) { r.spec.Process.User.AdditionalGids = []uint32{5} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			r.ordinaryUser()
			c.edit(r)
			r.refused(c.want)
		})
	}
}

// TestOrdinaryUserHooks: hooks inside the namespaces, which the parked child of
// an ordinary user must let in, and an agent for its filter.
func TestOrdinaryUserHooks(t *testing.T) {
	r := newRig(t, sh("cat /created /tmp/started; mkdir /tmp/a")...)
	r.ordinaryUser()
	a := r.agent()
	r.must(os.Chown(a.path, someone, someone))
	r.spec.Hooks = &specs.Hooks{
		CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo created >./created"}}},
		StartContainer:  []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo started >/tmp/started"}}},
	}
	r.equal("hooks", r.output(), "created\nstarted")
	r.spec.Hooks = nil
	r.spec.Linux.Seccomp = a.asks("mkdir", "mkdirat")
	if res := r.run(); res.code == 0 || !strings.Contains(res.err, "No medium found") {
		t.Errorf("agent: %s", res)
	}
}

// TestRootOfUserNamespace: the root of an ordinary user's namespace, as rootless
// podman is when it calls a runtime.
func TestRootOfUserNamespace(t *testing.T) {
	r := newRig(t, sh("id -u; cat /proc/self/uid_map | awk '{print $1, $2}'; cat /mnt/a; echo x >/dev/null && echo null; cat /proc/self/oom_score_adj")...)
	r.ordinaryUser()
	r.without(specs.UserNamespace)
	r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = nil, nil
	r.spec.Process.OOMScoreAdj = ptr(400)
	r.write("src/a", "A")
	r.mount(specs.Mount{Destination: "/mnt", Source: "src", Options: []string{"bind", "ro"}})
	user := r.as
	r.as = func(cmd *exec.Cmd) {
		user(cmd)
		cmd.Path, cmd.Args = "/usr/bin/unshare", append([]string{"unshare", "--user", "--map-root-user"}, cmd.Args...)
	}
	r.equal("inside", r.output(), "0\n0 54321\nAnull\n400")
	// Of a user namespace below that one, it writes the mappings itself.
	r.with(specs.UserNamespace, "")
	r.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	r.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	r.equal("inside a further one", r.output(), "0\n0 0\nAnull\n400")
}
