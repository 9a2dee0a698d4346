package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

type lockKind uint32

const (
	exclusive = lockKind(windows.LOCKFILE_EXCLUSIVE_LOCK)
	shared    = lockKind(0)
)

// lockFile is what is locked: Windows cannot lock a directory.
const lockFile = "lock"

// lock is a LockFileEx lock on a file in the container's state directory. It
// ends with its holder, however that ends.
type lock struct {
	handle windows.Handle
	name   string
}

// acquire locks dir and waits as long as wait for others. ErrNotExist when the
// directory is not there or was removed while we waited, errHeld when wait is
// 0 and somebody else has it.
func acquire(ctx context.Context, dir string, kind lockKind, wait time.Duration) (*lock, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	name := filepath.Join(dir, lockFile)
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	// FILE_SHARE_DELETE lets the directory go while others wait; overlapped,
	// so that waiting can have a deadline.
	h, err := windows.CreateFile(p, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OVERLAPPED, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, windows.ERROR_DELETE_PENDING) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := lockWithin(ctx, h, kind, wait); err != nil {
		windows.CloseHandle(h)
		if errors.Is(err, errHeld) && wait > 0 {
			err = fmt.Errorf("container %s is busy: another process kept it locked for %v", filepath.Base(dir), wait)
		}
		return nil, err
	}
	l := &lock{h, name}
	if _, err := os.Stat(name); err != nil { // removed while we waited
		l.release()
		return nil, ErrNotExist
	}
	return l, nil
}

func lockWithin(ctx context.Context, h windows.Handle, kind lockKind, wait time.Duration) error {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return fmt.Errorf("locking the container: %w", err)
	}
	defer windows.CloseHandle(event)
	o := &windows.Overlapped{HEvent: event}
	flags := uint32(kind)
	if wait == 0 {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err = windows.LockFileEx(h, flags, 0, 1, 0, o)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return errHeld
	case !errors.Is(err, windows.ERROR_IO_PENDING):
		return fmt.Errorf("locking the container: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = windows.CancelIoEx(h, o) })
	defer stop()
	got, err := windows.WaitForSingleObject(event, uint32(wait/time.Millisecond))
	if err != nil {
		got = uint32(windows.WAIT_TIMEOUT)
	}
	if got == uint32(windows.WAIT_TIMEOUT) {
		_ = windows.CancelIoEx(h, o)
	}
	// The request ends now in every case, and o must stay until it has.
	var n uint32
	if err := windows.GetOverlappedResult(h, o, &n, true); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errHeld
	}
	return nil
}

func (l *lock) release() {
	if l.handle != 0 {
		_ = windows.UnlockFileEx(l.handle, 0, 1, 0, &windows.Overlapped{})
		windows.CloseHandle(l.handle)
		l.handle = 0
	}
}

// descriptors is empty: a handle is not inherited unless it says so.
func (l *lock) descriptors() []int { return nil }

// discard removes dir with everything in it. The lock is given up first: an
// open file keeps its directory. What another process makes of the nameless
// rest in between is nothing, since state.json is gone.
func (l *lock) discard(dir string) error {
	l.release()
	return os.RemoveAll(dir)
}

func writeFile(name string, data []byte) error { return os.WriteFile(name, data, 0o600) }

// replaceFile writes tmp and renames it to name, both in one directory.
func replaceFile(tmp, name string, data []byte) error {
	err := os.WriteFile(tmp, data, 0o600)
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

func readFile(name string) ([]byte, error) { return os.ReadFile(name) }

// bootID is "": compute systems are found by name and are gone after a boot.
func bootID() string { return "" }

// owner is "": runc has no such column on Windows to follow.
func owner(string) string { return "" }
