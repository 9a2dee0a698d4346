package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file holds what `wrun spec` writes. The bundles run as they are, given
// a rootfs directory (linux) or the layers' paths (windows).

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
		c := &bundleConfig{Spec: linuxTemplate()}
		if rootless {
			makeRootless(&c.Spec)
		}
		if hyperv {
			c.Windows = struct {
				HyperV struct{} `json:"hyperv"`
			}{}
		}
		return c, nil
	case "windows":
		if rootless {
			return nil, errors.New("--rootless is for linux")
		}
		return windowsTemplate(hyperv), nil
	}
	return nil, fmt.Errorf("unknown os: %q (linux or windows)", goos)
}

func linuxTemplate() specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: "wrun",
		Process: &specs.Process{
			Terminal:        true,
			Args:            []string{"sh"},
			Env:             []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			Cwd:             "/",
			NoNewPrivileges: true,
			Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		},
		Linux: &specs.Linux{
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// makeRootless asks for nothing that an ordinary user may not do: one uid and
// gid mapped, the host's network and its /sys, no cgroup settings.
func makeRootless(s *specs.Spec) {
	kept := s.Linux.Namespaces[:0]
	for _, ns := range s.Linux.Namespaces {
		if ns.Type != specs.NetworkNamespace {
			kept = append(kept, ns)
		}
	}
	s.Linux.Namespaces = append(kept, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
	s.Linux.Resources = nil
	mounts := s.Mounts[:0]
	for _, m := range s.Mounts {
		switch m.Destination {
		case "/sys": // sysfs needs the owner of the network namespace
			m = specs.Mount{Destination: "/sys", Type: "none", Source: "/sys",
				Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}}
		case "/sys/fs/cgroup": // comes with /sys
			continue
		case "/dev/pts": // group 5 is not mapped
			m.Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
		}
		mounts = append(mounts, m)
	}
	s.Mounts = mounts
}

// windowsTemplate: config.md, "Root": "On Windows, for Windows Server
// Containers, this field is REQUIRED. For Hyper-V Containers, this field MUST
// NOT be set." and "path MUST be a volume GUID path".
func windowsTemplate(hyperv bool) *bundleConfig {
	w := &specs.Windows{LayerFolders: []string{`C:\layers\base`, `C:\layers\scratch`}}
	c := &bundleConfig{
		Spec: specs.Spec{
			Version:  specs.Version,
			Process:  &specs.Process{Args: []string{"cmd"}, Cwd: `C:\`},
			Hostname: "wrun",
		},
		Windows: w,
	}
	if hyperv {
		w.HyperV = &specs.WindowsHyperV{}
	} else {
		c.Root = &specs.Root{Path: `\\?\Volume{00000000-0000-0000-0000-000000000000}\`}
	}
	return c
}
