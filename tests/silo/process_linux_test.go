package silo

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestProcess: what of config.json's process a program finds.
func TestProcess(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(r *rig)
		script string
		want   string
	}{
		{"arguments", func(r *rig) { r.spec.Process.Args = []string{"printf", "[%s]", "a b", "", "ü", "'"} }, "", "[a b][][ü][']"},
		{"environment", func(r *rig) { r.spec.Process.Env = []string{"PATH=/bin", "A=1 2", "B="} }, "env | sort", "A=1 2\nB=\nHOME=/\nPATH=/bin\nPWD=/\nSHLVL=1"},
		{"no environment", func(r *rig) { r.spec.Process.Env = nil; r.spec.Process.Args = []string{"/bin/env"} }, "", "HOME=/"},
		{"HOME of the user", func(r *rig) {
			r.write("rootfs/etc/passwd", "root:x:0:0::/root:/bin/sh\nu:x:77:77::/home/u:/bin/sh\n")
			r.spec.Process.User = specs.User{UID: 77, GID: 77}
		}, "echo $HOME", "/home/u"},
		{"HOME given", func(r *rig) { r.spec.Process.Env = append(r.spec.Process.Env, "HOME=/x") }, "echo $HOME", "/x"},
		{"working directory", func(r *rig) { r.spec.Process.Cwd = "/tmp" }, "pwd", "/tmp"},
		{"working directory made", func(r *rig) { r.spec.Process.Cwd = "/srv/a/b" }, "pwd; stat -c %a /srv/a", "/srv/a/b\n755"},
		{"user and groups", func(r *rig) {
			r.spec.Process.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9, 10}}
		}, "id -u; id -g; id -G", "7\n8\n8 9 10"},
		{"no further groups", func(r *rig) { r.spec.Process.User = specs.User{UID: 7, GID: 8} }, "id -G", "8"},
		{"umask by default", func(r *rig) {}, "umask", "0022"},
		{"umask", func(r *rig) { r.spec.Process.User.Umask = ptr(uint32(0o27)) }, "umask; touch /tmp/a; stat -c %a /tmp/a", "0027\n640"},
		{"limits", func(r *rig) {
			r.spec.Process.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 4096},
				{Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: 1 << 21}, {Type: "RLIMIT_AS", Soft: 1 << 30, Hard: 1 << 30},
				{Type: "RLIMIT_NPROC", Soft: 50, Hard: 60},
			}
		}, "grep -E 'open files|core|stack|address|processes' /proc/self/limits | awk '{print $(NF-2), $(NF-1)}'", "1048576 2097152\n0 4096\n50 60\n100 200\n1073741824 1073741824"},
		{"oom score", func(r *rig) { r.spec.Process.OOMScoreAdj = ptr(567) }, "cat /proc/self/oom_score_adj", "567"},
		{"sysctl", func(r *rig) {
			r.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmni": "100"}
		}, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni", "1\n100"},
		{"no new privileges", func(r *rig) { r.spec.Process.NoNewPrivileges = true }, "grep NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"new privileges", func(r *rig) {}, "grep NoNewPrivs /proc/self/status | cut -f2", "0"},
		{"session and group of its own", func(r *rig) {}, "cut -d' ' -f5,6 </proc/1/stat", "1 1"},
		{"io priority", func(r *rig) {
			r.spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE, Priority: 0}
		}, "ionice -p 1", "idle"},
		{"personality", func(r *rig) { r.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }, "uname -m", "i686"},
		// wrun makes a thread of its own inexact; a program inherits what the thread
		// that it was started from has.
		{"timers as exact as the caller's", func(r *rig) {}, "cat /proc/self/timerslack_ns", slack(t)},
		{"program by $PATH", func(r *rig) {
			r.must(os.MkdirAll(filepath.Join(r.rootfs, "one/prog"), 0o755)) // a directory is passed over
			r.write("rootfs/two/prog", "not executable")
			r.write("rootfs/three/prog", "#!/bin/sh\necho three\n")
			r.must(os.Chmod(filepath.Join(r.rootfs, "three/prog"), 0o755))
			r.spec.Process.Args, r.spec.Process.Env = []string{"prog"}, []string{"PATH=/none:/one:/two:/three:/bin"}
		}, "", "three"},
		{"program relative to the working directory", func(r *rig) { r.spec.Process.Cwd = "/bin"; r.spec.Process.Args = []string{"./echo", "x"} }, "", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh(c.script)...)
			c.edit(r)
			if strings.Contains(c.name, "environment") {
				r.env = os.Environ()
			}
			r.equal("inside", r.output(), c.want)
		})
	}
}

// slack is how late the kernel may be with this process's timers, in nanoseconds.
func slack(t *testing.T) string {
	t.Helper()
	value, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

// TestProgramRefused: the error names what is wrong; podman and docker choose
// exit codes 126 and 127 by its words.
func TestProgramRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"missing", []string{"/no/such"}, "no such file or directory"},
		{"not in $PATH", []string{"nosuch"}, "executable file not found in $PATH"},
		{"directory", []string{"/tmp"}, "is a directory"},
		{"not executable", []string{"/etc/text"}, "permission denied"},
		{"no program", []string{"/etc/junk"}, "exec format error"},
		{"interpreter missing", []string{"/etc/script"}, "no such file or directory"},
		{"below a file", []string{"/etc/text/x"}, "not a directory"},
		{"link to itself", []string{"/etc/loop"}, "too many levels of symbolic links"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.args...)
			r.write("rootfs/etc/text", "text")
			for name, text := range map[string]string{"junk": "\x00junk", "script": "#!/no/interpreter\n"} {
				r.must(os.Chmod(r.write("rootfs/etc/"+name, text), 0o755))
			}
			r.must(os.Symlink("loop", filepath.Join(r.rootfs, "etc/loop")))
			r.refused(c.want)
			r.spec.Process.Args = []string{"sleep", "100"}
			r.start()
			res := r.wrun(append([]string{"exec", r.id}, c.args...)...)
			if res.code != 255 || !strings.Contains(res.err, c.want) {
				t.Errorf("exec: %s", res)
			}
		})
	}
}

// TestOpenFiles: Go's runtime raises its own soft limit, which must not show.
func TestOpenFiles(t *testing.T) {
	r := newRig(t, "sh", "-c", "ulimit -Sn; ulimit -Hn")
	var own unix.Rlimit
	r.must(unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &own))
	// The test is a Go program too, so a shell in between sets the limit.
	r.save()
	cmd, done := r.command("run", r.id)
	cmd.Args = append([]string{"sh", "-c", `ulimit -Sn 321; "$@"`, "sh"}, append([]string{wrun}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
	r.must(cmd.Start())
	r.equal("limits", done(cmd.Wait()).out, fmt.Sprintf("321\n%d", own.Max))
}

func TestCapabilities(t *testing.T) {
	sets := func(names ...string) []string { return names }
	for _, c := range []struct {
		name string
		caps *specs.LinuxCapabilities
		user uint32
		want string // CapInh CapPrm CapEff CapBnd CapAmb
		warn string
	}{
		{"none", nil, 0, "0 0 0 0 0", ""},
		{"as asked, root", &specs.LinuxCapabilities{Bounding: sets("CAP_KILL", "CAP_CHOWN"), Permitted: sets("CAP_KILL"), Effective: sets("CAP_KILL")}, 0, "0 21 21 21 0", ""},
		{"user without ambient", &specs.LinuxCapabilities{Bounding: sets("CAP_KILL"), Permitted: sets("CAP_KILL"), Effective: sets("CAP_KILL")}, 5, "0 0 0 20 0", ""},
		{"user with ambient", &specs.LinuxCapabilities{
			Bounding: sets("CAP_KILL", "CAP_NET_RAW"), Permitted: sets("CAP_KILL"), Effective: sets("CAP_KILL"),
			Inheritable: sets("CAP_KILL"), Ambient: sets("CAP_KILL"),
		}, 5, "20 20 20 2020 20", ""},
		{"the last ones", &specs.LinuxCapabilities{Bounding: sets("CAP_CHECKPOINT_RESTORE", "CAP_BPF"), Permitted: sets("CAP_BPF"), Effective: sets("CAP_BPF")}, 0, "0 18000000000 18000000000 18000000000 0", ""},
		{"unknown", &specs.LinuxCapabilities{Bounding: sets("CAP_TEST"), Permitted: sets("CAP_TEST")}, 0, "0 0 0 0 0", "CAP_TEST"},
		{"ungrantable", &specs.LinuxCapabilities{Bounding: sets("CAP_SYS_RESOURCE", "CAP_KILL")}, 0, "0 20 20 20 0", "CAP_SYS_RESOURCE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, sh("grep ^Cap /proc/self/status")...)
			if c.name == "ungrantable" && r.mayGrant("CAP_SYS_RESOURCE", 24) {
				t.Skip("this machine grants CAP_SYS_RESOURCE")
			}
			r.spec.Process.Capabilities = c.caps
			r.spec.Process.User = specs.User{UID: c.user, GID: c.user}
			res := r.run()
			var got []string
			for _, f := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				v := strings.TrimLeft(field(res.out, f), "0")
				if v == "" {
					v = "0"
				}
				got = append(got, v)
			}
			r.equal("sets", strings.Join(got, " "), c.want)
			if res.code != 0 || (c.warn == "") != (res.err == "") || !strings.Contains(res.err, c.warn) {
				t.Errorf("want a warning with %q: %s", c.warn, res)
			}
		})
	}
}

// mayGrant looks at the test's own permitted set.
func (r *rig) mayGrant(name string, bit int) bool {
	r.Helper()
	var set uint64
	if _, err := fmt.Sscanf(field(r.read("/proc/self/status"), "CapPrm"), "%x", &set); err != nil {
		r.Fatalf("%s: %v", name, err)
	}
	return set&(1<<bit) != 0
}

// TestExitCodes: of run, and of exec in one container.
func TestExitCodes(t *testing.T) {
	r := newRig(t, sh("")...)
	for script, want := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 42": 42, "exit 126": 126, "exit 127": 127, "exit 128": 128, "exit 254": 254, "exit 255": 255,
		"(sleep 0.05; exit 9)": 9,
	} {
		r.spec.Process.Args = sh(script)
		if res := r.run(); res.code != want {
			t.Errorf("run %q: %s", script, res)
		}
	}
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	for script, want := range map[string]int{
		"exit 0": 0, "exit 3": 3, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137, "kill -SEGV $$": 139, "kill -USR1 $$": 138,
	} {
		if res := r.wrun("exec", r.id, "sh", "-c", script); res.code != want {
			t.Errorf("exec %q: %s", script, res)
		}
	}
}

// TestSignalledInit: signals from outside end run with 128+n.
func TestSignalledInit(t *testing.T) {
	for _, sig := range []string{"KILL", "TERM", "SIGUSR2", "2"} {
		r := newRig(t, sh(`trap - TERM; echo up >/tmp/up; exec sleep 100`)...)
		// Without a pid namespace: a namespace's init ignores what it does not handle.
		r.without(specs.PIDNamespace)
		r.save()
		cmd, done := r.command("run", r.id)
		r.must(cmd.Start())
		r.until("program", func() bool { _, err := os.Stat(filepath.Join(r.rootfs, "tmp/up")); return err == nil })
		r.ok("kill", r.id, sig)
		want := map[string]int{"KILL": 137, "TERM": 143, "SIGUSR2": 140, "2": 130}[sig]
		if res := done(cmd.Wait()); res.code != want {
			t.Errorf("signal %s: %s", sig, res)
		}
	}
}

// TestPiped: 100 MB through standard input and output, by run and by exec.
func TestPiped(t *testing.T) {
	const size = 100 << 20
	r := newRig(t, "cat")
	data := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	want := sha256.New()
	for range size / len(data) {
		want.Write(data)
	}
	pipe := func(args ...string) {
		cmd, done := r.command(args...)
		cmd.Stdout = nil
		in, err := cmd.StdinPipe()
		r.must(err)
		out, err := cmd.StdoutPipe()
		r.must(err)
		r.must(cmd.Start())
		go func() {
			defer in.Close()
			for range size / len(data) {
				if _, err := in.Write(data); err != nil {
					return
				}
			}
		}()
		got := sha256.New()
		n, err := io.Copy(got, out)
		r.must(err)
		if res := done(cmd.Wait()); res.code != 0 || n != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
			t.Errorf("%v: %d bytes came back, checksum %x, want %x; %s", args, n, got.Sum(nil), want.Sum(nil), res)
		}
	}
	r.save()
	pipe("run", r.id)
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	pipe("exec", r.id, "cat")
}

// TestSignalState: nothing of the handlers and masks of Go's runtime reaches
// the program.
func TestSignalState(t *testing.T) {
	r := newRig(t, "cat", "/proc/self/status")
	// What wrun's caller ignores stays ignored, as exec(2) has it.
	ignored := field(r.read("/proc/self/status"), "SigIgn")
	check := func(how, status string) {
		t.Helper()
		if v := field(status, "SigIgn"); v != ignored {
			t.Errorf("%s: SigIgn is %s, the caller's %s", how, v, ignored)
		}
		for _, set := range []string{"SigBlk", "SigCgt", "SigPnd", "ShdPnd"} {
			if v := field(status, set); strings.Trim(v, "0") != "" {
				t.Errorf("%s: %s is %s", how, set, v)
			}
		}
	}
	check("run", r.output())
	r.spec.Process.Args = []string{"sleep", "100"}
	pid := r.start()
	check("create", r.read(fmt.Sprintf("/proc/%d/status", pid)))
	check("exec", r.ok("exec", r.id, "cat", "/proc/self/status"))
}
