package silo

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// order is of a container with defaultSpec, whose root file system has entries.
func order(t *testing.T, entries ...string) Order {
	t.Helper()
	fd := treeOf(t, entries...)
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf[:])
	if err != nil {
		t.Fatal(err)
	}
	root := string(buf[:n])
	s := defaultSpec(root, "sh")
	s.Linux.CgroupsPath = "/c1"
	s.Process.Env = append(s.Process.Env, "HOME=/")
	return Order{ID: "c1", Spec: s, Root: root}
}

func (o *Order) bind(destination, source string, options ...string) {
	o.Spec.Mounts = append(o.Spec.Mounts, specs.Mount{Destination: destination, Source: source, Options: append(options, "bind")})
}

// sources are the guest's, where both see the same files.
func (o *Order) sources() {
	o.Sources = nil
	for i := range o.Spec.Mounts {
		o.Sources = append(o.Sources, o.Spec.Mounts[i].Source)
	}
}

// TestPrepareAsInGuest: a host comes to the plan that the guest would have come to
// by itself.
func TestPrepareAsInGuest(t *testing.T) {
	other := order(t, "file", "dir/x")
	for name, edit := range map[string]func(*Order){
		"ordinary":        func(*Order) {},
		"file and folder": func(o *Order) { o.bind("/a", other.Root+"/file", "ro"); o.bind("/b/c", other.Root+"/dir") },
		"dangling":        func(o *Order) { o.bind("/etc/resolv.conf", other.Root+"/file") },
		"filter": func(o *Order) {
			o.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}}}
		},
		"covered": func(o *Order) {
			o.Spec.Mounts = append(o.Spec.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
		},
		"no keyring": func(o *Order) { o.NoNewKeyring = true },
		"no process": func(o *Order) { o.Spec.Process = nil },
		"terminal":   func(o *Order) { o.Terminal, o.Spec.Process.Terminal = true, true },
		"limits":     func(o *Order) { o.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "0"} },
		"no namespace": func(o *Order) {
			o.Spec.Linux.Namespaces = slices.DeleteFunc(o.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := order(t, "bin/sh", "etc/resolv.conf -> ../run/nowhere", "tmp/a", "tmp/b/c")
			edit(&o)
			o.sources()
			got, warnings, err := o.prepare()
			if err != nil || got == nil {
				t.Fatalf("%v, %v", got, err)
			}
			warned := []string{}
			c := &libcontainer.Config{ID: o.ID, Bundle: "/", Spec: o.Spec, NoNewKeyring: o.NoNewKeyring, Run: true,
				Warn: func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) }}
			stdio := libcontainer.Stdio{}
			if o.Terminal {
				stdio.Attached = func() error { return nil }
			}
			b := Guest().birth(c, stdio, &Input{ID: c.ID, Bundle: c.Bundle, Spec: c.Spec, NoNewKeyring: c.NoNewKeyring, Guest: true})
			defer b.release()
			b.in.Facts.Privileged = true
			for _, step := range []func() error{func() error { return b.expect(t.Context()) }, func() error { return b.prepare(t.Context()) }} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			b.opened = append(b.opened, b.files[fileParent], b.files[fileSync])
			b.in.Facts.Privileged = true // also where an ordinary user tests
			want, err := Compile(b.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Plan.String() != want.String() || !reflect.DeepEqual(got.Plan.Steps, want.Steps) {
				t.Errorf("the host's:\n%s\nthe guest's:\n%s", got.Plan, want)
			}
			if all := append(warned, want.Warnings...); !slices.Equal(warnings, all) && len(warnings)+len(all) > 0 {
				t.Errorf("warnings %q, the guest's %q", warnings, all)
			}
			if got.Direct == o.Terminal {
				t.Errorf("direct: %v", got.Direct)
			}
		})
	}
}

// TestPrepareLeaves: what only the guest knows is left to it.
func TestPrepareLeaves(t *testing.T) {
	namespace := func(kind specs.LinuxNamespaceType, path string) func(*Order) {
		return func(o *Order) {
			l := o.Spec.Linux
			l.Namespaces = slices.DeleteFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
		}
	}
	for name, edit := range map[string]func(*Order){
		"a joined namespace":     namespace(specs.IPCNamespace, "sandbox"),
		"a joined pid namespace": namespace(specs.PIDNamespace, "sandbox"),
		"users":                  namespace(specs.UserNamespace, ""),
		"a clock":                namespace(specs.TimeNamespace, ""),
		"the VM's mounts":        func(o *Order) { o.Spec.Linux.Namespaces = o.Spec.Linux.Namespaces[:1] },
		"mounts that reach it":   func(o *Order) { o.Spec.Linux.RootfsPropagation = "rshared" },
		"a seccomp agent": func(o *Order) {
			o.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/x"}
		},
		"a question of a filter's": func(o *Order) {
			o.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}
		},
		"a network device":        func(o *Order) { o.Spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} },
		"mapped users of a mount": func(o *Order) { o.bind("/a", "/", "idmap") },
		"a missing source":        func(o *Order) { o.bind("/a", "/does/not/exist") },
		"a cgroup that is given away": func(o *Order) {
			o.Spec.Process.User.UID = 5
			o.Spec.Mounts[len(o.Spec.Mounts)-1].Options = nil
		},
	} {
		o := order(t, "bin/sh")
		edit(&o)
		o.sources()
		if got, _, err := o.prepare(); got != nil || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestPrepareRefuses: a bundle that cannot be started is refused before there is a VM.
func TestPrepareRefuses(t *testing.T) {
	for want, edit := range map[string]func(*Order){
		"root.path": func(o *Order) { o.Root = "/does/not/exist" },
		"linux.devices[0]": func(o *Order) {
			o.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "c", Major: 1, Minor: 3}}
		},
		"process.rlimits[0].type": func(o *Order) { o.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "CPU"}} },
		"linux.seccomp":           func(o *Order) { o.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "x"} },
	} {
		o := order(t, "bin/sh", "x")
		edit(&o)
		o.sources()
		if got, _, err := o.prepare(); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, got, err)
		}
	}
}

// TestPresent: what an image's /dev has is not made again, and what may not stay
// is.
func TestPresent(t *testing.T) {
	for _, c := range []struct {
		entries []string
		edit    func(*Order)
		absent  []string // of the default names
	}{
		{nil, nil, []string{"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx"}},
		{[]string{"dev/null", "dev/zero -> nowhere", "dev/fd -> /proc/self/fd", "dev/ptmx -> pts/ptmx"}, nil,
			[]string{"full", "random", "urandom", "tty", "stdin", "stdout", "stderr"}},
		{[]string{"dev/null", "dev/ptmx"}, nil, []string{"zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx"}},
		{[]string{"dev/null", "dev/ptmx -> pts/ptmx/x"}, func(o *Order) { o.bind("/dev/tty", "/dev/null") },
			[]string{"zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx"}},
		{[]string{"dev/null", "dev/ptmx -> pts/ptmx"}, func(o *Order) { // all of it is covered
			o.Spec.Mounts = append(o.Spec.Mounts, specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"})
		}, []string{"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx"}},
	} {
		o := order(t, append(c.entries, "bin/sh")...)
		o.Spec.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}
		if c.edit != nil {
			c.edit(&o)
		}
		o.sources()
		r, _, err := o.prepare()
		if err != nil || r == nil {
			t.Fatalf("%v, %v", r, err)
		}
		var made []string
		for i := range r.Plan.Steps {
			s := &r.Plan.Steps[i]
			switch {
			case s.Call == "mknodat" && strings.HasPrefix(s.Why, "default device"):
				made = append(made, string(s.Args[1].(Str)))
			case s.Call == "symlinkat":
				made = append(made, string(s.Args[2].(Str)))
			}
		}
		if !slices.Equal(made, c.absent) {
			t.Errorf("%v: made %v, want %v", c.entries, made, c.absent)
		}
	}
}
