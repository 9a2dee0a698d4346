// Package seccomp compiles the seccomp section of an OCI configuration into
// the classic BPF program that seccomp(2) loads. It is pure: a value in, a
// program out, the same on every operating system. Loading the program is the
// caller's business.
//
// The answers are those of runc with libseccomp, which profiles are written
// for; README.md lists them, and the few places where wrun answers otherwise.
package seccomp

//go:generate go run gentables.go

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Instruction is one classic BPF instruction, laid out as struct sock_filter.
type Instruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// Filter is what seccomp(SECCOMP_SET_MODE_FILTER) takes.
type Filter struct {
	Program []Instruction // at most 4096
	Flags   uint32        // SECCOMP_FILTER_FLAG_* bits; NEW_LISTENER among them when Notify is set
	Notify  bool          // some rule answers SCMP_ACT_NOTIFY: seccomp(2) returns the listener's descriptor
}

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// Compile translates s for a kernel of the given Go architecture. The warnings
// name what was left out because no table knows it: system calls (engines ship
// one profile for all kernels and machines, so these are usual) and
// architectures this kernel cannot run. A nil section, or one that says
// nothing at all, wants no filter: f is nil then. Errors begin with the JSON
// path of the value that is wrong.
func Compile(s *specs.LinuxSeccomp, goarch string) (f *Filter, warnings []string, err error) {
	if s == nil || s.DefaultAction == "" && len(s.Syscalls) == 0 {
		return nil, nil, nil
	}
	p, warnings, err := readProfile(s)
	if err != nil {
		return nil, warnings, err
	}
	arches, unknown, err := selectArches(s.Architectures, goarch)
	if err != nil {
		return nil, warnings, err
	}
	warnings = append(warnings, unknown...)

	d := decide(p, arches)
	code := assemble(arches, d)
	if len(code) > maxInstructions {
		return nil, warnings, fmt.Errorf("linux.seccomp: the filter needs %d BPF instructions, the kernel takes %d", len(code), maxInstructions)
	}
	return &Filter{Program: code, Flags: p.flags, Notify: p.notify}, warnings, nil
}
