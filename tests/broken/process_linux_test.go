package broken

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// program makes an executable file of the container and has it run.
func (p *place) program(mode os.FileMode, content string) {
	p.Helper()
	p.must(os.WriteFile(p.Path("bin/p"), []byte(content), 0o644))
	p.must(os.Chmod(p.Path("bin/p"), mode))
	p.Spec.Process.Args = []string{"/bin/p"}
}

func args(words ...string) func(*place) { return func(p *place) { p.Spec.Process.Args = words } }

func rlimit(kind string, soft, hard uint64) func(*place) {
	return func(p *place) {
		p.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: kind, Soft: soft, Hard: hard}}
	}
}

// foreignELF is the head of a program for another machine.
const foreignELF = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16\x00\x01\x00\x00\x00"

// TestProgram holds the texts by which engines choose their own exit codes
// (podman 126 and 127, docker 126, 127 and 128).
func TestProgram(t *testing.T) {
	flaws(t, []flaw{
		{"not in PATH", args("nosuchcmd"), `exec: "nosuchcmd": executable file not found in $PATH`},
		{"PATH without it", func(p *place) { p.Spec.Process.Env = []string{"PATH=/etc:/tmp"} }, `exec: "true": executable file not found in $PATH`},
		{"PATH of a file", func(p *place) { p.Spec.Process.Env = []string{"PATH=/bin/busybox"} }, `exec: "true": executable file not found in $PATH`},
		{"no environment", func(p *place) { p.Spec.Process.Env = nil; p.Spec.Process.Args = []string{"nosuchcmd"} }, `executable file not found in $PATH`},
		{"missing by path", args("/nosuchcmd"), `exec: "/nosuchcmd": stat /nosuchcmd: no such file or directory`},
		{"below a file", args("/bin/busybox/x"), `exec: "/bin/busybox/x": stat /bin/busybox/x: not a directory`},
		{"a directory", args("/bin"), `exec: "/bin": is a directory`},
		{"the root", args("/"), `exec: "/": is a directory`},
		{"empty word", args(""), `exec: "": executable file not found in $PATH`},
		{"no words", func(p *place) { p.Spec.Process.Args = []string{} }, "args"},
		{"words with NUL", args("true", "a\x00b"), "args"},
		{"name too long", args("/" + strings.Repeat("x", 300)), "file name too long"},
		{"name far too long", args(strings.Repeat("x", 100000)), "executable file not found in $PATH"},
		{"an argument beyond the kernel's limit", args("true", strings.Repeat("x", 1<<18)), "argument list too long"},
		{"not executable", func(p *place) { p.program(0o644, "#!/bin/sh\n") }, `exec: "/bin/p": permission denied`},
		{"not executable, in PATH", func(p *place) { p.program(0o644, "#!/bin/sh\n"); p.Spec.Process.Args = []string{"p"} }, `executable file not found in $PATH`},
		{"a link to itself", func(p *place) {
			p.must(os.Symlink("p", p.Path("bin/p")))
			p.Spec.Process.Args = []string{"/bin/p"}
		}, "too many levels of symbolic links"},
		{"a dangling link", func(p *place) {
			p.must(os.Symlink("/nowhere", p.Path("bin/p")))
			p.Spec.Process.Args = []string{"/bin/p"}
		}, "no such file or directory"},
		{"empty file", func(p *place) { p.program(0o755, "") }, "exec /bin/p: exec format error"},
		{"garbage", func(p *place) { p.program(0o755, "\x00\x01garbage") }, "exec /bin/p: exec format error"},
		{"ELF of another machine", func(p *place) { p.program(0o755, foreignELF+strings.Repeat("\x00", 100)) }, "exec /bin/p: exec format error"},
		{"ELF cut short", func(p *place) { p.program(0o755, "\x7fELF") }, "exec /bin/p: exec format error"},
		{"script without #!", func(p *place) { p.program(0o755, "echo hello\n") }, "exec /bin/p: exec format error"},
		{"script with missing interpreter", func(p *place) { p.program(0o755, "#!/nowhere\n") }, "exec /bin/p: no such file or directory"},
		{"script whose interpreter is a directory", func(p *place) { p.program(0o755, "#!/bin\n") }, "exec /bin/p: permission denied"},
		{"on a file system without execution", func(p *place) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/bin", Source: p.Path("bin"), Options: []string{"bind", "noexec"}})
			p.Spec.Process.Args = []string{"/bin/busybox"}
		}, "permission denied"},
		{"a user who may not execute", func(p *place) {
			p.program(0o700, "#!/bin/sh\n")
			p.Spec.Process.User.UID = 1000
		}, `exec: "/bin/p": permission denied`},
		{"behind a closed directory", func(p *place) {
			p.must(os.Chmod(p.Path("bin"), 0o700))
			p.Spec.Process.User.UID = 1000
			p.Spec.Process.Args = []string{"/bin/busybox"}
		}, `exec: "/bin/busybox": permission denied`},
	})
}

func TestProcess(t *testing.T) {
	user := func(text string) func(*place) {
		return func(p *place) {
			p.config(`{"ociVersion":"1.3.0","root":{"path":"rootfs"},"process":{"cwd":"/","args":["true"],"user":` + text + `},"linux":{}}`)
		}
	}
	cwd := func(dir string) func(*place) { return func(p *place) { p.Spec.Process.Cwd = dir } }
	flaws(t, []flaw{
		{"user a string", user(`{"uid":"root","gid":0}`), "process.user.uid"},
		{"user below zero", user(`{"uid":-1,"gid":0}`), "process.user.uid"},
		{"user too large", user(`{"uid":4294967296,"gid":0}`), "process.user.uid"},
		{"user far too large", user(`{"uid":1e400,"gid":0}`), "process.user.uid"},
		{"user that means unchanged", user(`{"uid":4294967295,"gid":0}`), "process.user.uid"},
		{"user a word", user(`"root"`), "process.user"},
		{"groups of words", user(`{"uid":0,"gid":0,"additionalGids":["wheel"]}`), "process.user.additionalGids"},
		{"more groups than the kernel takes", func(p *place) { p.Spec.Process.User.AdditionalGids = make([]uint32, 65537) }, "process.user.additionalGids"},

		{"cwd relative", cwd("tmp"), "process.cwd"},
		{"cwd a file", cwd("/bin/busybox"), `chdir to cwd ("/bin/busybox") set in config.json: not a directory`},
		{"cwd under a file", cwd("/bin/busybox/x"), `chdir to cwd ("/bin/busybox/x") set in config.json: not a directory`},
		{"cwd through a loop", func(p *place) { p.must(os.Symlink("loop", p.Path("loop"))); p.Spec.Process.Cwd = "/loop" }, `chdir to cwd ("/loop") set in config.json: too many levels of symbolic links`},
		{"cwd a descriptor", cwd("/proc/self/fd/7"), `set in config.json`},
		{"cwd a descriptor, by thread", cwd("/proc/thread-self/fd/3"), `set in config.json`},
		{"cwd the old root", cwd("/proc/1/root"), `set in config.json`},
		{"cwd too long", cwd("/" + strings.Repeat("x", 300)), "file name too long"},
		{"cwd missing on a read-only file system", func(p *place) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/tmp", Source: "tmpfs", Type: "tmpfs", Options: []string{"ro"}})
			p.Spec.Process.Cwd = "/tmp/none"
		}, `chdir to cwd ("/tmp/none") set in config.json: read-only file system`},

		{"rlimit above the hard one", rlimit("RLIMIT_NOFILE", 1<<40, 1<<40), "error setting rlimits"},
		{"rlimit soft above hard", rlimit("RLIMIT_NOFILE", 20, 10), "process.rlimits[0]"},
		{"rlimit unknown", rlimit("RLIMIT_MOOD", 1, 1), "RLIMIT_MOOD"},
		{"oom score", func(p *place) { v := 5000; p.Spec.Process.OOMScoreAdj = &v }, "process.oomScoreAdj"},
	})
}
