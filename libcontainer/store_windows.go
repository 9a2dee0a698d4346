package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The store on Windows. It differs in two things: a directory cannot be
// locked, so a file in it is; and a file that somebody has open may refuse to
// be renamed over or removed, so those who meet there try again for a while.
// Nobody tells when a handle of another process is closed.

type lockKind uint32

const (
	exclusive = lockKind(windows.LOCKFILE_EXCLUSIVE_LOCK)
	shared    = lockKind(0)
)

// lockFile is what is locked. Its first byte, once written, says that the
// container is gone: who waited for the lock, or finds the file because its
// remover was killed, sees that it is no container's lock any more.
const lockFile = "lock"

// lockAt is where the locked byte lies: behind the content, which LockFileEx
// would keep others from reading.
const lockAt = 1 // times 4 GiB

// lock is a LockFileEx lock. It ends with its holder, however that ends.
type lock struct{ handle windows.Handle }

// acquire locks dir and waits as long as wait for others. ErrNotExist when the
// directory is not there or was removed while we waited, errHeld when wait is
// 0 and somebody else has it.
func acquire(ctx context.Context, dir string, kind lockKind, wait time.Duration) (*lock, error) {
	name := filepath.Join(dir, lockFile)
	disposition := uint32(windows.OPEN_ALWAYS)
	if kind == shared {
		disposition = windows.OPEN_EXISTING // who only looks must not revive a directory that is being removed
	}
	var h windows.Handle
	err := patiently(func() (err error) {
		h, err = openFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, disposition)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, windows.ERROR_DELETE_PENDING):
		return nil, ErrNotExist
	case err != nil:
		return nil, fmt.Errorf("locking the container: %w", err)
	}
	if err := lockWithin(ctx, h, kind, wait); err != nil {
		if errors.Is(err, errHeld) && wait > 0 {
			err = fmt.Errorf("container %s is busy: another process kept it locked for %v", filepath.Base(dir), wait)
		}
		return nil, err
	}
	l := &lock{h}
	switch {
	case l.dead():
		if kind == exclusive {
			_ = l.discard(dir) // in place of a remover that may have been killed
		}
	case !sameFile(h, name):
	default:
		return l, nil
	}
	l.release()
	return nil, ErrNotExist
}

// lockWithin waits at most for wait. On error it has taken h over: a lock that
// comes too late is given back. The wait is a blocking call, not an overlapped
// one, so that it can be left alone.
func lockWithin(ctx context.Context, h windows.Handle, kind lockKind, wait time.Duration) error {
	at := &windows.Overlapped{OffsetHigh: lockAt}
	err := windows.LockFileEx(h, uint32(kind)|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if err == nil {
		return nil
	}
	if !errors.Is(err, windows.ERROR_LOCK_VIOLATION) || wait == 0 {
		windows.CloseHandle(h)
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return errHeld
		}
		return fmt.Errorf("locking the container: %w", err)
	}
	got := make(chan error, 1) // takes the answer even when nobody waits for it any more
	go func() { got <- windows.LockFileEx(h, uint32(kind), 0, 1, 0, at) }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	late := func() {
		_ = windows.CancelIoEx(h, nil)
		go func() {
			<-got
			windows.CloseHandle(h)
		}()
	}
	select {
	case err := <-got:
		if err != nil {
			windows.CloseHandle(h)
			return fmt.Errorf("locking the container: %w", err)
		}
		return nil
	case <-timer.C:
		late()
		return errHeld
	case <-ctx.Done():
		late()
		return ctx.Err()
	}
}

func (l *lock) release() {
	if l.handle != 0 {
		_ = windows.UnlockFileEx(l.handle, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockAt})
		windows.CloseHandle(l.handle)
		l.handle = 0
	}
}

// descriptors is empty: a handle is not inherited unless it says so.
func (l *lock) descriptors() []int { return nil }

// dead says that the lock is one of a removed container.
func (l *lock) dead() bool {
	var mark [1]byte
	var n uint32
	err := windows.ReadFile(l.handle, mark[:], &n, &windows.Overlapped{})
	return err == nil && n == 1
}

// discard removes dir with everything in it and releases the lock. The lock
// file goes last, marked, because the name of an open file may stay until all
// who wait for it have let it go; they wake up by the release. Whoever finds
// the directory empty then may take it for a container of his own.
func (l *lock) discard(dir string) error {
	defer l.release()
	var n uint32
	if err := windows.WriteFile(l.handle, []byte{'x'}, &n, &windows.Overlapped{}); err != nil {
		return &fs.PathError{Op: "write", Path: filepath.Join(dir, lockFile), Err: err}
	}
	if err := patiently(func() error { return empty(dir) }); err != nil {
		return err
	}
	name := filepath.Join(dir, lockFile)
	removed := os.Remove(name) == nil
	l.release()
	return patiently(func() error {
		if !removed {
			err := os.Remove(name)
			removed = err == nil || errors.Is(err, fs.ErrNotExist)
		}
		err := windows.RemoveDirectory(windows.StringToUTF16Ptr(dir))
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist), taken(name):
			return nil
		}
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	})
}

// taken says that name is the lock file of a living container.
func taken(name string) bool {
	h, err := openFile(name, windows.GENERIC_READ, windows.OPEN_EXISTING)
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	return !(&lock{h}).dead()
}

// sameFile says that h is open on what name means now.
func sameFile(h windows.Handle, name string) bool {
	named, err := openFile(name, windows.FILE_READ_ATTRIBUTES, windows.OPEN_EXISTING)
	if err != nil {
		return false
	}
	defer windows.CloseHandle(named)
	var a, b windows.ByHandleFileInformation
	return windows.GetFileInformationByHandle(h, &a) == nil && windows.GetFileInformationByHandle(named, &b) == nil &&
		a.VolumeSerialNumber == b.VolumeSerialNumber && a.FileIndexHigh == b.FileIndexHigh && a.FileIndexLow == b.FileIndexLow
}

// openFile opens so that others may do everything meanwhile: also rename over
// the file and remove it.
func openFile(name string, access, disposition uint32) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err == nil {
		var h windows.Handle
		h, err = windows.CreateFile(p, access, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
			nil, disposition, windows.FILE_ATTRIBUTE_NORMAL, 0)
		if err == nil {
			return h, nil
		}
	}
	return windows.InvalidHandle, &fs.PathError{Op: "open", Path: name, Err: err}
}

// patience bounds the wait for others to close a file.
const patience = 2 * time.Second

// patiently does what others may be in the way of, until they are not. Access
// is denied to who renames over a file that another one reads; a genuine denial
// is told late.
func patiently(do func() error) error {
	pause := time.Duration(0)
	for end := time.Now().Add(patience); ; pause = min(pause+100*time.Microsecond, 2*time.Millisecond) {
		err := do()
		if err == nil || !inTheWay(err) || time.Now().After(end) {
			return err
		}
		time.Sleep(pause)
	}
}

func inTheWay(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED) ||
		errors.Is(err, windows.ERROR_DELETE_PENDING) || errors.Is(err, windows.ERROR_DIR_NOT_EMPTY) ||
		errors.Is(err, windows.ERROR_USER_MAPPED_FILE)
}

func writeFile(name string, data []byte) error {
	return patiently(func() error { return os.WriteFile(name, data, 0o600) })
}

// replaceFile writes tmp and renames it to name, both in one directory. The
// rename has POSIX semantics where it can (FILE_RENAME_INFORMATION, from
// Windows 10 1607 on NTFS): the name then changes its file though the old one
// is open. Elsewhere, on FAT and under Wine, it needs an instant in which nobody
// reads: readers wait while they see the new file.
func replaceFile(tmp, name string, data []byte) error {
	err := writeFile(tmp, data)
	if err == nil {
		if err = renameOver(tmp, name); err != nil {
			err = patiently(func() error { return os.Rename(tmp, name) })
		}
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

func renameOver(from, to string) error {
	h, err := openFile(from, windows.DELETE|windows.SYNCHRONIZE, windows.OPEN_EXISTING)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	return renameOpen(h, to)
}

// renameOpen builds a FILE_RENAME_INFO: flags, root directory, length of the
// name in bytes, name.
func renameOpen(h windows.Handle, to string) error {
	name, err := windows.UTF16FromString(to)
	if err != nil {
		return err
	}
	type renameInfo struct {
		flags  uint32
		root   windows.Handle
		length uint32
		name   [1]uint16
	}
	const at = unsafe.Offsetof(renameInfo{}.name)
	room := make([]uint64, (int(at)+2*len(name)+7)/8)
	info := (*renameInfo)(unsafe.Pointer(&room[0]))
	info.flags = windows.FILE_RENAME_REPLACE_IF_EXISTS | windows.FILE_RENAME_POSIX_SEMANTICS
	info.length = uint32(2 * (len(name) - 1))
	copy(unsafe.Slice(&info.name[0], len(name)), name)
	return windows.SetFileInformationByHandle(h, windows.FileRenameInfoEx, (*byte)(unsafe.Pointer(info)), uint32(8*len(room)))
}

// removeFile is os.Remove for a file that others may be reading.
func removeFile(name string) error { return patiently(func() error { return os.Remove(name) }) }

// readFile reads without keeping others from replacing the file.
func readFile(name string) ([]byte, error) {
	letPass(name + ".new")
	var h windows.Handle
	err := patiently(func() (err error) {
		h, err = openFile(name, windows.GENERIC_READ, windows.OPEN_EXISTING)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(h)
	data := make([]byte, 0, 2048)
	for {
		var n uint32
		err := windows.ReadFile(h, data[len(data):cap(data)], &n, nil)
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			return data, nil
		}
		data = slices.Grow(data[:len(data)+int(n)], 1)
	}
}

// letPass waits until tmp has been renamed, or for 20 ms: its writer may have
// been killed.
func letPass(tmp string) {
	name, err := windows.UTF16PtrFromString(tmp)
	for range 20 {
		if err != nil {
			return
		}
		if _, err = windows.GetFileAttributes(name); err == nil {
			time.Sleep(time.Millisecond)
		}
	}
}

// bootID is "": compute systems are found by name and are gone after a boot.
func bootID() string { return "" }

// owner names the account that a state directory belongs to.
func owner(name string) string {
	sd, err := windows.GetNamedSecurityInfo(name, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return ""
	}
	sid, _, err := sd.Owner()
	if err != nil {
		return ""
	}
	account, domain, _, err := sid.LookupAccount("")
	if err != nil {
		return sid.String()
	}
	return domain + `\` + account
}

// rootAccess is the access to the state root and, by inheritance, to all in
// it: full for SYSTEM and the Administrators, none for anybody else, and
// nothing from %ProgramData%, where every user may create files.
const rootAccess = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

// makeRoot makes the state root. The access comes with the directory and not
// after it: there is no instant in which another user could get in.
func makeRoot(root string) error {
	if err := os.MkdirAll(filepath.Dir(root), 0o700); err != nil {
		return err
	}
	sd, err := windows.SecurityDescriptorFromString(rootAccess)
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(root)
	if err == nil {
		err = windows.CreateDirectory(name, &windows.SecurityAttributes{
			Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd})
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "mkdir", Path: root, Err: err}
	}
	return trustRoot(root)
}

// trustRoot refuses a state root that others may have filled: every user can
// make %ProgramData%\wrun before its first use and put a container there whose
// handle makes an administrator's wrun undo what was never done. It is refused
// and not corrected, because what lies in it would stay. Trusted are SYSTEM,
// the Administrators and the user who calls wrun. That last one also holds
// under Wine, where owner and access are made up from the Unix file.
func trustRoot(root string) error {
	name, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(name, windows.READ_CONTROL|windows.FILE_READ_ATTRIBUTES,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // nothing to mistrust
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return WithHint(fmt.Errorf("state root %s: %w", root, err), "wrun needs an elevated administrator")
	case err != nil:
		return fmt.Errorf("state root %s: %w", root, err)
	}
	defer windows.CloseHandle(h)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return fmt.Errorf("state root %s: %w", root, err)
	}
	switch attributes := info.FileAttributes; {
	case attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0:
		return fmt.Errorf("state root %s: is a link, which could lead anywhere", root)
	case attributes&windows.FILE_ATTRIBUTE_DIRECTORY == 0:
		return fmt.Errorf("state root %s: is no directory", root)
	}
	sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("state root %s: reading its owner: %w", root, err)
	}
	if err := trustDescriptor(sd); err != nil {
		return WithHint(fmt.Errorf("state root %s: %w", root, err), "look at what is in it, remove it and let wrun make it")
	}
	return nil
}

// changes are the rights by which one could put something into a directory, or
// get those rights.
const changes = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | 0x40 /* FILE_DELETE_CHILD */ |
	windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL

// trustDescriptor says who but the trusted owns what sd protects, or can change it.
func trustDescriptor(sd *windows.SECURITY_DESCRIPTOR) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("asking who runs wrun: %w", err)
	}
	trusted := func(sid *windows.SID) bool {
		return sid.IsWellKnown(windows.WinLocalSystemSid) || sid.IsWellKnown(windows.WinBuiltinAdministratorsSid) || sid.Equals(user.User.Sid)
	}
	sid, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("reading its owner: %w", err)
	}
	if sid == nil || !trusted(sid) {
		return fmt.Errorf("belongs to %v, neither to the Administrators nor to SYSTEM", sid)
	}
	acl, _, err := sd.DACL()
	if err != nil || acl == nil {
		return errors.New("everybody may write there")
	}
	for i := range uint32(acl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(acl, i, &ace); err != nil {
			return fmt.Errorf("reading its access list: %w", err)
		}
		switch ace.Header.AceType {
		case windows.ACCESS_ALLOWED_ACE_TYPE:
		case windows.ACCESS_DENIED_ACE_TYPE:
			continue
		default:
			return fmt.Errorf("its access list has an entry of type %d, which wrun cannot judge", ace.Header.AceType)
		}
		if ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Mask&changes == 0 {
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		if !trusted(sid) && !sid.IsWellKnown(windows.WinCreatorOwnerRightsSid) {
			return fmt.Errorf("%v may write there", sid)
		}
	}
	return nil
}
