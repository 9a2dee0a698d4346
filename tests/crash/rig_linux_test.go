package crash

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/container"
	"wrun/tests/leftovers"
)

var (
	site     container.Site // with fault points
	sequence int
)

func TestMain(m *testing.M) {
	os.Exit(site.Main(m, "crash", container.FaultTags, leftovers.Confine))
}

// kind is a kind of container that leaves something else behind.
type kind struct {
	name  string
	edit  func(*container.Bundle)
	hooks bool // it has hooks of create
}

var kinds = []kind{
	{name: "plain", edit: func(*container.Bundle) {}},
	{name: "hooks", hooks: true, edit: func(b *container.Bundle) {
		host := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >/dev/null"}}}
		b.Spec.Hooks = &specs.Hooks{
			Prestart:      host, //nolint:staticcheck // dockerd 20.10 needs it
			CreateRuntime: host, CreateContainer: host, StartContainer: host, Poststart: host, Poststop: host,
		}
	}},
	{name: "terminal", edit: func(b *container.Bundle) { b.Spec.Process.Terminal = true }},
	{name: "host's processes", edit: func(b *container.Bundle) { without(b, specs.PIDNamespace) }},
	{name: "host's mounts", edit: func(b *container.Bundle) {
		without(b, specs.MountNamespace)
		b.Spec.Linux.MaskedPaths, b.Spec.Linux.ReadonlyPaths = nil, nil
	}},
	{name: "own users", edit: func(b *container.Bundle) {
		b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		b.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		b.Spec.Linux.GIDMappings = b.Spec.Linux.UIDMappings
		b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" })
	}},
	// The child forks once more to enter it: its first pid is not its last.
	{name: "own time", edit: func(b *container.Bundle) {
		b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	}},
}

func without(b *container.Bundle, kind specs.LinuxNamespaceType) {
	b.Spec.Linux.Namespaces = slices.DeleteFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

// life is a container that gets through being killed.
type life struct {
	*testing.T
	*container.Wrun
	id     string
	files  string // directory of pid files
	create []string
	before *leftovers.Snapshot
}

func newLife(t *testing.T, k kind) *life {
	t.Helper()
	if site.WhyNot != "" {
		t.Skip(site.WhyNot)
	}
	sequence++
	dir := filepath.Join(site.Work, strconv.Itoa(sequence))
	// Processes that would survive their init where they share its pid namespace.
	b := container.NewBundle(t, filepath.Join(dir, "bundle"), "sh", "-c", "sleep 1000 & sleep 1000 & wait")
	k.edit(b)
	b.Save(t)
	l := &life{
		T: t, id: leftovers.Tag() + strconv.Itoa(sequence), files: filepath.Join(dir, "files"),
		Wrun: &container.Wrun{Binary: site.Binary, Root: filepath.Join(dir, "state"), Env: []string{"TMPDIR=" + filepath.Join(dir, "tmp")}},
	}
	for _, d := range []string{"state", "tmp", "files"} {
		container.Must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	l.create = []string{"--bundle", b.Dir, "--pid-file", filepath.Join(l.files, "pid"), l.id}
	if b.Spec.Process.Terminal {
		l.create = append(l.create, "--console-socket", l.console(dir))
	}
	l.before = leftovers.Take(t, filepath.Join(dir, "state"), filepath.Join(dir, "tmp"))
	t.Cleanup(func() {
		if t.Failed() { // keep the files, but do not let this spoil the next test
			_ = l.Command(context.Background(), "delete", "--force", l.id).Run()
			return
		}
		container.Must(t, os.RemoveAll(dir))
	})
	return l
}

// console listens for terminals and hangs up on each.
func (l *life) console(dir string) string {
	l.Helper()
	name := filepath.Join(dir, "console")
	listener, err := net.Listen("unix", name)
	container.Must(l.T, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 16)) // the terminal's descriptor, dropped
			c.Close()
		}
	}()
	l.Cleanup(func() { listener.Close(); <-done })
	return name
}

// settled is the container's status once nobody counts as its creator any
// more: a child that is about to die may hold the lock for a moment.
func (l *life) settled() specs.ContainerState {
	l.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		s := l.State(l.T, l.id)
		if s != specs.StateCreating {
			return s
		}
		if time.Since(begin) > leftovers.Settle {
			l.Errorf("the container is still %s, %v after its creator's death", s, leftovers.Settle)
			return s
		}
	}
}

// recover does what an engine does after a crash, and checks that it helps.
func (l *life) recover() {
	l.Helper()
	l.OK(l.T, "delete", "--force", l.id)
	if s := l.State(l.T, l.id); s != "" {
		l.Errorf("after delete --force the container is %s", s)
	}
	l.before.Check(l.T, "after delete --force")
	l.OK(l.T, "delete", "--force", l.id)
	if l.Failed() {
		return
	}
	l.OK(l.T, append([]string{"create"}, l.create...)...)
	if s := l.State(l.T, l.id); s != specs.StateCreated {
		l.Errorf("created again it is %q", s)
	}
	l.OK(l.T, "start", l.id)
	l.OK(l.T, "delete", "--force", l.id)
	l.before.Check(l.T, "after a second life")
}
