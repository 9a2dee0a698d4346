package leftovers

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const confined = "WRUN_TEST_CONFINED"

// Confine makes what a test leaves behind attributable to it: the test binary
// executes itself anew in a mount namespace of its own and as the reaper of
// all its orphans. To be called first of all in TestMain, by root.
//
// The mounts are cut off from the machine but shared among themselves, so that
// a container's mount which propagates to its host is seen.
func Confine() error {
	if os.Getenv(confined) != "" {
		return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
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
	return syscall.Exec(self, os.Args, append(os.Environ(), confined+"=yes"))
}
