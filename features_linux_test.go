package main

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo/seccomp"
)

// TestSeccompFeaturesAreTrue: what features lists compiles.
func TestSeccompFeaturesAreTrue(t *testing.T) {
	f := supported().Linux.Seccomp
	compile := func(what string, edit func(*specs.LinuxSeccomp)) {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"getcwd"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpEqualTo}},
		}}}
		edit(s)
		if _, _, err := seccomp.Compile(s, "amd64"); err != nil {
			t.Errorf("features lists %s: %v", what, err)
		}
	}
	for _, a := range f.Actions {
		compile(a, func(s *specs.LinuxSeccomp) { s.Syscalls[0].Action = specs.LinuxSeccompAction(a) })
	}
	for _, o := range f.Operators {
		compile(o, func(s *specs.LinuxSeccomp) { s.Syscalls[0].Args[0].Op = specs.LinuxSeccompOperator(o) })
	}
	for _, a := range f.Archs {
		compile(a, func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{specs.Arch(a)} })
	}
	for _, fl := range f.KnownFlags {
		compile(fl, func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(fl)} })
	}
}

// TestFeaturesSayWhatIsMissing: nothing of linux is unknown by being left out,
// but memoryPolicy, which has no way to say no.
func TestFeaturesSayWhatIsMissing(t *testing.T) {
	data, err := json.Marshal(supported())
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Linux map[string]json.RawMessage }
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "intelRdt", "mountExtensions", "netDevices"} {
		if len(got.Linux[key]) == 0 {
			t.Errorf("linux.%s is left out", key)
		}
	}
}
