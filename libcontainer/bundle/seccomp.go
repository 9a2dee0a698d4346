package bundle

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	seccompActions   = "SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL_THREAD SCMP_ACT_TRAP SCMP_ACT_ERRNO SCMP_ACT_TRACE SCMP_ACT_ALLOW SCMP_ACT_LOG SCMP_ACT_NOTIFY"
	seccompArchs     = "SCMP_ARCH_X86 SCMP_ARCH_X86_64 SCMP_ARCH_X32 SCMP_ARCH_ARM SCMP_ARCH_AARCH64 SCMP_ARCH_MIPS SCMP_ARCH_MIPS64 SCMP_ARCH_MIPS64N32 SCMP_ARCH_MIPSEL SCMP_ARCH_MIPSEL64 SCMP_ARCH_MIPSEL64N32 SCMP_ARCH_PPC SCMP_ARCH_PPC64 SCMP_ARCH_PPC64LE SCMP_ARCH_S390 SCMP_ARCH_S390X SCMP_ARCH_PARISC SCMP_ARCH_PARISC64 SCMP_ARCH_RISCV64 SCMP_ARCH_LOONGARCH64 SCMP_ARCH_M68K SCMP_ARCH_SH SCMP_ARCH_SHEB"
	seccompFlags     = "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
	seccompOperators = "SCMP_CMP_NE SCMP_CMP_LT SCMP_CMP_LE SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_MASKED_EQ"
)

// seccomp checks config-linux.md, Seccomp.
func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	const at, clause = "linux.seccomp.", "config-linux.md, Seccomp"
	oneOf(c, at+"defaultAction", s.DefaultAction, clause, seccompActions)
	c.errnoRet(at+"defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet)
	for i, a := range s.Architectures {
		if !listedIn(seccompArchs, string(a)) {
			oneOf(c, index(at+"architectures", i, ""), a, clause, seccompArchs)
		}
	}
	for i, f := range s.Flags {
		if !listedIn(seccompFlags, string(f)) {
			oneOf(c, index(at+"flags", i, ""), f, clause, seccompFlags)
		}
	}
	notify := s.DefaultAction == specs.ActNotify
	for i := range s.Syscalls {
		r := &s.Syscalls[i]
		notify = notify || r.Action == specs.ActNotify
		if len(r.Names) == 0 {
			c.bad(index(at+"syscalls", i, "names"), "", "MUST contain at least one entry", clause, "")
		}
		for j, n := range r.Names {
			if n == "" {
				c.bad(index(index(at+"syscalls", i, "names"), j, ""), `""`, "is no system call", clause, "")
			}
		}
		if !listedIn(seccompActions, string(r.Action)) {
			oneOf(c, index(at+"syscalls", i, "action"), r.Action, clause, seccompActions)
		}
		if r.ErrnoRet != nil {
			c.errnoRet(index(at+"syscalls", i, "errnoRet"), r.Action, r.ErrnoRet)
		}
		for j := range r.Args {
			c.seccompArg(i, j, &r.Args[j])
		}
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.bad(at+"listenerMetadata", quote(s.ListenerMetadata), "MUST NOT be set if listenerPath is not set", clause, "")
	}
	// Without a listener each such call would wait for nobody.
	if notify && s.ListenerPath == "" {
		c.bad(at+"listenerPath", "", "is missing; SCMP_ACT_NOTIFY needs one", clause, "name the seccomp agent's unix socket")
	}
}

func (c *checker) seccompArg(i, j int, a *specs.LinuxSeccompArg) {
	const clause = "config-linux.md, Seccomp"
	at := func(key string) string { return index(index("linux.seccomp.syscalls", i, "args"), j, key) }
	if len(c.absent) > 0 {
		c.need(at("index"), clause)
		c.need(at("value"), clause)
	}
	if a.Index > 5 {
		c.bad(at("index"), strconv.FormatUint(uint64(a.Index), 10), "is not between 0 and 5: a system call has six arguments", clause, "")
	}
	if !listedIn(seccompOperators, string(a.Op)) {
		oneOf(c, at("op"), a.Op, clause, seccompOperators)
	}
}

// errnoRet: "When the action doesn't support an errno, the runtime MUST print
// and error and fail." The kernel has 16 bits for it and no errno above 4095.
func (c *checker) errnoRet(at string, action specs.LinuxSeccompAction, ret *uint) {
	const clause = "config-linux.md, Seccomp"
	if ret == nil {
		return
	}
	highest := uint(0)
	switch action {
	case specs.ActErrno:
		highest = 4095
	case specs.ActTrace:
		highest = 65535
	default:
		c.bad(at, strconv.FormatUint(uint64(*ret), 10), "is not allowed with action "+quote(action), clause, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take one")
		return
	}
	if *ret > highest {
		c.bad(at, strconv.FormatUint(uint64(*ret), 10), "is above "+strconv.FormatUint(uint64(highest), 10), clause, "")
	}
}
