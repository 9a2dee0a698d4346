package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"wrun/libcontainer/bundle"
)

// writeBundle makes a bundle of busybox whose program is args.
func writeBundle(dir string, args []string) error {
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
