package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"wrun/libcontainer"
	"wrun/libcontainer/silo"
	"wrun/libcontainer/silo/cgroup"
	"wrun/libcontainer/silo/systemd"
	"wrun/libcontainer/uvm"
	"wrun/libcontainer/wine"
)

// hostFor says which host serves which isolation on Linux.
func hostFor(i libcontainer.Isolation) (libcontainer.Host, error) {
	switch {
	case i.OS == "windows" && i.Kind == libcontainer.UVM:
		return wine.NewVM(uvm.New(prepare), silo.New(systemd.Client{})), nil
	case i.OS == "windows":
		return wine.NewSilo(silo.New(systemd.Client{})), nil
	case i.Kind == libcontainer.UVM:
		return uvm.New(prepare), nil
	}
	return silo.New(systemd.Client{}), nil
}

// prepare has the silo, which runs in the utility VM as well, work out a start there.
func prepare(s uvm.Start) (json.RawMessage, []string, error) { return silo.Prepare(silo.Order(s)) }

// unifiedCgroups tells whether this machine has cgroup v2 alone.
func unifiedCgroups() bool {
	layout, err := cgroup.Detect()
	return err != nil || layout.Pure()
}

// defaultIsolation is what a container runs in unless it is told.
func defaultIsolation() string { return "process" }

// defaultRoot is a directory that a boot empties: state is void after one.
func defaultRoot() string {
	// Root of a user namespace, as of a rootless engine's, is an ordinary user, too.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && !silo.MachineRoot() {
		return filepath.Join(dir, "wrun")
	}
	return "/run/wrun"
}

// addHostFeatures adds what the silo recognizes.
func addHostFeatures(f *features.Features) {
	yes, no := true, false
	f.MountOptions = silo.MountOptions()
	f.Linux = &features.Linux{
		Namespaces:   []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
		Capabilities: silo.CapabilityNames(),
		Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
		Seccomp: &features.Seccomp{
			Enabled: &yes,
			Actions: []string{"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
				"SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"},
			Operators: []string{"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"},
			Archs: []string{"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390",
				"SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"},
			KnownFlags:     seccompFlags(),
			SupportedFlags: seccompFlags(),
		},
		Apparmor:        &features.Apparmor{Enabled: &no},
		Selinux:         &features.Selinux{Enabled: &no},
		IntelRdt:        &features.IntelRdt{Enabled: &no, Schemata: &no, Monitoring: &no},
		MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
		NetDevices:      &features.NetDevices{Enabled: &yes},
	}
}

func seccompFlags() []string {
	return []string{"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}
}

// monitor is a process of a container that is none of this kernel's.
func monitor(args []string) int { return uvm.Monitor(args) }
