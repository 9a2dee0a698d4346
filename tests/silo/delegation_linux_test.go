package silo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// delegated gives the ordinary user a subtree of cgroup v2, as cgroups(7),
// "Cgroups delegation", describes it: its directory and the files that tell who
// is in it are theirs, and their programs are in a group below it.
func (r *rig) delegated() string {
	r.Helper()
	if !unifiedOnly() {
		r.Skip("needs a machine with cgroup v2 only")
	}
	r.ordinaryUser()
	tree := filepath.Join("/sys/fs/cgroup", r.id+"-theirs")
	session := filepath.Join(tree, "session")
	r.must(os.MkdirAll(session, 0o755))
	r.Cleanup(func() {
		r.as = nil
		r.wrun("delete", "--force", r.id) // whose group is in the way
		r.must(os.Remove(session))
		r.must(os.Remove(tree))
	})
	for _, dir := range []string{tree, session} {
		for _, f := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			r.must(os.Chown(filepath.Join(dir, f), someone, someone))
		}
	}
	fd, err := unix.Open(session, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	r.must(err)
	r.Cleanup(func() { unix.Close(fd) })
	user := r.as
	r.as = func(cmd *exec.Cmd) {
		user(cmd)
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	return tree
}

// TestDelegatedLimits: the container of an ordinary user, and of the root of
// their user namespace, as rootless podman is, has limits where a cgroup is
// theirs, though device rules, which most configurations have, are root's.
func TestDelegatedLimits(t *testing.T) {
	for _, name := range []string{"ordinary user", "root of a user namespace"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "sleep", "100")
			tree := r.delegated()
			if name != "ordinary user" {
				r.without(specs.UserNamespace)
				r.spec.Linux.UIDMappings, r.spec.Linux.GIDMappings = nil, nil
				r.inside()
			}
			r.limitsHold(tree)
		})
	}
}

// inside makes each call of wrun one of the root of the same user namespace, the
// ordinary user's.
func (r *rig) inside() {
	r.Helper()
	user := r.as
	holder := exec.Command("unshare", "--user", "--map-root-user", "sleep", "1000")
	user(holder)
	r.must(holder.Start())
	r.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	pid := strconv.Itoa(holder.Process.Pid)
	r.until("the user namespace", func() bool { return strings.HasPrefix(r.read("/proc/"+pid+"/comm"), "sleep") })
	r.as = func(cmd *exec.Cmd) {
		user(cmd)
		cmd.Path = "/usr/bin/nsenter"
		cmd.Args = append([]string{"nsenter", "--target", pid, "--user", "--preserve-credentials"}, cmd.Args...)
	}
}

// limitsHold goes through a life of a container in the delegated tree.
func (r *rig) limitsHold(tree string) {
	r.Helper()
	r.spec.Linux.Resources = &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20))},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(33))},
	}
	r.start()
	files := func() string {
		var all []string
		for _, f := range []string{"memory.max", "cpu.weight", "cpu.max", "pids.max"} {
			all = append(all, strings.TrimSpace(r.read(filepath.Join(tree, r.id, f))))
		}
		return strings.Join(all, "\n")
	}
	r.equal("limits", files(), "67108864\n59\n50000 100000\n33")
	r.ok("update", "--pids-limit", "44", "--memory", fmt.Sprint(48<<20), r.id)
	r.equal("limits after update", files(), "50331648\n59\n50000 100000\n44")
	r.equal("group of a command", r.ok("exec", r.id, "cat", "/proc/self/cgroup"), "0::/"+r.id+"-theirs/"+r.id)
	if stats := r.ok("events", "--stats", r.id); !strings.Contains(stats, `"pids":{"current":1,"limit":44}`) {
		r.Errorf("events: %s", stats)
	}
	r.ok("pause", r.id)
	if s := r.state(r.id).Status; s != "paused" {
		r.Errorf("status %s", s)
	}
	r.ok("resume", r.id)
	r.ok("delete", "--force", r.id)
	if _, err := os.Stat(filepath.Join(tree, r.id)); err == nil {
		r.Error("the container's group is left")
	}
}

// TestDelegatedUser: the container's user is one of those that newuidmap gave,
// to whom an ordinary user cannot give the group.
func TestDelegatedUser(t *testing.T) {
	r := newRig(t, sh("stat -c %u /sys/fs/cgroup/cgroup.procs; cat /proc/self/cgroup /sys/fs/cgroup/pids.max")...)
	r.delegated()
	inside := r.as
	r.known()
	outside := r.as
	r.as = func(cmd *exec.Cmd) { // which is root's call, and becomes theirs
		inside(cmd)
		cmd.SysProcAttr.Credential = nil
		outside(cmd)
	}
	more := specs.LinuxIDMapping{ContainerID: 1, HostID: 200000, Size: 65536}
	r.spec.Linux.UIDMappings = append(r.spec.Linux.UIDMappings, more)
	r.spec.Linux.GIDMappings = append(r.spec.Linux.GIDMappings, more)
	r.spec.Process.User = specs.User{UID: 7, GID: 8}
	r.unified("rw")
	r.with(specs.NetworkNamespace, "") // or it may not mount sysfs
	r.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(33))}}
	res := r.run()
	if res.code == 77 {
		t.Skip("no /etc/subuid or /etc/subgid to bind over")
	}
	r.equal("inside", res.out, "0\n0::/\n33")
	if !strings.Contains(res.err, "the container's cgroup stays yours") {
		t.Errorf("no warning: %s", res)
	}
}

// TestDelegatedElsewhere: a group is theirs, but they do not run in it, so the
// kernel does not let them put anything into it (cgroup-v2.rst, "Delegation
// Containment").
func TestDelegatedElsewhere(t *testing.T) {
	r := newRig(t, "true")
	tree := r.delegated()
	user := r.as
	r.as = func(cmd *exec.Cmd) {
		user(cmd)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cmd.SysProcAttr.Credential}
	}
	r.spec.Linux.CgroupsPath = strings.TrimPrefix(tree, "/sys/fs/cgroup") + "/" + r.id
	r.refused("systemd-run --user --scope")
}

// TestCgroupOwnership: config-linux.md, "Cgroup ownership": of a container with
// a cgroup namespace and a writable mount, the group and what
// /sys/kernel/cgroup/delegate lists become its user's, and nothing else.
func TestCgroupOwnership(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*rig)
		owner uint32
	}{
		{"root of a user namespace", func(r *rig) { r.mapped() }, 100000},
		{"a user of one", func(r *rig) { r.mapped(); r.spec.Process.User.UID = 7 }, 100007},
		{"a user of the host", func(r *rig) { r.spec.Process.User.UID = 7 }, 7},
		{"read-only mount", func(r *rig) { r.mapped(); r.spec.Mounts[len(r.spec.Mounts)-1].Options = []string{"ro"} }, 0},
		{"no cgroup namespace", func(r *rig) { r.mapped(); r.without(specs.CgroupNamespace) }, 0},
		{"no mount", func(r *rig) { r.mapped(); r.spec.Mounts = r.spec.Mounts[:len(r.spec.Mounts)-1] }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "sleep", "100")
			r.unified("rw")
			c.edit(r)
			r.start()
			theirs := append(strings.Fields(r.read("/sys/kernel/cgroup/delegate")), ".")
			dir := filepath.Join("/sys/fs/cgroup", r.spec.Linux.CgroupsPath)
			entries, err := os.ReadDir(dir)
			r.must(err)
			given := 0
			for _, name := range append([]string{"."}, names(entries)...) {
				var st syscall.Stat_t
				r.must(syscall.Stat(filepath.Join(dir, name), &st))
				want := uint32(0)
				if slices.Contains(theirs, name) {
					want = c.owner
					given++
				}
				if st.Uid != want || st.Gid != 0 {
					t.Errorf("%s belongs to %d:%d, want %d:0", name, st.Uid, st.Gid, want)
				}
			}
			if given < 4 || given == len(entries)+1 {
				t.Errorf("%d of %d files are listed: the test looks at the wrong ones", given, len(entries))
			}
		})
	}
}

func names(entries []os.DirEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
