package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/bundle"
)

// writeBundle makes a bundle of busybox whose program is args.
func writeBundle(dir string, args []string, edit ...func(*bundleConfig)) error {
	bin := filepath.Join(dir, "rootfs", "bin")
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), program, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "true", "sleep", "cat", "echo", "stty", "seq"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	config, err := template("linux", "process", false)
	if err != nil {
		return err
	}
	config.Process.Args, config.Process.Terminal = args, false
	for _, e := range edit {
		e(config)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}

// TestTemplatesPassTheCheck: what `wrun spec` writes is a good bundle, for each
// operating system and isolation.
func TestTemplatesPassTheCheck(t *testing.T) {
	for _, tt := range []struct {
		os, isolation string
		rootless      bool
	}{
		{"linux", "default", false}, {"linux", "process", false}, {"linux", "process", true}, {"linux", "hyperv", false},
		{"windows", "default", false}, {"windows", "process", false}, {"windows", "hyperv", false},
	} {
		t.Run(tt.os+" "+tt.isolation, func(t *testing.T) {
			config, err := template(tt.os, tt.isolation, tt.rootless)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := writeNew(filepath.Join(dir, "config.json"), data); err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(bundle.Target{OS: tt.os, VM: tt.isolation == "hyperv"}); err != nil {
				t.Error(err)
			}
			if hyperv := b.Spec.Windows != nil && b.Spec.Windows.HyperV != nil; hyperv != (tt.isolation == "hyperv") {
				t.Errorf("windows.hyperv present: %v", hyperv)
			}
			for _, p := range b.Warnings(bundle.Target{OS: tt.os, VM: tt.isolation == "hyperv"}) {
				t.Errorf("the template draws a warning: %s", p)
			}
		})
	}
}

// TestTemplateGrants: a later runtime-tools that gives or takes more by default
// does not change what a container of `wrun spec` may do.
func TestTemplateGrants(t *testing.T) {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	for _, tt := range []struct {
		rootless   bool
		namespaces []specs.LinuxNamespaceType
		mounts     []string
	}{
		{false, []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "mount", "cgroup"},
			[]string{"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"}},
		{true, []specs.LinuxNamespaceType{"pid", "ipc", "uts", "mount", "cgroup", "user"},
			[]string{"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"}},
	} {
		config, err := template("linux", "default", tt.rootless)
		if err != nil {
			t.Fatal(err)
		}
		want := &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		if got := config.Process.Capabilities; !reflect.DeepEqual(got, want) {
			t.Errorf("rootless %v: capabilities %+v", tt.rootless, got)
		}
		if !config.Root.Readonly || !config.Process.NoNewPrivileges || !config.Process.Terminal || config.Linux.Seccomp != nil {
			t.Errorf("rootless %v: root %+v, process %+v, seccomp %v", tt.rootless, config.Root, config.Process, config.Linux.Seccomp != nil)
		}
		if len(config.Linux.MaskedPaths) != 12 || len(config.Linux.ReadonlyPaths) != 5 {
			t.Errorf("rootless %v: masked %q, read-only %q", tt.rootless, config.Linux.MaskedPaths, config.Linux.ReadonlyPaths)
		}
		var namespaces []specs.LinuxNamespaceType
		for _, ns := range config.Linux.Namespaces {
			namespaces = append(namespaces, ns.Type)
		}
		var mounts []string
		for _, m := range config.Mounts {
			mounts = append(mounts, m.Destination)
		}
		if !unifiedCgroups() { // as runc: on cgroup v1 the machine's hierarchies are shown
			tt.namespaces = slices.DeleteFunc(tt.namespaces, func(n specs.LinuxNamespaceType) bool { return n == specs.CgroupNamespace })
		}
		if !slices.Equal(namespaces, tt.namespaces) || !slices.Equal(mounts, tt.mounts) {
			t.Errorf("rootless %v: namespaces %q, mounts %q", tt.rootless, namespaces, mounts)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	for _, tt := range []struct {
		os, isolation string
		rootless      bool
	}{{"plan9", "default", false}, {"linux", "vm", false}, {"windows", "process", true}} {
		if _, err := template(tt.os, tt.isolation, tt.rootless); err == nil {
			t.Errorf("template(%+v) is no error", tt)
		}
	}
}
