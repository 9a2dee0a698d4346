package silo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
    if (exec 3>>$p/exe) 2>/dev/null; then echo opened $p; fi
  done
done`)...)
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
		// The exec stub is a sealed file without a name; to see it is no harm.
		if !strings.Contains(line, "memfd:wrun-exec") || strings.Contains(line, "opened") {
			t.Errorf("seen from inside: %s", line)
		}
	}
	if res.code != 0 {
		t.Errorf("%s", res)
	}
}

// TestParked: what waits at the start gate cannot be looked into by others
// than root, and holds no descriptor that leads to the host.
func TestParked(t *testing.T) {
	r := newRig(t, "true")
	r.save()
	r.ok("create", r.id)
	pid := r.state(r.id).Pid
	var st unix.Stat_t
	r.must(unix.Stat(fmt.Sprintf("/proc/%d/fd", pid), &st))
	if dumpable := r.dumpable(pid); dumpable {
		t.Error("the parked process is dumpable")
	}
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	r.must(err)
	for _, n := range names {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, n.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		r.must(err)
		var fd unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/fd/%s", pid, n.Name()), &fd) == nil && fd.Mode&unix.S_IFMT == unix.S_IFDIR {
			mount := r.read(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, n.Name()))
			inside := false
			for line := range strings.Lines(r.read(fmt.Sprintf("/proc/%d/mountinfo", pid))) {
				inside = inside || strings.HasPrefix(line, field(mount, "mnt_id")+" ")
			}
			if !inside {
				t.Errorf("descriptor %s is a directory of the host: %s", n.Name(), to)
			}
		}
	}
}

// dumpable asks as another user with the process's own uid would be answered:
// the files of a non-dumpable process belong to root (proc(5)).
func (r *rig) dumpable(pid int) bool {
	r.Helper()
	// VmFlags' "dd" marks single areas, and there is no file that says it; but
	// coredump_filter's owner follows the flag, so a process of another user
	// tells: the parked one is root's already, so its auxv is asked for by a
	// process without capabilities and with its uid.
	second := newRig(r.T, "sleep", "100")
	second.spec.Process.Capabilities = nil
	second.without("pid", "mount", "network", "ipc", "uts")
	second.spec.Mounts = nil
	second.spec.Process.Args = sh(fmt.Sprintf("cat /host/%d/environ >/dev/null 2>&1 && echo readable", pid))
	second.with("mount", "")
	second.mount(bindOf("/proc", "/host"))
	return strings.Contains(second.run().out, "readable")
}
