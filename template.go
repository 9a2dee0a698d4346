package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"
)

// This file holds what `wrun spec` writes: the configuration that runtime-tools
// generates, corrected where such a bundle would not run, would not pass the
// check or would grant more than `runc spec` does
// (docs/design/0005-spec-templates.md). The bundles run as they are, given a
// rootfs directory (linux) or the layers' paths (windows).

// bundleConfig is specs.Spec but for a windows section without layerFolders:
// in a Linux bundle windows.hyperv only selects the isolation, while the
// specification's own type always writes the field.
type bundleConfig struct {
	specs.Spec
	Windows any `json:"windows,omitempty"`
}

func template(goos, isolation string, rootless bool) (*bundleConfig, error) {
	hyperv := false
	switch isolation {
	case "process", "default":
	case "hyperv":
		hyperv = true
	default:
		return nil, fmt.Errorf("unknown isolation: %q (process, hyperv or default)", isolation)
	}
	switch goos {
	case "linux":
		return linuxTemplate(hyperv, rootless)
	case "windows":
		if rootless {
			return nil, errors.New("--rootless is for linux")
		}
		return windowsTemplate(hyperv)
	}
	// generate has defaults for solaris and freebsd too; wrun has no host for them.
	return nil, fmt.Errorf("unknown os: %q (linux or windows)", goos)
}

func linuxTemplate(hyperv, rootless bool) (*bundleConfig, error) {
	g, err := generate.New("linux")
	if err != nil {
		return nil, err
	}
	g.SetHostname("wrun")
	g.SetRootReadonly(true)
	g.SetProcessTerminal(true)
	g.SetProcessNoNewPrivileges(true)
	// runc spec's three. generate has fourteen, in the ambient set too: a
	// program that runs as an ordinary user would have CAP_SETUID.
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	g.Config.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	// An allow list without clone3, which it answers EPERM: a C library that
	// starts threads with it gives up. runc spec has no filter either.
	g.Config.Linux.Seccomp = nil
	for _, p := range []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	} {
		g.AddLinuxMaskedPaths(p)
	}
	for _, p := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		g.AddLinuxReadonlyPaths(p)
	}
	g.AddMount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
	if hyperv || unifiedCgroups() {
		// As runc does it: on v1 the container shows its place in the machine's
		// hierarchies, which tools there have always read.
		if err := g.AddOrReplaceLinuxNamespace("cgroup", ""); err != nil {
			return nil, err
		}
	}
	if rootless {
		if err := makeRootless(&g); err != nil {
			return nil, err
		}
	}
	c := &bundleConfig{Spec: *g.Config}
	if hyperv {
		c.Windows = struct {
			HyperV struct{} `json:"hyperv"`
		}{}
	}
	return c, nil
}

// makeRootless asks for nothing that an ordinary user may not do: one uid and
// gid mapped, the host's network and its /sys, no cgroup settings.
func makeRootless(g *generate.Generator) error {
	if err := g.RemoveLinuxNamespace("network"); err != nil {
		return err
	}
	if err := g.AddOrReplaceLinuxNamespace("user", ""); err != nil {
		return err
	}
	g.AddLinuxUIDMapping(uint32(os.Geteuid()), 0, 1)
	g.AddLinuxGIDMapping(uint32(os.Getegid()), 0, 1)
	g.Config.Linux.Resources = nil
	g.RemoveMount("/sys/fs/cgroup") // comes with /sys
	for i := range g.Config.Mounts {
		switch m := &g.Config.Mounts[i]; m.Destination {
		case "/sys": // sysfs needs the owner of the network namespace
			*m = specs.Mount{Destination: "/sys", Type: "none", Source: "/sys",
				Options: []string{"rbind", "nosuid", "noexec", "nodev", "rro"}}
		case "/dev/pts": // group 5 is not mapped
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
		}
	}
	return nil
}

// windowsTemplate adds what generate leaves out. config.md, "Root": "On
// Windows, for Windows Server Containers, this field is REQUIRED. For Hyper-V
// Containers, this field MUST NOT be set." and "path MUST be a volume GUID
// path"; config-windows.md: layerFolders "MUST contain at least one entry".
func windowsTemplate(hyperv bool) (*bundleConfig, error) {
	g, err := generate.New("windows")
	if err != nil {
		return nil, err
	}
	g.SetHostname("wrun")
	g.AddWindowsLayerFolders(`C:\layers\base`)
	g.AddWindowsLayerFolders(`C:\layers\scratch`)
	if hyperv {
		g.Config.Windows.HyperV = &specs.WindowsHyperV{}
	} else {
		g.SetRootPath(`\\?\Volume{00000000-0000-0000-0000-000000000000}\`)
	}
	return &bundleConfig{Spec: *g.Config, Windows: g.Config.Windows}, nil
}
