package silo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/rootfs"
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

// TestCallNumber: every call of the table is found, and nothing else.
func TestCallNumber(t *testing.T) {
	for _, c := range calls {
		if got, ok := callNumber(c.name); !ok || got != c.number {
			t.Errorf("%s: %d, %v, want %d", c.name, got, ok, c.number)
		}
	}
	for _, name := range []string{"", "a", "ioct", "ioctll", "zzz"} {
		if got, ok := callNumber(name); ok {
			t.Errorf("%q: %d", name, got)
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
		if fd, err = rootfs.Open(root, "/a/b/link", unix.O_PATH); err != nil {
			t.Errorf("%v", err)
			break
		}
		unix.Close(fd)
	}
	close(stop)
	<-stopped
	t.Logf("the kernel gave up %d times of 20000", gaveUp)
}
