package wine

import "github.com/opencontainers/runtime-spec/specs-go"

const (
	ePERM        = 1
	eNOSYS       = 38
	cloneNewUser = 0x10000000
)

// filter is what no program may ask of Linux' kernel. A Windows program needs
// nothing of it by itself, but nothing keeps one from having a system call
// instruction; Wine uses what is left. Much of it needs privileges that are not
// there: then it is not even tried.
func filter() *specs.LinuxSeccomp {
	refused, absent := uint(ePERM), uint(eNOSYS)
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{
			{Action: specs.ActErrno, ErrnoRet: &refused, Names: []string{
				"acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init", "finit_module",
				"fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "keyctl",
				"lookup_dcookie", "mount", "mount_setattr", "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree",
				"perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname", "sethostname",
				"setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vhangup"}},
			// Its flags lie in memory, where no filter can look; who is told that there is
			// none takes clone.
			{Action: specs.ActErrno, ErrnoRet: &absent, Names: []string{"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup"}},
			{Action: specs.ActErrno, ErrnoRet: &refused, Names: []string{"clone"},
				Args: []specs.LinuxSeccompArg{{Index: 0, Value: cloneNewUser, ValueTwo: cloneNewUser, Op: specs.OpMaskedEqual}}},
		},
	}
}
