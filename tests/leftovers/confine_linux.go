package leftovers

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// stage is an environment variable: how far Confine has come.
const stage = "WRUN_TEST_CONFINED"

// Confine makes what a test leaves behind attributable to it: the test binary
// executes itself anew in a mount namespace of its own, below a process that
// reaps all orphans, as an engine's shim does. (Zombies that nobody reaps keep
// the init of their pid namespace alive.) To be called first of all in
// TestMain, by root.
//
// The mounts are cut off from the machine but shared among themselves, so that
// a container's mount which propagates to its host is seen.
func Confine() error {
	switch os.Getenv(stage) {
	case "tests":
		return nil
	case "reaper":
		return reapAll()
	}
	runtime.LockOSThread() // exec keeps the namespaces of the calling thread
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare the mount namespace: %w", err)
	}
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", propagation|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("change the mounts' propagation: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), stage+"=reaper"))
}

// reapAll runs the tests in a child, buries every process that ends and ends
// itself with the tests. It returns only errors.
func reapAll() error {
	runtime.LockOSThread() // the child is to die with this thread
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(stage, "tests"); err != nil {
		return err
	}
	tests, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL},
	})
	if err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for the tests: %w", err)
		case pid == tests.Pid && status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case pid == tests.Pid:
			os.Exit(status.ExitStatus())
		}
	}
}
