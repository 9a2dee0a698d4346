package files

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls on names as they lie in a message, ending in NUL: the functions
// of package unix take strings, and would copy each.

// self is the empty name: the file of the descriptor itself.
var self = []byte{0}

// statMask asks for the mount too: a file has one identity per mount, since a
// read-only bind mount and the writable original must not be taken for each other.
const statMask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

func stat(dir int, name []byte, st *unix.Statx_t) unix.Errno {
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT
	_, _, err := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), flags, statMask, uintptr(unsafe.Pointer(st)), 0)
	return err
}

func openat(dir int, name []byte, flags int, mode uint32) (int, unix.Errno) {
	for {
		fd, _, err := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), uintptr(mode), 0, 0)
		if err != unix.EINTR {
			return int(fd), err
		}
	}
}

func mknodat(dir int, name []byte, mode, rdev uint32) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_MKNODAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode), uintptr(rdev), 0, 0)
	return err
}

func mkdirat(dir int, name []byte, mode uint32) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode))
	return err
}

func symlinkat(target []byte, dir int, name []byte) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(&target[0])), uintptr(dir), uintptr(unsafe.Pointer(&name[0])))
	return err
}

func readlinkat(dir int, name, buf []byte) (int, unix.Errno) {
	n, _, err := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), err
}

func unlinkat(dir int, name []byte, flags int) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags))
	return err
}

func linkat(from int, name []byte, dir int, newName []byte, flags int) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_LINKAT, uintptr(from), uintptr(unsafe.Pointer(&name[0])), uintptr(dir), uintptr(unsafe.Pointer(&newName[0])), uintptr(flags), 0)
	return err
}

func renameat(from int, name []byte, to int, newName []byte, flags uint32) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_RENAMEAT2, uintptr(from), uintptr(unsafe.Pointer(&name[0])), uintptr(to), uintptr(unsafe.Pointer(&newName[0])), uintptr(flags), 0)
	return err
}

func fchownat(dir int, name []byte, uid, gid uint32, flags int) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_FCHOWNAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(uid), uintptr(gid), uintptr(flags), 0)
	return err
}

func fchmodat(dir int, name []byte, mode uint32) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_FCHMODAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode))
	return err
}

func utimensat(dir int, name []byte, times *[2]unix.Timespec) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(times)), 0, 0, 0)
	return err
}

func truncate(name []byte, size uint64) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_TRUNCATE, uintptr(unsafe.Pointer(&name[0])), uintptr(size), 0)
	return err
}

// The calls on extended attributes know no directory to start from: the name is
// resolved in the thread's working directory.

func setxattr(file, name, value []byte, flags uint32) unix.Errno {
	_, _, err := unix.Syscall6(unix.SYS_SETXATTR, uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), uintptr(flags), 0)
	return err
}

func getxattr(file, name, value []byte) (int, unix.Errno) {
	n, _, err := unix.Syscall6(unix.SYS_GETXATTR, uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), 0, 0)
	return int(n), err
}

func listxattr(file, list []byte) (int, unix.Errno) {
	n, _, err := unix.Syscall(unix.SYS_LISTXATTR, uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list)))
	return int(n), err
}

func removexattr(file, name []byte) unix.Errno {
	_, _, err := unix.Syscall(unix.SYS_REMOVEXATTR, uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(&name[0])), 0)
	return err
}

// number reduces an error of package unix to its number.
func number(err error) unix.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return unix.EIO
}

func read(fd int, b []byte) (int, unix.Errno) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, number(err)
		}
	}
}

func writeAll(fd int, b []byte) unix.Errno {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return number(err)
		}
		b = b[n:]
	}
	return 0
}

// descriptorName writes the decimal number of the descriptor, ending in NUL: its
// name in /proc/self/fd. An opened file is reached again by it, whatever
// happened to its path.
func descriptorName(buf *[12]byte, fd int) []byte {
	i := len(buf) - 1
	buf[i] = 0
	for {
		i--
		buf[i] = byte('0' + fd%10)
		if fd /= 10; fd == 0 {
			return buf[i:]
		}
	}
}
