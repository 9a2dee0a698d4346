package wine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// system is one container.
type system struct {
	host  *Host
	h     *handle
	inner libcontainer.System // nil for remains
}

func (s *system) Handle() libcontainer.Handle {
	if k, ok := s.inner.(libcontainer.Keeper); ok {
		s.h.Inner = k.Handle()
	}
	return s.h.encode()
}

func (s *system) Pid() int {
	if s.inner == nil {
		return 0
	}
	return s.inner.Pid()
}

// Settle passes on, where the inner host wants it.
func (s *system) Settle() error {
	if i, ok := s.inner.(libcontainer.Settler); ok {
		return i.Settle()
	}
	return nil
}

// Live is the inner host's word, and the launcher's on how it ended.
func (s *system) Live(ctx context.Context) (libcontainer.Live, error) {
	if s.inner == nil {
		return libcontainer.Live{}, nil
	}
	l, err := s.inner.Live(ctx)
	if err != nil || !l.Exists && len(s.h.Prefix) == 0 {
		return l, err
	}
	l.Init = 0 // the inner one's first process is none of Windows'
	switch r := s.said(); {
	case l.Exists && l.Started && r.what == started:
		l.Init = int(r.number)
	case !l.Exists && r.what == exited:
		l.Exited, l.ExitCode = true, r.number
	}
	return l, nil
}

// statusName is the launcher's report within the prefix.
const statusName = "status"

// execStatus begins the names of the same for processes of Exec.
const execStatus = "exec-"

// report reads it. A container may write anything there, and can lie to its own
// cost only.
func (s *system) report(name string) (report, error) {
	data, err := readPlain(filepath.Join(s.h.Prefix, name), 1<<16)
	if err != nil {
		return report{}, err
	}
	return parseReport(data, s.h.Nonce), nil
}

// said is the report on the first program; empty where there is none yet, or never
// will be.
func (s *system) said() report {
	r, err := s.report(statusName)
	if err != nil {
		return report{}
	}
	return r
}

// startTime bounds what Start waits for Windows to come up: half a second in a
// silo, half a minute under translation.
func (s *system) startTime() time.Duration {
	if s.h.VM {
		return 3 * time.Minute
	}
	return time.Minute
}

// Start returns when Windows has started the program: "a program that cannot be
// executed is an error of Start".
func (s *system) Start(ctx context.Context) error {
	if s.inner == nil {
		return libcontainer.ErrNotRunning
	}
	// What an earlier container of this scratch reported is not ours.
	old, err := filepath.Glob(filepath.Join(s.h.Prefix, execStatus+"*"))
	if err != nil {
		return err
	}
	for _, name := range append(old, filepath.Join(s.h.Prefix, statusName)) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an earlier report: %w", err)
		}
	}
	watch, err := watchDir(s.h.Prefix)
	if err != nil {
		return err
	}
	defer unix.Close(watch)
	if err := s.inner.Start(ctx); err != nil {
		return err
	}
	return s.launched(ctx, watch, statusName, s.inner.Pid())
}

func watchDir(dir string) (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("watch for the launcher's report: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("watch %s for the launcher's report: %w", dir, err)
	}
	return fd, nil
}

// launched waits for the launcher's first word, or for the end of process pid.
func (s *system) launched(ctx context.Context, watch int, name string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, s.startTime())
	defer cancel()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		pidfd = -1 // it has ended: what it wrote is there
	} else {
		defer unix.Close(pidfd)
	}
	over, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("wait for the launcher's report: %w", err)
	}
	defer unix.Close(over)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_, _ = unix.Write(over, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-done // the descriptor is its own until then
		}
	}()
	ended := pidfd < 0
	for {
		r, err := s.report(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		switch {
		case r.what == broken:
			return windowsError(r.number)
		case r.what != "":
			return nil
		case ended:
			return errors.New("Wine ended before it started the program")
		case ctx.Err() != nil:
			return fmt.Errorf("wait for Wine to start the program: %w", context.Cause(ctx))
		}
		fds := []unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(over), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for the launcher's report: %w", err)
		}
		ended = fds[1].Revents != 0
		var events [4096]byte
		_, _ = unix.Read(watch, events[:]) // what happened the file says
	}
}

// signalFor is the Linux signal that the session takes for a console control event.
func signalFor(sig int) (unix.Signal, bool) {
	switch sig {
	case libcontainer.CtrlC:
		return unix.SIGINT, true
	case libcontainer.CtrlBreak:
		return unix.SIGQUIT, true
	case libcontainer.CtrlClose:
		return unix.SIGHUP, true
	case libcontainer.CtrlLogOff:
		return unix.SIGUSR1, true
	case libcontainer.CtrlShutdown:
		return unix.SIGTERM, true
	case libcontainer.Terminate:
		return unix.SIGKILL, true
	}
	return 0, false
}

func (s *system) Signal(ctx context.Context, sig int, all bool) error {
	if s.inner == nil {
		return libcontainer.ErrNotRunning
	}
	number, ok := signalFor(sig)
	if !ok {
		return fmt.Errorf("%d is no signal of a Windows container", sig)
	}
	if number == unix.SIGKILL || !all {
		return s.inner.Signal(ctx, int(number), all)
	}
	_, err := s.tool(ctx, "signal", strconv.Itoa(sig), "all")
	return err
}

func (s *system) Wait(ctx context.Context) (int, error) {
	if s.inner == nil {
		return 0, libcontainer.ErrNotRunning
	}
	return s.inner.Wait(ctx)
}

func (s *system) Processes(ctx context.Context) ([]int, error) {
	table, err := s.ProcessTable(ctx)
	if err != nil {
		return nil, err
	}
	pids := make([]int, len(table))
	for i := range table {
		pids[i] = table[i].Pid
	}
	return pids, nil
}

// Close removes the container, whatever state it is in.
func (s *system) Close(ctx context.Context) error {
	var err error
	if len(s.h.Making) > 0 {
		if making, opened := s.host.silo.Open(ctx, s.h.Making); opened == nil {
			err = making.Close(ctx)
		} else if !errors.Is(opened, libcontainer.ErrNotFound) {
			err = opened
		}
	}
	if s.inner != nil {
		err = errors.Join(err, s.inner.Close(ctx))
	}
	if err != nil {
		return err // what it uses stays
	}
	if s.h.Mounted {
		dir := filepath.Join(s.h.Dir, mountedName)
		for {
			if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err == unix.EINVAL || err == unix.ENOENT {
				break
			} else if err != nil {
				return fmt.Errorf("unmount drive C: at %s: %w", dir, err)
			}
		}
		// Nothing is mounted there any more. What a VM that could not see the mount wrote
		// would lie in it.
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, name := range []string{hostsName, resolvName, claimName} {
		if err := os.Remove(filepath.Join(s.h.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *system) Pause(ctx context.Context) error {
	if p, ok := s.inner.(libcontainer.Pauser); ok {
		return p.Pause(ctx)
	}
	return libcontainer.ErrUnsupported
}

func (s *system) Resume(ctx context.Context) error {
	if p, ok := s.inner.(libcontainer.Pauser); ok {
		return p.Resume(ctx)
	}
	return libcontainer.ErrUnsupported
}

// UpdateWindows sets limits as Translate did. A scratch cannot grow.
func (s *system) UpdateWindows(ctx context.Context, r *specs.WindowsResources) error {
	u, ok := s.inner.(libcontainer.Updater)
	if !ok {
		return libcontainer.ErrUnsupported
	}
	l, warnings, err := Resources(r, s.h.CPUs, s.h.Disk)
	if err != nil {
		return err
	}
	if len(warnings) > 0 {
		return errors.New(warnings[0])
	}
	return u.Update(ctx, l)
}

func (s *system) Stats(ctx context.Context) (any, error) {
	if m, ok := s.inner.(libcontainer.Meter); ok {
		return m.Stats(ctx)
	}
	return nil, libcontainer.ErrUnsupported
}
