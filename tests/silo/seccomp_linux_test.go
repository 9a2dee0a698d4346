package silo

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestSeccomp: every action that a test can see, with and without
// no_new_privs, by run and by exec.
func TestSeccomp(t *testing.T) {
	rule := func(a specs.LinuxSeccompAction, errno *uint, names ...string) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
			Syscalls: []specs.LinuxSyscall{{Names: names, Action: a, ErrnoRet: errno}}}
	}
	for _, c := range []struct {
		name   string
		filter *specs.LinuxSeccomp
		want   string // of mkdir
		code   int
	}{
		{"errno by default", rule(specs.ActErrno, nil, "mkdir", "mkdirat"), "Operation not permitted", 1},
		{"errno", rule(specs.ActErrno, ptr(uint(38)), "mkdir", "mkdirat"), "Function not implemented", 1},
		{"kill process", rule(specs.ActKillProcess, nil, "mkdir", "mkdirat"), "", 159},
		{"kill", rule(specs.ActKill, nil, "mkdir", "mkdirat"), "", 159},
		{"trap", rule(specs.ActTrap, nil, "mkdir", "mkdirat"), "", 159},
		{"log", rule(specs.ActLog, nil, "mkdir", "mkdirat"), "", 0},
		{"what wrun itself needs is denied", rule(specs.ActErrno, nil, "mkdir", "mkdirat", "mount", "setns", "unshare", "prctl", "capset",
			"seccomp", "setresuid", "setresgid", "setgroups", "close_range", "fcntl", "openat2", "faccessat2"), "Operation not permitted", 1},
	} {
		for _, nnp := range []bool{true, false} {
			name := c.name
			if nnp {
				name += ", no new privileges"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, "mkdir", "/tmp/made")
				r.spec.Linux.Seccomp, r.spec.Process.NoNewPrivileges = c.filter, nnp
				check := func(how string, res result) {
					t.Helper()
					if res.code != c.code || !strings.Contains(res.err, c.want) || c.want == "" && res.err != "" {
						t.Errorf("%s, want code %d and %q: %s", how, c.code, c.want, res)
					}
				}
				r.spec.Process.User = specs.User{UID: 9, GID: 9}
				r.must(os.Chmod(r.rootfs+"/tmp", 0o777))
				check("run", r.run())
				r.spec.Process.User = specs.User{}
				r.spec.Process.Args = []string{"sleep", "100"}
				r.start()
				check("exec", r.wrun("exec", r.id, "mkdir", "/tmp/made2"))
				status := r.ok("exec", r.id, "cat", "/proc/self/status")
				if field(status, "Seccomp") != "2" || field(status, "Seccomp_filters") != "1" {
					t.Errorf("Seccomp: %s, filters: %s", field(status, "Seccomp"), field(status, "Seccomp_filters"))
				}
				if caps := field(status, "CapEff"); strings.TrimLeft(caps, "0") != "a80425fb" {
					t.Errorf("CapEff: %s; CAP_SYS_ADMIN was only lent", caps)
				}
			})
		}
	}
}
