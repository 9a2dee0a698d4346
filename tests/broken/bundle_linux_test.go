package broken

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// config writes config.json itself.
func (p *place) config(text string) {
	p.Helper()
	p.whole = true
	p.must(os.WriteFile(filepath.Join(p.Dir, "config.json"), []byte(text), 0o644))
}

// rootfs replaces the root file system.
func (p *place) rootfs(make func(name string) error) {
	p.Helper()
	p.must(os.RemoveAll(p.Path("")))
	p.must(make(strings.TrimSuffix(p.Path(""), "/")))
}

func TestBundle(t *testing.T) {
	flaws(t, []flaw{
		{"missing", func(p *place) { p.whole = true; p.must(os.RemoveAll(p.Dir)) }, "no such file or directory"},
		{"a file", func(p *place) {
			p.whole = true
			p.must(os.RemoveAll(p.Dir))
			p.must(os.WriteFile(p.Dir, nil, 0o644))
		}, "not a directory"},
		{"a dangling link", func(p *place) {
			p.whole = true
			p.must(os.RemoveAll(p.Dir))
			p.must(os.Symlink("nowhere", p.Dir))
		}, "no such file or directory"},
		{"no config.json", func(p *place) { p.whole = true }, "config.json"},
		{"config.json a directory", func(p *place) { p.whole = true; p.must(os.Mkdir(filepath.Join(p.Dir, "config.json"), 0o755)) }, "config.json"},
		{"config.json a fifo", func(p *place) { p.whole = true; p.must(unix.Mkfifo(filepath.Join(p.Dir, "config.json"), 0o644)) }, "config.json"},
		{"config.json a device", func(p *place) { p.whole = true; p.must(os.Symlink("/dev/zero", filepath.Join(p.Dir, "config.json"))) }, "config.json"},
		{"config.json a link to itself", func(p *place) { p.whole = true; p.must(os.Symlink("config.json", filepath.Join(p.Dir, "config.json"))) }, "too many levels of symbolic links"},
		{"config.json huge", func(p *place) {
			p.config("{}")
			p.must(os.Truncate(filepath.Join(p.Dir, "config.json"), 1<<40))
		}, "config.json"},
		{"config.json of opening brackets", func(p *place) { p.config(strings.Repeat("[", 1<<20)) }, "config.json"},
		{"config.json of NUL bytes", func(p *place) { p.config(strings.Repeat("\x00", 4096)) }, "config.json"},

		{"rootfs missing", func(p *place) { p.rootfs(func(string) error { return nil }) }, "rootfs"},
		{"rootfs a file", func(p *place) { p.rootfs(func(n string) error { return os.WriteFile(n, nil, 0o755) }) }, "rootfs"},
		{"rootfs a fifo", func(p *place) { p.rootfs(func(n string) error { return unix.Mkfifo(n, 0o755) }) }, "rootfs"},
		{"rootfs a dangling link", func(p *place) { p.rootfs(func(n string) error { return os.Symlink("nowhere", n) }) }, "rootfs"},
		{"rootfs a link to itself", func(p *place) { p.rootfs(func(n string) error { return os.Symlink("rootfs", n) }) }, "rootfs"},
		{"rootfs empty", func(p *place) { p.rootfs(func(n string) error { return os.Mkdir(n, 0o755) }) }, `exec: "true": executable file not found in $PATH`},
		{"rootfs path too long", func(p *place) { p.Spec.Root.Path = strings.Repeat("x/", 4000) }, "file name too long"},
		{"rootfs the host's root", func(p *place) { p.Spec.Root.Path = "/"; p.Spec.Process.Args = []string{"/nosuchprogram"} }, "stat /nosuchprogram: no such file or directory"},
		{"root path empty", func(p *place) { p.Spec.Root.Path = "" }, "root.path"},
		{"no process", func(p *place) { p.Spec.Process = nil }, "has no process"},

		{"pid file in no directory", func(p *place) { p.args = []string{"--pid-file", filepath.Join(p.host, "none", "pid")} }, "no such file or directory"},
		{"pid file a directory", func(p *place) { p.args = []string{"--pid-file", filepath.Join(p.host, "sub")} }, "pid file"},
		{"console socket without terminal", func(p *place) { p.args = []string{"--console-socket", filepath.Join(p.host, "file")} }, "console socket"},
		{"console socket missing", func(p *place) {
			p.Spec.Process.Terminal = true
			p.args = []string{"--detach", "--console-socket", filepath.Join(p.host, "none")}
		}, "no such file or directory"},
		{"pidfd socket missing", func(p *place) { p.args = []string{"--pidfd-socket", filepath.Join(p.host, "none")} }, "no such file or directory"},
		{"descriptors that are not there", func(p *place) { p.args = []string{"--preserve-fds", "200"} }, "descriptor"},
	})
}
