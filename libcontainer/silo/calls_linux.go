package silo

import "golang.org/x/sys/unix"

// calls are the system calls that a Plan may use, and the pseudo calls, by name. The
// linker lays it out, and what a search of it takes in a translated guest is a
// hundred blocks less than a switch on as many strings.
var calls = [...]struct {
	name   string
	number uintptr
}{
	{callAwait, numberAwait},
	{"capset", unix.SYS_CAPSET},
	{"chdir", unix.SYS_CHDIR},
	{"chroot", unix.SYS_CHROOT},
	{"close", unix.SYS_CLOSE},
	{"close_range", unix.SYS_CLOSE_RANGE},
	{"dup3", unix.SYS_DUP3},
	{"execveat", unix.SYS_EXECVEAT},
	{"faccessat2", unix.SYS_FACCESSAT2},
	{callFail, numberFail},
	{"fchdir", unix.SYS_FCHDIR},
	{"fchmod", unix.SYS_FCHMOD},
	{"fchmodat", unix.SYS_FCHMODAT},
	{"fchown", unix.SYS_FCHOWN},
	{"fchownat", unix.SYS_FCHOWNAT},
	{"fcntl", unix.SYS_FCNTL},
	{callFork, numberFork},
	{"fsconfig", unix.SYS_FSCONFIG},
	{"fsmount", unix.SYS_FSMOUNT},
	{"fsopen", unix.SYS_FSOPEN},
	{"ioctl", unix.SYS_IOCTL},
	{"ioprio_set", unix.SYS_IOPRIO_SET},
	{"keyctl", unix.SYS_KEYCTL},
	{callLet, numberLet},
	{"mkdirat", unix.SYS_MKDIRAT},
	{"mknodat", unix.SYS_MKNODAT},
	{"mount", unix.SYS_MOUNT},
	{"mount_setattr", unix.SYS_MOUNT_SETATTR},
	{"move_mount", unix.SYS_MOVE_MOUNT},
	{"open_tree", unix.SYS_OPEN_TREE},
	{"openat", unix.SYS_OPENAT},
	{"openat2", unix.SYS_OPENAT2},
	{"personality", unix.SYS_PERSONALITY},
	{"pivot_root", unix.SYS_PIVOT_ROOT},
	{"prctl", unix.SYS_PRCTL},
	{"prlimit64", unix.SYS_PRLIMIT64},
	{callProceed, numberProceed},
	{"read", unix.SYS_READ},
	{"readahead", unix.SYS_READAHEAD},
	{"recvmsg", unix.SYS_RECVMSG},
	{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY},
	{"sched_setattr", unix.SYS_SCHED_SETATTR},
	{"seccomp", unix.SYS_SECCOMP},
	{"sendfile", unix.SYS_SENDFILE},
	{"sendmsg", unix.SYS_SENDMSG},
	{"set_mempolicy", unix.SYS_SET_MEMPOLICY},
	{"setdomainname", unix.SYS_SETDOMAINNAME},
	{"setgroups", unix.SYS_SETGROUPS},
	{"sethostname", unix.SYS_SETHOSTNAME},
	{"setitimer", unix.SYS_SETITIMER},
	{"setns", unix.SYS_SETNS},
	{"setresgid", unix.SYS_SETRESGID},
	{"setresuid", unix.SYS_SETRESUID},
	{"setsid", unix.SYS_SETSID},
	{"setsockopt", unix.SYS_SETSOCKOPT},
	{"socket", unix.SYS_SOCKET},
	{"symlinkat", unix.SYS_SYMLINKAT},
	{callTell, numberTell},
	{"umask", unix.SYS_UMASK},
	{"umount2", unix.SYS_UMOUNT2},
	{"unlinkat", unix.SYS_UNLINKAT},
	{"unshare", unix.SYS_UNSHARE},
	{"utimensat", unix.SYS_UTIMENSAT},
	{"write", unix.SYS_WRITE},
}

// callNumber finds the number of a system call.
func callNumber(name string) (uintptr, bool) {
	for low, high := 0, len(calls); low < high; {
		middle := (low + high) / 2
		switch c := &calls[middle]; {
		case c.name == name:
			return c.number, true
		case c.name < name:
			low = middle + 1
		default:
			high = middle
		}
	}
	return 0, false
}
