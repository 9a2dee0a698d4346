package uvm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOwnKernel: a container's kernel is neither the host's nor another one's,
// and no random number of it is another one's either.
func TestOwnKernel(t *testing.T) {
	r := newRig(t, sh("uname -r; cat /proc/sys/kernel/random/boot_id; cat /proc/sys/kernel/random/uuid; od -An -N8 -tx1 /dev/urandom")...)
	host := []string{
		strings.TrimSpace(r.read("/proc/sys/kernel/osrelease")), strings.TrimSpace(r.read("/proc/sys/kernel/random/boot_id")),
	}
	var of [2][]string
	for i := range of {
		if of[i] = strings.Split(strings.TrimSpace(r.output()), "\n"); len(of[i]) < 3 {
			t.Fatalf("%q", of[i])
		}
		for j, what := range []string{"kernel", "boot id"} {
			if of[i][j] == host[j] {
				t.Errorf("the %s is the host's: %s", what, host[j])
			}
		}
	}
	for j, what := range []string{"", "boot id", "uuid"} {
		if what != "" && of[0][j] == of[1][j] {
			t.Errorf("two utility VMs have one %s: %s", what, of[0][j])
		}
	}
}

// TestAgentIsOutOfReach: no exec stub hides the agent from a container. A script can
// have it interpret itself, and it does nothing.
func TestAgentIsOutOfReach(t *testing.T) {
	r := newRig(t, "/evil")
	r.must(os.WriteFile(filepath.Join(r.rootfs, "evil"), []byte("#!/proc/self/exe\n"), 0o755))
	const says = "the agent is the first process of a utility VM"
	if res := r.run(); res.code != 1 || !strings.Contains(res.err, says) {
		t.Errorf("run: %s", res)
	}
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	if res := r.wrun("exec", r.id, "/evil"); res.code != 1 || !strings.Contains(res.err, says) {
		t.Errorf("exec: %s", res)
	}
	if exe := r.inside("readlink /proc/self/exe"); exe != "/bin/busybox" {
		t.Errorf("a program sees %q", exe)
	}
	if got := r.inside("echo fine"); got != "fine" {
		t.Errorf("then the VM answers %q", got)
	}
}

// TestClock: a VM's time is right, also right after it was restored, and a while
// later.
func TestClock(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	check := func(when string) {
		t.Helper()
		before := time.Now()
		seconds, err := strconv.ParseInt(r.inside("date +%s"), 10, 64)
		r.must(err)
		if at := time.Unix(seconds, 0); at.Before(before.Add(-2*time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%s the time is %v in the utility VM and %v here", when, at, before)
		}
	}
	check("at first")
	r.ok("pause", r.id)
	time.Sleep(3 * time.Second) // more than the clock may be wrong by
	r.ok("resume", r.id)
	check("after a pause")
}

// TestTimers: the agent makes a thread of its own inexact, and no container's.
func TestTimers(t *testing.T) {
	if got := newRig(t, "cat", "/proc/self/timerslack_ns").output(); strings.TrimSpace(got) != "50000" { // the kernel's default
		t.Errorf("timers may be %s ns late", got)
	}
}

// hostHas tells whether a program with this operand runs, for all that the host
// knows.
func hostHas(operand string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		if data, err := os.ReadFile(name); err == nil && strings.HasSuffix(string(data), "\x00"+operand+"\x00") {
			return true
		}
	}
	return false
}

// TestHidden: a process of the container is none of the host's, which has the
// VM in the container's cgroup instead; with process isolation it is one.
func TestHidden(t *testing.T) {
	seconds := fmt.Sprint(12345_0000 + os.Getpid())
	r := newRig(t, "sleep", seconds)
	r.start()
	if !strings.Contains(r.ok("ps", r.id), "sleep") {
		t.Error("ps does not show it")
	}
	if hostHas(seconds) {
		t.Error("the process is in the host's list")
	}
	for _, kind := range []string{"qemu", "monitor", "files"} {
		p := r.the(kind)
		if groups := r.read(p.file("cgroup")); !r.owns(groups) {
			t.Errorf("%v is not in the container's cgroup: %s", p, groups)
		}
	}
	r.ok("delete", "--force", r.id)
	r.inSilo()
	r.start()
	if !hostHas(seconds) {
		t.Error("with process isolation the process is not in the host's list")
	}
}

// TestConfined: a guest that takes over its QEMU has gained a process that may
// nothing.
func TestConfined(t *testing.T) {
	r := newRig(t, "sleep", "1000")
	r.start()
	q := r.the("qemu")
	status := map[string]string{}
	for line := range strings.Lines(r.read(q.file("status"))) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	const nobody = "65534 65534 65534 65534"
	for name, want := range map[string]string{
		"Uid": nobody, "Gid": nobody, "Groups": "", "NoNewPrivs": "1", "Seccomp": "2",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none,
	} {
		if status[name] != want {
			t.Errorf("QEMU's %s is %q, want %q", name, status[name], want)
		}
	}
	for _, kind := range []string{"net", "mnt", "ipc", "uts", "pid"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		r.must(err)
		its, err := os.Readlink(q.file("ns/" + kind))
		r.must(err)
		if ours == its {
			t.Errorf("QEMU is in the host's %s namespace", kind)
		}
	}
	if lines := strings.Split(strings.TrimSpace(r.read(q.file("net/dev"))), "\n"); len(lines) != 3 || !strings.Contains(lines[2], "lo:") {
		t.Errorf("QEMU has network interfaces: %v", lines[2:])
	}
	t.Run("root", func(t *testing.T) { q.showsOnly(t) })
	t.Run("descriptors", func(t *testing.T) { q.holdsOnly(t) })
	t.Run("memory", func(t *testing.T) { q.mapsPrivately(t) })
}

const none = "0000000000000000"

// showsOnly looks at what a process has for a root directory.
func (p proc) showsOnly(t *testing.T) {
	allowed := map[string]bool{"usr": true, "lib": true, "lib64": true, "lib32": true, "libx32": true, "etc": true, "kernel": true, "initrd": true}
	entries, err := os.ReadDir(p.file("root"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !allowed[e.Name()] {
			t.Errorf("there is a /%s", e.Name())
		}
	}
	if etc, _ := os.ReadDir(p.file("root/etc")); len(etc) > 1 || len(etc) == 1 && etc[0].Name() != "ld.so.cache" {
		t.Errorf("in /etc there is %v", etc)
	}
	for _, dir := range []string{"/usr", "/usr/bin", "/lib/", "/kernel", "/initrd"} {
		if err := syscall.Access(p.file("root"+dir), 2); err != syscall.EROFS { // to root even
			t.Errorf("writing to %s: %v, want %v", dir, err, syscall.EROFS)
		}
	}
	for _, dir := range []string{"", "/etc"} { // a tmpfs of the monitor's
		var st syscall.Stat_t
		if err := syscall.Stat(p.file("root"+dir), &st); err != nil || st.Uid != 0 || st.Mode&0o022 != 0 {
			t.Errorf("%s/: %v, mode %o of %d", dir, err, st.Mode, st.Uid)
		}
	}
}

// holdsOnly looks at a process's descriptors.
func (p proc) holdsOnly(t *testing.T) {
	entries, err := os.ReadDir(p.file("fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to, err := os.Readlink(p.file("fd/" + e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		name := to
		if dir, file, found := strings.Cut(to, "templates"); found {
			name = dir + file
		}
		switch {
		case strings.HasPrefix(to, "socket:"), strings.HasPrefix(to, "pipe:"), strings.HasPrefix(to, "anon_inode:"), strings.HasPrefix(to, "/memfd:"), to == "/dev/null":
		case strings.Contains(name, "/memory"), strings.Contains(name, "/devices"):
			if flags := p.flags(t, e.Name()); flags&3 != os.O_RDONLY {
				t.Errorf("descriptor %s is the template's and open for writing (%o): %s", e.Name(), flags, to)
			}
		default:
			t.Errorf("descriptor %s is %s", e.Name(), to)
		}
	}
}

// flags of an open file (proc(5), fdinfo).
func (p proc) flags(t *testing.T, fd string) int {
	t.Helper()
	data, err := os.ReadFile(p.file("fdinfo/" + fd))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "flags:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 8, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("no flags in %s", data)
	return 0
}

// mapsPrivately looks for memory that is a file's and changes with it.
func (p proc) mapsPrivately(t *testing.T) {
	data, err := os.ReadFile(p.file("maps"))
	if err != nil {
		t.Fatal(err)
	}
	private := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[5], "/memory") {
			continue
		}
		if f[1][3] != 'p' {
			t.Errorf("the template is mapped shared: %s", line)
		}
		private++
	}
	if private == 0 {
		t.Error("no template is mapped: was the VM booted?")
	}
}

// TestTemplateIsUnchanged: what a container does to its memory no other one
// starts with.
func TestTemplateIsUnchanged(t *testing.T) {
	r := newRig(t, "true")
	r.output() // now there is a template
	sums := func() map[string]string {
		all := map[string]string{}
		for _, name := range templates() {
			about, err := os.ReadFile(filepath.Join(templatesDir, name, "about"))
			if err != nil || !strings.Contains(string(about), r.image) || !strings.Contains(string(about), `"512M"`) {
				continue
			}
			if data, err := os.ReadFile(filepath.Join(templatesDir, name, "memory")); err == nil {
				all[name] = sumOf(string(data))
			}
		}
		return all
	}
	before := sums()
	r.spec.Process.Args = sh("dd if=/dev/urandom of=/dev/shm.x bs=1048576 count=40 2>/dev/null; echo $?")
	r.equal("writing memory", r.output(), "0")
	same := 0 // other tests make some at the same time, and old ones make room for them
	for name, after := range sums() {
		if was, known := before[name]; known && was != after {
			t.Errorf("template %s was %s and is %s", name, was, after)
		} else if known {
			same++
		}
	}
	if same == 0 {
		t.Error("there is no template that was there before")
	}
	for _, name := range templates() {
		if st, err := os.Stat(filepath.Join(templatesDir, name)); err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", name, st.Mode())
		}
	}
}
