package silo

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestOwnImage: no container gets hold of the wrun binary (CVE-2019-5736 and
// its like), neither as a shebang's /proc/self/exe nor by /proc of a process
// on its way.
func TestOwnImage(t *testing.T) {
	r := newRig(t, "/evil")
	sum := func() [32]byte { return sha256.Sum256([]byte(r.read(wrun))) }
	before := sum()
	r.must(os.Chmod(r.write("rootfs/evil", "#!/proc/self/exe\n"), 0o755))
	check := func(how string, res result) {
		t.Helper()
		// Executed as a program, wrun would print its own words and end with 1
		// or 3; what is executed is the stub, which finds that it was not wrun
		// who called it.
		if res.code != 255 || res.out != "" {
			t.Errorf("%s: %s", how, res)
		}
	}
	check("run", r.run())
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	check("exec", r.wrun("exec", r.id, "/evil"))
	exe := strings.TrimSpace(r.ok("exec", r.id, "readlink", "/proc/self/exe"))
	if exe != "/bin/busybox" {
		t.Errorf("/proc/self/exe: %s", exe)
	}
	if sum() != before {
		t.Error("the binary has changed")
	}
}

// TestOwnImageUnderWatch: a program that looks at every process it can see
// while others are started beside it by exec, and tries to open what they run.
func TestOwnImageUnderWatch(t *testing.T) {
	r := newRig(t, sh(`echo up >/tmp/up
while [ ! -e /tmp/stop ]; do
  for p in /proc/[0-9]*; do
    [ $p = /proc/1 ] && continue
    e=$(readlink $p/exe 2>/dev/null)
    case "$e" in *busybox|'') ;; *) echo "$e" ;; esac
    (exec 3>>$p/exe; echo "opened $(readlink /proc/self/fd/3)"; echo x >&3 && echo wrote to it) 2>/dev/null
  done
done
exit 0`)...)
	r.save()
	cmd, done := r.command("run", r.id)
	r.must(cmd.Start())
	r.until("watcher", func() bool { _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); return err == nil })
	for range 30 {
		r.ok("exec", r.id, "true")
	}
	r.write("rootfs/tmp/stop", "")
	res := done(cmd.Wait())
	for line := range strings.Lines(res.out) {
		// The exec stub is a sealed file without a name. To see it is no harm,
		// nor to open it in the instant between its run and its end: a write
		// would be the harm.
		if !strings.Contains(line, "memfd:wrun-exec") {
			t.Errorf("seen from inside: %s", line)
		}
	}
	if res.code != 0 {
		t.Errorf("%s", res)
	}
}

// TestParked: what waits at the start gate is still wrun's image. Nobody may
// look into it, and none of its descriptors leads to a directory of the host.
func TestParked(t *testing.T) {
	r := newRig(t, "sleep", "100")
	// Without capabilities, so that a neighbour without capabilities would have
	// the right to look (ptrace(2), "Ptrace access mode checking").
	r.spec.Process.Capabilities = nil
	r.save()
	r.ok("create", r.id)
	pid := r.state(r.id).Pid
	if r.readable(pid) {
		t.Error("the parked process can be looked into")
	}
	r.directories(pid)
	r.ok("start", r.id)
	if !r.readable(pid) {
		t.Error("nor can the program itself: the check proves nothing")
	}
}

// directories finds descriptors of directories on mounts that the process's
// own mount namespace does not have.
func (r *rig) directories(pid int) {
	r.Helper()
	mounts := r.read(fmt.Sprintf("/proc/%d/mountinfo", pid))
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	r.must(err)
	for _, n := range names {
		var fd unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/fd/%s", pid, n.Name()), &fd) != nil || fd.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		id := field(r.read(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, n.Name())), "mnt_id")
		if !strings.HasPrefix(mounts, id+" ") && !strings.Contains(mounts, "\n"+id+" ") {
			to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, n.Name()))
			r.Errorf("descriptor %s is a directory of the host: %s", n.Name(), to)
		}
	}
}

// readable tells whether a process with root's uid and no capabilities that
// shares the pid namespace may read another's environment.
func (r *rig) readable(pid int) bool {
	r.Helper()
	neighbour := newRig(r.T, sh(fmt.Sprintf("cat /host/%d/environ >/dev/null 2>&1 && echo readable; true", pid))...)
	neighbour.spec.Process.Capabilities = nil
	neighbour.without(specs.PIDNamespace)
	neighbour.mount(bindOf("/proc", "/host"))
	return strings.Contains(neighbour.output(), "readable")
}
