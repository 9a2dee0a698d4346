package bundle

import (
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// process checks config.md, Process; at is its path, "" when it stands alone.
func (c *checker) process(at string, p *specs.Process) {
	const clause = "config.md, Process"
	abs, example := path.IsAbs(p.Cwd), `such as "/"`
	if c.t.OS == "windows" {
		abs, example = windowsAbs(p.Cwd), `such as "C:\\"`
	}
	switch {
	case p.Cwd == "":
		c.bad(join(at, "cwd"), "", "is REQUIRED and missing", clause, example)
	case !abs:
		c.bad(join(at, "cwd"), quote(p.Cwd), "MUST be an absolute path", clause, example)
	}
	switch {
	case len(p.Args) > 0:
	case c.t.OS != "windows":
		c.bad(join(at, "args"), "", "is missing; at least one entry is REQUIRED", clause, "name the program to run")
	case p.CommandLine == "":
		c.bad(join(at, "commandLine"), "", "is missing; it is REQUIRED if args is omitted", clause, "write the command line to run")
	}
	env := join(at, "env")
	for i, e := range p.Env {
		// environ(7) has entries of the form name=value. Windows keeps the
		// current folder of drive C: in a variable named "=C:".
		eq := strings.IndexByte(e, '=')
		if eq == 0 && c.t.OS == "windows" {
			eq = strings.IndexByte(e[1:], '=') + 1
		}
		if eq <= 0 {
			c.bad(index(env, i, ""), quote(e), "is not of the form name=value", clause, "")
		}
	}
	if p.Terminal && p.ConsoleSize != nil {
		// "Runtimes MUST ignore consoleSize if terminal is false or unset."
		if len(c.absent) > 0 {
			c.need(join(at, "consoleSize.height"), clause)
			c.need(join(at, "consoleSize.width"), clause)
		}
		c.consoleSide(join(at, "consoleSize.height"), p.ConsoleSize.Height)
		c.consoleSide(join(at, "consoleSize.width"), p.ConsoleSize.Width)
	}
	if c.t.OS != "windows" {
		c.posixProcess(at, p)
		c.linuxProcess(at, p)
	}
}

// consoleSide: struct winsize and COORD hold 16 bits.
func (c *checker) consoleSide(at string, n uint) {
	if n > math.MaxUint16 {
		c.bad(at, strconv.FormatUint(uint64(n), 10), "is more than a terminal can have, 65535", "config.md, Process", "")
	}
}

func (c *checker) posixProcess(at string, p *specs.Process) {
	const user, limits = "config.md, POSIX-platform User", "config.md, POSIX process"
	for _, id := range [...]string{"user.uid", "user.gid"} {
		// An error would refuse what every other runtime runs; 0 is what the
		// absence of the whole object means, too.
		if len(c.absent) > 0 && c.absent[join(at, id)] {
			c.warn(join(at, id), "", "is REQUIRED and missing, taken as 0", user, "")
		}
	}
	if p.User.UID == unchanged {
		c.noID(join(at, "user.uid"))
	}
	if p.User.GID == unchanged {
		c.noID(join(at, "user.gid"))
	}
	for i, g := range p.User.AdditionalGids {
		if g == unchanged {
			c.noID(index(join(at, "user.additionalGids"), i, ""))
		}
	}
	if m := p.User.Umask; m != nil && *m > 0o777 {
		c.bad(join(at, "user.umask"), strconv.FormatUint(uint64(*m), 10), "has bits beyond 0777", user, "write the mask as a decimal number, 18 for 022")
	}
	rl := join(at, "rlimits")
	for i := range p.Rlimits {
		r := &p.Rlimits[i]
		if i == maxRlimits {
			c.bad(rl, "", "has more entries than there are limits", limits, "")
			break
		}
		if !listedIn(rlimits, r.Type) {
			oneOf(c, index(rl, i, "type"), r.Type, limits, rlimits)
		}
		if len(c.absent) > 0 {
			c.need(index(rl, i, "hard"), limits)
			c.need(index(rl, i, "soft"), limits)
		}
		if r.Soft > r.Hard {
			c.bad(index(rl, i, "soft"), strconv.FormatUint(r.Soft, 10), "is above hard, "+strconv.FormatUint(r.Hard, 10), limits, "setrlimit(2) refuses that")
		}
		for _, before := range p.Rlimits[:i] {
			if before.Type == r.Type {
				c.bad(index(rl, i, "type"), quote(r.Type), "is there already", limits, "keep one")
				break
			}
		}
	}
}

// maxRlimits bounds the search for duplicates; Linux has 16.
const maxRlimits = 64

const rlimits = "RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO RLIMIT_RTTIME RLIMIT_SIGPENDING RLIMIT_STACK"

// unchanged is (uid_t)-1, which tells setresuid(2) and chown(2) to leave the id
// as it is: the program would stay root.
const unchanged = math.MaxUint32

func (c *checker) noID(at string) {
	c.bad(at, "4294967295", `is no user or group, it means "unchanged"`, "config.md, POSIX-platform User", "")
}

func (c *checker) linuxProcess(at string, p *specs.Process) {
	const clause = "config.md, Linux Process"
	if n := p.OOMScoreAdj; n != nil && (*n < -1000 || *n > 1000) {
		c.bad(join(at, "oomScoreAdj"), strconv.Itoa(*n), "is not between -1000 and 1000", clause, "")
	}
	if caps := p.Capabilities; caps != nil {
		at := join(at, "capabilities")
		c.capabilities(at, "bounding", caps.Bounding)
		c.capabilities(at, "effective", caps.Effective)
		c.capabilities(at, "inheritable", caps.Inheritable)
		c.capabilities(at, "permitted", caps.Permitted)
		c.capabilities(at, "ambient", caps.Ambient)
	}
	if p.Scheduler != nil {
		c.scheduler(join(at, "scheduler"), p.Scheduler)
	}
	if io := p.IOPriority; io != nil {
		oneOf(c, join(at, "ioPriority.class"), io.Class, clause, "IOPRIO_CLASS_RT IOPRIO_CLASS_BE IOPRIO_CLASS_IDLE")
		if io.Priority < 0 || io.Priority > 7 {
			c.bad(join(at, "ioPriority.priority"), strconv.Itoa(io.Priority), "is not between 0 and 7", clause, "")
		}
		if io.Class != specs.IOPRIO_CLASS_IDLE { // it has none, ioprio_set(2)
			c.need(join(at, "ioPriority.priority"), clause)
		}
	}
	if a := p.ExecCPUAffinity; a != nil {
		c.cpuList(join(at, "execCPUAffinity.initial"), a.Initial, clause)
		c.cpuList(join(at, "execCPUAffinity.final"), a.Final, clause)
	}
}

// capabilities only ever warns: "Any value which cannot be mapped to a relevant
// kernel interface, or cannot be granted otherwise MUST be logged as a warning".
func (c *checker) capabilities(at, set string, names []string) {
	for i, n := range names {
		if !strings.HasPrefix(n, "CAP_") || !listedIn(capabilityNames, n[len("CAP_"):]) {
			c.warn(index(join(at, set), i, ""), quote(n), "is no known capability and is left out", "config.md, Linux Process", "")
		}
	}
}

const capabilityNames = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"

func (c *checker) scheduler(at string, s *specs.Scheduler) {
	const clause = "config.md, Linux Process"
	oneOf(c, join(at, "policy"), s.Policy, clause, "SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_ISO SCHED_IDLE SCHED_DEADLINE")
	for i, f := range s.Flags {
		oneOf(c, index(join(at, "flags"), i, ""), f, clause, "SCHED_FLAG_RESET_ON_FORK SCHED_FLAG_RECLAIM SCHED_FLAG_DL_OVERRUN SCHED_FLAG_KEEP_POLICY SCHED_FLAG_KEEP_PARAMS SCHED_FLAG_UTIL_CLAMP_MIN SCHED_FLAG_UTIL_CLAMP_MAX")
	}
	if s.Nice < -20 || s.Nice > 19 {
		c.bad(join(at, "nice"), strconv.Itoa(int(s.Nice)), "is not between -20 and 19", clause, "")
	}
	lo, hi := int32(0), int32(0)
	if s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR {
		lo, hi = 1, 99
	}
	if s.Priority < lo || s.Priority > hi {
		c.bad(join(at, "priority"), strconv.Itoa(int(s.Priority)), "is not between "+strconv.Itoa(int(lo))+" and "+strconv.Itoa(int(hi))+", as "+quote(s.Policy)+" needs", clause, "only SCHED_FIFO and SCHED_RR have priorities, 1 to 99")
	}
	if s.Policy != specs.SchedDeadline && (s.Runtime|s.Deadline|s.Period) != 0 {
		c.bad(at, "", "has runtime, deadline or period without policy SCHED_DEADLINE", clause, "\"used by the deadline scheduler\"")
	}
}
