package silo

import "golang.org/x/sys/unix"

// callNumber finds the number of a system call a Plan may use. A switch on
// strings is compiled to a search and costs nothing at start-up.
func callNumber(name string) (uintptr, bool) {
	switch name {
	case callLet:
		return numberLet, true
	case callFail:
		return numberFail, true
	case callFork:
		return numberFork, true
	case callAwait:
		return numberAwait, true
	case callProceed:
		return numberProceed, true
	case callTell:
		return numberTell, true
	case "capset":
		return unix.SYS_CAPSET, true
	case "chdir":
		return unix.SYS_CHDIR, true
	case "chroot":
		return unix.SYS_CHROOT, true
	case "close":
		return unix.SYS_CLOSE, true
	case "close_range":
		return unix.SYS_CLOSE_RANGE, true
	case "dup3":
		return unix.SYS_DUP3, true
	case "execveat":
		return unix.SYS_EXECVEAT, true
	case "faccessat2":
		return unix.SYS_FACCESSAT2, true
	case "fchdir":
		return unix.SYS_FCHDIR, true
	case "fchmod":
		return unix.SYS_FCHMOD, true
	case "fchmodat":
		return unix.SYS_FCHMODAT, true
	case "fchown":
		return unix.SYS_FCHOWN, true
	case "fchownat":
		return unix.SYS_FCHOWNAT, true
	case "fcntl":
		return unix.SYS_FCNTL, true
	case "fsconfig":
		return unix.SYS_FSCONFIG, true
	case "fsmount":
		return unix.SYS_FSMOUNT, true
	case "fsopen":
		return unix.SYS_FSOPEN, true
	case "ioctl":
		return unix.SYS_IOCTL, true
	case "ioprio_set":
		return unix.SYS_IOPRIO_SET, true
	case "keyctl":
		return unix.SYS_KEYCTL, true
	case "mkdirat":
		return unix.SYS_MKDIRAT, true
	case "mknodat":
		return unix.SYS_MKNODAT, true
	case "mount":
		return unix.SYS_MOUNT, true
	case "mount_setattr":
		return unix.SYS_MOUNT_SETATTR, true
	case "move_mount":
		return unix.SYS_MOVE_MOUNT, true
	case "open_tree":
		return unix.SYS_OPEN_TREE, true
	case "openat":
		return unix.SYS_OPENAT, true
	case "openat2":
		return unix.SYS_OPENAT2, true
	case "personality":
		return unix.SYS_PERSONALITY, true
	case "pivot_root":
		return unix.SYS_PIVOT_ROOT, true
	case "prctl":
		return unix.SYS_PRCTL, true
	case "prlimit64":
		return unix.SYS_PRLIMIT64, true
	case "read":
		return unix.SYS_READ, true
	case "recvmsg":
		return unix.SYS_RECVMSG, true
	case "sched_setaffinity":
		return unix.SYS_SCHED_SETAFFINITY, true
	case "sched_setattr":
		return unix.SYS_SCHED_SETATTR, true
	case "seccomp":
		return unix.SYS_SECCOMP, true
	case "sendfile":
		return unix.SYS_SENDFILE, true
	case "sendmsg":
		return unix.SYS_SENDMSG, true
	case "set_mempolicy":
		return unix.SYS_SET_MEMPOLICY, true
	case "setdomainname":
		return unix.SYS_SETDOMAINNAME, true
	case "setgroups":
		return unix.SYS_SETGROUPS, true
	case "sethostname":
		return unix.SYS_SETHOSTNAME, true
	case "setns":
		return unix.SYS_SETNS, true
	case "setresgid":
		return unix.SYS_SETRESGID, true
	case "setresuid":
		return unix.SYS_SETRESUID, true
	case "setitimer":
		return unix.SYS_SETITIMER, true
	case "setsid":
		return unix.SYS_SETSID, true
	case "setsockopt":
		return unix.SYS_SETSOCKOPT, true
	case "socket":
		return unix.SYS_SOCKET, true
	case "symlinkat":
		return unix.SYS_SYMLINKAT, true
	case "umask":
		return unix.SYS_UMASK, true
	case "umount2":
		return unix.SYS_UMOUNT2, true
	case "unlinkat":
		return unix.SYS_UNLINKAT, true
	case "unshare":
		return unix.SYS_UNSHARE, true
	case "utimensat":
		return unix.SYS_UTIMENSAT, true
	case "write":
		return unix.SYS_WRITE, true
	}
	return 0, false
}
