package files

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// New files must belong to the user who asked for them. The thread that serves
// the request takes on the user's file system IDs for the one call, rather than
// handing the file over afterwards: at no time is there a file of root's with the
// mode of the guest's choice, say set-user-ID, and the host kernel itself applies
// the rules of set-group-ID directories and quotas.
//
// With the user ID the kernel takes away the capabilities on files. They are put
// back: the guest kernel has checked the user's rights, and knows what the host
// does not, such as supplementary groups and capabilities.
type credentials struct {
	uid, gid uint32
	header   unix.CapUserHeader
	all      [2]unix.CapUserData
}

// noID asks setfsuid and setfsgid for the present ID; no user has it.
const noID = ^uint32(0)

// prepareThread makes the thread the worker's own for good: it ends with the
// goroutine. It gets a file mode mask of its own, of nothing, since the guest
// applies its processes' masks, and as working directory the descriptors of this
// process, where calls without a directory argument name an open file.
func (w *worker) prepareThread() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	unix.Umask(0)
	if err := unix.Fchdir(w.descriptors); err != nil {
		return err
	}
	c := &w.credentials
	c.uid, c.gid = fsuid(noID), fsgid(noID)
	c.header.Version = unix.LINUX_CAPABILITY_VERSION_3
	return unix.Capget(&c.header, &c.all[0])
}

func fsuid(id uint32) uint32 {
	old, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(id), 0, 0)
	return uint32(old)
}

func fsgid(id uint32) uint32 {
	old, _, _ := unix.RawSyscall(unix.SYS_SETFSGID, uintptr(id), 0, 0)
	return uint32(old)
}

// become makes the thread create files as the user, until restore.
func (c *credentials) become(uid, gid uint32) unix.Errno {
	if uid == noID || gid == noID {
		return unix.EINVAL
	}
	if gid != c.gid {
		if fsgid(gid); fsgid(noID) != gid {
			return unix.EPERM
		}
	}
	if uid != c.uid {
		fsuid(uid)
		if fsuid(noID) != uid || unix.Capset(&c.header, &c.all[0]) != nil {
			c.restore()
			return unix.EPERM
		}
	}
	return 0
}

func (c *credentials) restore() {
	fsuid(c.uid)
	fsgid(c.gid)
}

// humble takes from the thread the right to write to set-ID files without their
// losing those bits, until proud gives it back. The guest asks for it when the
// process that writes has no such right there.
func (c *credentials) humble() {
	caps := c.all
	caps[0].Effective &^= 1 << unix.CAP_FSETID
	unix.Capset(&c.header, &caps[0])
}

func (c *credentials) proud() {
	unix.Capset(&c.header, &c.all[0])
}
