//go:build unix

package libcontainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Plain system calls, because os.File registers everything it opens with the
// network poller: two calls more a file, for nothing.

type lockKind int

const (
	exclusive = lockKind(syscall.LOCK_EX)
	shared    = lockKind(syscall.LOCK_SH)
)

// lockFile is unused: the directory itself is locked.
const lockFile = ""

// lock is a flock(2) on a container's state directory. It ends with its
// holder, however that ends; a host's child must therefore not keep it open.
type lock struct{ fd int }

// acquire locks dir and waits as long as wait for others. ErrNotExist when the
// directory is not there or was removed while we waited, errHeld when wait is
// 0 and somebody else has it.
func acquire(ctx context.Context, dir string, kind lockKind, wait time.Duration) (*lock, error) {
	fd, err := open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("locking the container: %w", err)
	}
	switch err = flock(fd, int(kind)|syscall.LOCK_NB); {
	case err == nil:
	case err != syscall.EWOULDBLOCK:
		syscall.Close(fd)
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	case wait == 0:
		syscall.Close(fd)
		return nil, errHeld
	default:
		if err := flockWait(ctx, fd, kind, wait); err != nil {
			if errors.Is(err, errHeld) {
				err = timedOut(dir, wait)
			}
			return nil, err
		}
	}
	// Removed, or removed and made anew, while we waited?
	var locked, named syscall.Stat_t
	if syscall.Fstat(fd, &locked) != nil || syscall.Stat(dir, &named) != nil ||
		locked.Ino != named.Ino || locked.Dev != named.Dev {
		syscall.Close(fd)
		return nil, ErrNotExist
	}
	return &lock{fd}, nil
}

// flockWait blocks in flock(2) at most for wait. On error it has taken fd over:
// a lock that comes too late is given back.
func flockWait(ctx context.Context, fd int, kind lockKind, wait time.Duration) error {
	got := make(chan error, 1) // takes the answer even when nobody waits for it any more
	go func() { got <- flock(fd, int(kind)) }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	late := func() {
		go func() {
			<-got
			syscall.Close(fd)
		}()
	}
	select {
	case err := <-got:
		if err != nil {
			syscall.Close(fd)
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

// release unlocks before it closes: a descriptor that some child inherited
// would keep a merely closed lock alive.
func (l *lock) release() {
	if l.fd >= 0 {
		_ = flock(l.fd, syscall.LOCK_UN)
		syscall.Close(l.fd)
		l.fd = -1
	}
}

// descriptors are what a child that was cloned without an exec has to close.
func (l *lock) descriptors() []int { return []int{l.fd} }

// discard removes dir with everything in it and releases the lock.
func (l *lock) discard(dir string) error {
	defer l.release()
	_ = syscall.Unlink(filepath.Join(dir, configFile))
	if syscall.Rmdir(dir) == nil { // nearly always: no need to look what is in there
		return nil
	}
	return os.RemoveAll(dir)
}

// timedOut names the process that kept the lock on dir.
func timedOut(dir string, wait time.Duration) error {
	id := filepath.Base(dir)
	pid := holder(dir)
	if pid == 0 {
		return fmt.Errorf("container %s is busy: another process kept it locked for %v", id, wait)
	}
	what := "unknown command"
	if data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && len(data) > 0 {
		what = string(bytes.TrimSpace(bytes.ReplaceAll(data, []byte{0}, []byte{' '})))
	}
	err := fmt.Errorf("container %s is busy: process %d (%s) kept it locked for %v", id, pid, what, wait)
	return WithHint(err, "end process "+strconv.Itoa(pid)+" if it hangs")
}

// holder finds who has the flock on dir in /proc/locks, whose lines end with
// "FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF". 0 when unknown.
func holder(dir string) int {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return 0
	}
	data, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	inode := ":" + strconv.FormatUint(uint64(st.Ino), 10)
	for line := range strings.Lines(string(data)) {
		w := strings.Fields(line)
		if len(w) < 8 || w[1] != "FLOCK" || !strings.HasSuffix(w[5], inode) {
			continue
		}
		if pid, err := strconv.Atoi(w[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

func flock(fd, how int) error {
	for {
		if err := syscall.Flock(fd, how); err != syscall.EINTR {
			return err
		}
	}
}

func open(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, mode)
		if err == nil {
			return fd, nil
		}
		if err != syscall.EINTR {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// writeFile writes a file that only the owner may read.
func writeFile(name string, data []byte) error {
	fd, err := open(name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			syscall.Close(fd)
			return &fs.PathError{Op: "write", Path: name, Err: err}
		}
		data = data[n:]
	}
	if err := syscall.Close(fd); err != nil && err != syscall.EINTR {
		return &fs.PathError{Op: "close", Path: name, Err: err}
	}
	return nil
}

// replaceFile writes tmp and renames it to name, both in one directory.
func replaceFile(tmp, name string, data []byte) error {
	err := writeFile(tmp, data)
	if err == nil {
		if err = syscall.Rename(tmp, name); err != nil {
			err = &os.LinkError{Op: "rename", Old: tmp, New: name, Err: err}
		}
	}
	if err != nil {
		_ = syscall.Unlink(tmp)
	}
	return err
}

func removeFile(name string) error { return os.Remove(name) }

func readFile(name string) ([]byte, error) {
	fd, err := open(name, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	data := make([]byte, 0, 2048)
	for {
		n, err := syscall.Read(fd, data[len(data):cap(data)])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		if n == 0 {
			return data, nil
		}
		data = data[:len(data)+n]
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

// bootID names this boot of the machine, "" where there is no such name.
var bootID = sync.OnceValue(func() string {
	data, err := readFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
})

// passwd is the text of /etc/passwd, "" where there is none.
var passwd = sync.OnceValue(func() string {
	data, _ := readFile("/etc/passwd")
	return string(data)
})

// owner names the user a file belongs to: its uid where /etc/passwd has no name.
func owner(name string) string {
	var st syscall.Stat_t
	if syscall.Stat(name, &st) != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	for line := range strings.Lines(passwd()) {
		if w := strings.SplitN(line, ":", 4); len(w) == 4 && w[2] == uid {
			return w[0]
		}
	}
	return uid
}

func makeRoot(root string) error { return os.MkdirAll(root, 0o700) }

// trustRoot trusts: the directories that roots lie in belong to who uses them.
func trustRoot(string) error { return nil }
