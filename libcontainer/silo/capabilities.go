package silo

import "strings"

// capabilityNames is indexed by the capability's number (capability.h).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
	"SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
	"SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
	"BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

const capSysAdmin = 21

// capabilityNumber finds CAP_NAME; false for a name this kernel interface does
// not know.
func capabilityNumber(name string) (int, bool) {
	bare, ok := strings.CutPrefix(name, "CAP_")
	if !ok {
		return 0, false
	}
	for n, s := range capabilityNames {
		if s == bare {
			return n, true
		}
	}
	return 0, false
}

// capabilityMask turns names into a bit set limited to what can be granted.
// config.md, "capabilities": "Any value which cannot be mapped to a relevant
// kernel interface, or cannot be granted otherwise, MUST be logged as a warning
// by the runtime. Runtimes SHOULD NOT fail if the container configuration
// requests capabilities that cannot be granted".
func capabilityMask(names []string, grantable uint64, warn func(string)) uint64 {
	var set uint64
	for _, name := range names {
		n, ok := capabilityNumber(name)
		switch {
		case !ok:
			warn("capability " + name + " is not known here and left out")
		case grantable&(1<<n) == 0:
			warn("capability " + name + " cannot be granted here and is left out")
		default:
			set |= 1 << n
		}
	}
	return set
}

// CapabilityNames lists every capability wrun can grant, as config.json spells
// them (features, "linux.capabilities").
func CapabilityNames() []string {
	names := make([]string, len(capabilityNames))
	for i, n := range capabilityNames {
		names[i] = "CAP_" + n
	}
	return names
}
