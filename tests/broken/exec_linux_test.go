package broken

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wrun/tests/leftovers"
)

// TestExec: an exec that starts nothing ends with 255, apart from most codes
// of programs, and leaves the container as it was.
func TestExec(t *testing.T) {
	p := newPlace(t)
	p.Spec.Process.Args = []string{"sleep", "1000"}
	p.must(os.WriteFile(p.Path("bin/p"), []byte("echo hello\n"), 0o755))
	p.must(os.WriteFile(p.Path("bin/q"), []byte("#!/nowhere\n"), 0o755))
	p.must(os.WriteFile(p.Path("etc/f"), nil, 0o644))
	p.ready()
	unborn := p.before
	p.wrun.OK(t, "run", "--detach", "--bundle", p.Dir, p.id)
	process := func(text string) []string {
		name := filepath.Join(p.TempDir(), "process.json")
		p.must(os.WriteFile(name, []byte(text), 0o644))
		return []string{"--process", name, p.id}
	}
	own := func(words ...string) []string { return append([]string{p.id}, words...) }
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"not in PATH", own("nosuchcmd"), `exec: "nosuchcmd": executable file not found in $PATH`},
		{"missing by path", own("/nosuchcmd"), `exec: "/nosuchcmd": stat /nosuchcmd: no such file or directory`},
		{"a directory", own("/bin"), `exec: "/bin": is a directory`},
		{"not executable", own("/etc/f"), `exec: "/etc/f": permission denied`},
		{"script without #!", own("/bin/p"), "exec /bin/p: exec format error"},
		{"script with missing interpreter", own("/bin/q"), "exec /bin/q: no such file or directory"},
		{"empty word", own(""), "executable file not found in $PATH"},
		{"no words", own(), "process args cannot be empty"},
		{"cwd missing", append([]string{"--cwd", "/none"}, own("true")...), `chdir to cwd ("/none") set in config.json: no such file or directory`},
		{"cwd relative", append([]string{"--cwd", "tmp"}, own("true")...), "not an absolute path"},
		{"cwd a file", append([]string{"--cwd", "/etc/f"}, own("true")...), "not a directory"},
		{"cwd a descriptor", append([]string{"--cwd", "/proc/self/fd/7"}, own("true")...), "set in config.json"},
		{"user of no number", append([]string{"--user", "root"}, own("true")...), "root"},
		{"user below zero", append([]string{"--user", "-1"}, own("true")...), "-1"},
		{"user too large", append([]string{"--user", "4294967296"}, own("true")...), "4294967296"},
		{"cgroup that is not there", append([]string{"--cgroup", "none"}, own("true")...), "cgroup"},
		{"terminal nowhere", append([]string{"--tty", "--detach"}, own("true")...), "console socket"},
		{"pid file in no directory", append([]string{"--pid-file", filepath.Join(p.host, "none", "pid")}, own("true")...), "no such file or directory"},
		{"pidfd socket missing", append([]string{"--pidfd-socket", filepath.Join(p.host, "none")}, own("true")...), "no such file or directory"},
		{"descriptors that are not there", append([]string{"--preserve-fds", "200"}, own("true")...), "descriptor"},
		{"process file missing", []string{"--process", "/nosuchfile", p.id}, "no such file or directory"},
		{"process file a directory", []string{"--process", "/etc", p.id}, "/etc"},
		{"process file empty", process(""), "process.json"},
		{"process file of another kind", process("[]"), "process"},
		{"process without words", process(`{"cwd":"/","user":{"uid":0,"gid":0}}`), "args"},
		{"process with a user of words", process(`{"cwd":"/","args":["true"],"user":{"uid":"root"}}`), "uid"},
		{"process with an rlimit too high", process(`{"cwd":"/","args":["/bin/true"],"rlimits":[{"type":"RLIMIT_NOFILE","soft":1099511627776,"hard":1099511627776}]}`), "error setting rlimits"},
		{"container unknown", []string{leftovers.Tag() + "none", "true"}, "container does not exist"},
		{"container of an impossible name", []string{"../" + p.id, "true"}, "invalid container ID format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inside := &place{T: t, Bundle: p.Bundle, wrun: p.wrun, id: p.id, host: p.host, whole: true, alive: true}
			inside.ready()
			text := inside.oneError(255, append([]string{"exec"}, c.args...)...)
			if !strings.Contains(text, c.want) {
				t.Errorf("the error is\n%q, want in it\n%q", text, c.want)
			}
			if testing.Verbose() {
				t.Log(text)
			}
		})
	}
	p.wrun.OK(t, "delete", "--force", p.id)
	unborn.Check(t, "after delete")
}
