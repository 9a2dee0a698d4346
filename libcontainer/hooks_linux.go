package libcontainer

import "syscall"

// dieWithUs makes the kernel end a hook when its wrun is killed: an orphan
// would go on changing the machine after delete --force has cleaned up. The
// kernel means the thread that forks, so that thread has to wait for the hook
// (prctl(2), PR_SET_PDEATHSIG).
func dieWithUs(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
