package seccomp

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRefusals(t *testing.T) {
	allow := func(c ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: c}
	}
	errnoOf := func(action specs.LinuxSeccompAction, errno uint) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read"}, Action: action, ErrnoRet: &errno}
	}
	for _, tt := range []struct {
		name string
		s    *specs.LinuxSeccomp
		want string
	}{
		{"default action", &specs.LinuxSeccomp{DefaultAction: "ALLOW"}, `linux.seccomp.defaultAction: "ALLOW" is no seccomp action`},
		{"no default action", &specs.LinuxSeccomp{Syscalls: rules(on("read", specs.ActAllow))}, `linux.seccomp.defaultAction: "" is no seccomp action`},
		{"default errno", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: uintp(1)}, `linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no errno`},
		{"default notify", &specs.LinuxSeccomp{DefaultAction: specs.ActNotify}, `linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action`},
		{"notify on write", allow(on("write", specs.ActNotify)), `linux.seccomp.syscalls[0].names[0]: SCMP_ACT_NOTIFY cannot be used for the write syscall`},
		{"action", allow(on("read", "SCMP_ACT_X")), `linux.seccomp.syscalls[0].action: "SCMP_ACT_X" is no seccomp action`},
		{"errno of kill", allow(errnoOf(specs.ActKill, 1)), `linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL returns no errno`},
		{"errno too high", allow(errnoOf(specs.ActErrno, 4096)), `linux.seccomp.syscalls[0].errnoRet: 4096 is above 4095, the highest that SCMP_ACT_ERRNO returns`},
		{"trace too high", allow(errnoOf(specs.ActTrace, 65536)), `linux.seccomp.syscalls[0].errnoRet: 65536 is above 65535, the highest that SCMP_ACT_TRACE returns`},
		{"empty name", allow(on("", specs.ActErrno)), `linux.seccomp.syscalls[0].names[0]: empty string is not a valid syscall`},
		{"index", allow(on("read", specs.ActErrno, arg(6, specs.OpEqualTo, 0))), `linux.seccomp.syscalls[0].args[0].index: a system call has no argument 6, the last is 5`},
		{"operator", allow(on("read", specs.ActErrno, arg(0, "SCMP_CMP_XX", 0))), `linux.seccomp.syscalls[0].args[0].op: "SCMP_CMP_XX" is no seccomp operator`},
		{"flag", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}, `linux.seccomp.flags[0]: seccomp flag X is not known`},
		{"architecture", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"amd64"}}, `linux.seccomp.architectures[0]: "amd64" is no architecture of the runtime specification`},
		{"contradiction", allow(on("read", specs.ActErrno, arg(0, specs.OpEqualTo, 1)), on("read", specs.ActTrap, arg(0, specs.OpEqualTo, 1))),
			`linux.seccomp.syscalls[1].names[0]: read has another action in syscalls[0] under the same conditions`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _, err := Compile(tt.s, "amd64")
			if err == nil || err.Error() != tt.want || f != nil {
				t.Errorf("%v, %v, want %s", f, err, tt.want)
			}
		})
	}
	if _, _, err := Compile(allow(), "mips"); err == nil {
		t.Error("mips has no numbers but compiles")
	}
}

func TestTooLong(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for i := range uint64(1200) {
		s.Syscalls = append(s.Syscalls, on("ioctl", specs.ActErrno, arg(1, specs.OpGreaterThan, i<<32), arg(2, specs.OpEqualTo, i)))
	}
	_, _, err := Compile(s, "amd64")
	if err == nil || !strings.HasSuffix(err.Error(), "BPF instructions, the kernel takes 4096") {
		t.Errorf("%v", err)
	}
}

func TestWarnings(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchMIPS, specs.ArchX86_64},
		Syscalls: rules(on("frobnicate", specs.ActErrno), on("riscv_hwprobe", specs.ActErrno))}
	f, warnings, err := Compile(s, "amd64")
	want := []string{"unknown system call frobnicate is left out of the seccomp filter",
		"seccomp architecture SCMP_ARCH_MIPS is left out: its system call numbers are not known"}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("%q, %v", warnings, err)
	}
	// Nothing is left to answer but the default and the foreign architectures.
	if len(f.Program) != 7 {
		t.Errorf("program:\n%s", listing(f.Program))
	}
}

func TestNoFilter(t *testing.T) {
	for _, s := range []*specs.LinuxSeccomp{nil, {}} {
		if f, w, err := Compile(s, "amd64"); f != nil || w != nil || err != nil {
			t.Errorf("%v %v %v", f, w, err)
		}
	}
}

func TestFlags(t *testing.T) {
	tsync, log, spec, wait := specs.LinuxSeccompFlag("SECCOMP_FILTER_FLAG_TSYNC"), specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv
	for _, tt := range []struct {
		flags  []specs.LinuxSeccompFlag
		notify bool
		want   uint32
	}{
		{nil, false, 4},
		{[]specs.LinuxSeccompFlag{}, false, 0},
		{[]specs.LinuxSeccompFlag{tsync, log, spec}, false, 2 | 4},
		{[]specs.LinuxSeccompFlag{wait}, false, 0},
		{nil, true, 4 | 8},
		{[]specs.LinuxSeccompFlag{wait, log}, true, 2 | 8 | 32},
		{[]specs.LinuxSeccompFlag{tsync}, true, 8},
	} {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: tt.flags}
		if tt.notify {
			s.Syscalls = rules(on("read", specs.ActNotify))
		}
		f, _, err := Compile(s, "amd64")
		if err != nil || f.Flags != tt.want || f.Notify != tt.notify {
			t.Errorf("%v notify %v: %+v, %v", tt.flags, tt.notify, f, err)
		}
	}
}
