package bundle

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// sysctl: only what belongs to a namespace of the container may be set, else
// the container would set up its host. In a utility VM the kernel is the
// container's own.
func (c *checker) sysctl(l *specs.Linux) {
	const clause = "config-linux.md, Sysctl"
	for _, k := range sorted(l.Sysctl) {
		p, ok := sysctlPath(k)
		if !ok {
			c.bad(entry("linux.sysctl", k), "", "is no name of a kernel parameter", clause, `such as "net.ipv4.ip_forward"`)
			continue
		}
		if c.t.VM {
			continue
		}
		ns := sysctlNamespace(p)
		switch {
		case ns == "":
			c.bad(entry("linux.sysctl", k), "", "is in no namespace and would be set on the host", clause, "set it on the host, or use windows.hyperv")
		case namespace(l, ns) == nil:
			c.bad(entry("linux.sysctl", k), "", "would be set in the runtime's own "+string(ns)+" namespace", clause, `add {"type": "`+string(ns)+`"} to linux.namespaces`)
		}
	}
}

// sysctlPath turns a parameter's name into its path below /proc/sys, as
// sysctl(8) does: the first separator, a dot or a slash, is the separator, and
// the other one stands for itself swapped (net.ipv4.conf.eth0/1.forwarding).
func sysctlPath(name string) (string, bool) {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		swapped := []byte(name)
		for i, ch := range swapped {
			switch ch {
			case '.':
				swapped[i] = '/'
			case '/':
				swapped[i] = '.'
			}
		}
		name = string(swapped)
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	return name, true
}

// sysctlNamespace is the namespace a path below /proc/sys belongs to, "" for
// the host's (namespaces(7), ipc_namespaces(7), uts_namespaces(7)).
func sysctlNamespace(p string) specs.LinuxNamespaceType {
	switch {
	case strings.HasPrefix(p, "net/"):
		return specs.NetworkNamespace
	case strings.HasPrefix(p, "fs/mqueue/"):
		return specs.IPCNamespace
	case strings.HasPrefix(p, "user/"):
		return specs.UserNamespace
	}
	switch p {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
		"kernel/auto_msgmni", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id":
		return specs.IPCNamespace
	case "kernel/hostname", "kernel/domainname":
		return specs.UTSNamespace
	}
	return ""
}
