package silo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// treeOf makes files and links: "name" a file, "name/" a directory,
// "name -> target" a symbolic link.
func treeOf(t *testing.T, entries ...string) int {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		name, target, link := strings.Cut(e, " -> ")
		p := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, p)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		default:
			err = os.WriteFile(p, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	return root
}

func TestResolve(t *testing.T) {
	root := treeOf(t, "etc/hosts", "run/", "etc/resolv.conf -> ../run/systemd/stub.conf", "var/run -> /run", "out -> ../../../../host/x",
		"abs -> /nowhere/at/all", "a -> b", "b -> c/d", "loop -> loop", "ping -> pong", "pong -> ping", "etc/file/x -> y", "magic -> /proc/self/root/etc",
		"dots -> /run/./x/../y/z")
	for _, c := range []struct {
		dst, want string
		linkless  bool
	}{
		{"/etc/hosts", "/etc/hosts", true},
		{"/etc/resolv.conf", "/run/systemd/stub.conf", false},
		{"/var/run", "/run", true}, // it is there: nothing to make
		{"/var/run/new", "/run/new", false},
		{"/missing/deep/er", "/missing/deep/er", false},
		{"/out", "/host/x", false},
		{"/out/below", "/host/x/below", false},
		{"/abs", "/nowhere/at/all", false},
		{"/a", "/c/d", false},
		{"/a/e", "/c/d/e", false},
		{"/dots", "/run/y/z", false},
		{"/loop/x", "/loop/x", true}, // ELOOP: the child's own attempt says so
		{"/ping", "/ping", true},
		{"/magic/x", "/proc/self/root/etc/x", false},
	} {
		if got := linkless(root, c.dst); got != c.linkless {
			t.Errorf("linkless %s: %v", c.dst, got)
		}
		if got := resolve(root, c.dst); got != c.want {
			t.Errorf("resolve %s: %s, want %s", c.dst, got, c.want)
		}
	}
}

func TestDanglingTargets(t *testing.T) {
	root := treeOf(t, "etc/resolv.conf -> /run/stub", "proc -> /else")
	var f Facts
	f.danglingTargets(root, &Input{Spec: &specs.Spec{Mounts: []specs.Mount{
		{Destination: "etc/resolv.conf", Type: "bind"}, {Destination: "/proc", Type: "proc"}, {Destination: "/new/dir", Type: "tmpfs"}}}})
	if len(f.Resolved) != 1 || f.Resolved["/etc/resolv.conf"] != "/run/stub" {
		t.Errorf("%v", f.Resolved)
	}
	// What covers the link decides: something new hides it, and a part of the
	// image that is bound there shows it again.
	over := []specs.Mount{{Destination: "/etc", Type: "tmpfs"}, {Destination: "/etc/resolv.conf", Type: "bind"}}
	for _, c := range []struct {
		first specs.Mount
		want  int
	}{
		{specs.Mount{Destination: "/etc", Type: "tmpfs"}, 0},
		{specs.Mount{Destination: "/etc", Type: "bind"}, 1},
		{specs.Mount{Destination: "/etc", Type: "tmpfs", Options: []string{"tmpcopyup"}}, 1},
		{specs.Mount{Destination: "/et", Type: "tmpfs"}, 1},
	} {
		over[0], f = c.first, Facts{}
		f.danglingTargets(root, &Input{Spec: &specs.Spec{Mounts: over}})
		if len(f.Resolved) != c.want {
			t.Errorf("below %+v: %v", c.first, f.Resolved)
		}
	}
}

func TestWithHome(t *testing.T) {
	root := treeOf(t, "etc/")
	p := &specs.Process{Env: make([]string, 1, 10)}
	p.Env[0] = "A=b"
	if got := withHome(p, root); !slices.Equal(got, []string{"A=b", "HOME=/"}) {
		t.Errorf("without a passwd file: %v", got)
	}
	if extra := p.Env[:2][1]; extra != "" {
		t.Errorf("the spec's own array was written to: %q", extra)
	}
	for _, c := range [][2][]string{
		{{"HOME=/h", "A=1"}, {"HOME=/h", "A=1"}},
		{{"HOME="}, {"HOME=/"}}, // empty is none
		{{"HOME=/h", "HOME="}, {"HOME=/"}},
		{{"A=1", "B=2", "A=3"}, {"B=2", "A=3", "HOME=/"}}, // the last value counts
	} {
		if got := withHome(&specs.Process{Env: c[0]}, root); !slices.Equal(got, c[1]) {
			t.Errorf("%v becomes %v, want %v", c[0], got, c[1])
		}
	}
	// A fifo in its place must not hold up wrun.
	dir := filepath.Join(t.TempDir(), "etc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "passwd"), 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(filepath.Dir(dir), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if got := withHome(&specs.Process{}, fd); !slices.Equal(got, []string{"HOME=/"}) {
		t.Errorf("fifo: %v", got)
	}
}

func TestHomeOf(t *testing.T) {
	const passwd = "# comment\nroot:x:0:0:root:/root:/bin/sh\nshort:x:7\nu:x:77:1::/home/u:\nv:x:78:1::/home/v\ndup:x:77:1::/other:/bin/sh\nempty:x:79:1:::/bin/sh\nlast:x:80:1::/l:/s"
	for uid, want := range map[uint32]string{0: "/root", 7: "", 77: "/home/u", 78: "/home/v", 79: "", 80: "/l", 1: "", 4294967295: ""} {
		if got := homeOf([]byte(passwd), uid); got != want {
			t.Errorf("uid %d: %q, want %q", uid, got, want)
		}
	}
}

func TestUnescapeMount(t *testing.T) {
	for in, want := range map[string]string{
		`/plain`: "/plain", `/a\040b`: "/a b", `/a\011b\012c`: "/a\tb\nc", `/a\134b`: `/a\b`,
		`/a\134040b`: `/a\040b`, // an escaped backslash before digits
		`/a\`:        `/a\`,
	} {
		if got := unescapeMount(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// TestEveryCallIsKnown: what a Plan may say, lower understands.
func TestEveryCallIsKnown(t *testing.T) {
	in := ordinary()
	v1(in)
	in.Hooks, in.Spec.Process.Terminal = true, true
	in.Spec.Linux.Sysctl = map[string]string{"a.b": "1"}
	in.Spec.Linux.RootfsPropagation = "shared"
	in.Spec.Process.ApparmorProfile, in.Facts.AppArmor = "x", true
	p, err := Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Steps {
		if _, ok := callNumber(p.Steps[i].Call); !ok {
			t.Errorf("step %d: %s", i, p.Steps[i].Call)
		}
	}
}

func TestJoinable(t *testing.T) {
	for _, n := range namespaceOrder {
		fd, err := joinable(&specs.LinuxNamespace{Type: specs.LinuxNamespaceType(n.kind), Path: "/proc/self/ns/" + n.proc})
		if err != nil {
			t.Errorf("%s: %v", n.kind, err)
			continue
		}
		unix.Close(fd)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/proc/self/ns/net": "is no namespace of type ipc", "/etc/passwd": "is no namespace", "/no/such": "no such file", fifo: "is no namespace", "/dev/zero": "is no namespace"} {
		if fd, err := joinable(&specs.LinuxNamespace{Type: specs.IPCNamespace, Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d %v", path, fd, err)
		}
	}
}

// TestOpenInsideWhileOthersRename: a ".." on the way makes the kernel give up
// when anybody renames a directory meanwhile.
func TestOpenInsideWhileOthersRename(t *testing.T) {
	root := treeOf(t, "a/b/c", "a/b/link -> ../b/../../a/b/../b/c")
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	if err := os.Mkdir(one, 0o755); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(one, two)
				_ = os.Rename(two, one)
			}
		}
	}()
	gaveUp := 0
	for range 20000 {
		fd, err := unix.Openat2(root, "/a/b/link", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
		switch err {
		case unix.EAGAIN:
			gaveUp++
		case nil:
			unix.Close(fd)
		}
		if fd, err = openInside(root, "/a/b/link", unix.O_PATH); err != nil {
			t.Errorf("%v", err)
			break
		}
		unix.Close(fd)
	}
	close(stop)
	<-stopped
	t.Logf("the kernel gave up %d times of 20000", gaveUp)
}
