// Command session is the first process of a Windows container on Linux, and the
// parent of each process that exec starts there. It is no part of wrun: wrun
// puts it into the container, where it is the only Linux program beside Wine.
//
//	session run    starts the launcher, passes signals on as console control events,
//	               and when the program has ended has the wineserver write the registry
//	session exec   the same for a further process, whose end is not the session's
//
// It ends with the low 8 bits of the program's exit code; the launcher has
// written all 32 where the host reads them.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	failed = 255
	// flushTime bounds what is waited for a registry to be written.
	flushTime = 10 * time.Second
	// startTime bounds what is waited for the program to be started.
	startTime = 5 * time.Minute
	sweepTime = 2 * startTime
)

// session is one program on its way.
type session struct {
	loader, launcher string
	status           string // file, as Linux names it
	env              []string
	first            bool // of the container
}

func main() {
	// The launcher is to end with this thread's process (PR_SET_PDEATHSIG), so
	// this thread may not end before.
	runtime.LockOSThread()
	s := &session{loader: os.Getenv("WRUN_LOADER"), launcher: os.Getenv("WRUN_LAUNCHER"), status: linuxPath(os.Getenv("WRUN_STATUS"))}
	if len(os.Args) != 2 || os.Args[1] != "run" && os.Args[1] != "exec" || s.loader == "" || s.launcher == "" {
		fmt.Fprintln(os.Stderr, "session: only wrun starts it")
		os.Exit(failed)
	}
	s.first = os.Args[1] == "run"
	s.env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "WRUN_PIPE_") || strings.HasPrefix(v, "WRUN_LOADER=") || strings.HasPrefix(v, "WRUN_LAUNCHER=")
	})
	os.Exit(s.run())
}

// linuxPath undoes \\?\unix\a\b.
func linuxPath(windows string) string {
	return strings.ReplaceAll(strings.TrimPrefix(windows, `\\?\unix`), `\`, "/")
}

// events are the console control events that signals stand for.
var events = map[os.Signal]int{
	syscall.SIGINT: 0, syscall.SIGQUIT: 1, syscall.SIGHUP: 2, syscall.SIGUSR1: 5, syscall.SIGTERM: 6,
}

func (s *session) run() int {
	signals := make(chan os.Signal, 16)
	for sig := range events {
		signal.Notify(signals, sig)
	}
	if s.first {
		if err := s.pipes(); err != nil {
			fmt.Fprintln(os.Stderr, "session:", err)
			return failed
		}
	}
	child, err := syscall.ForkExec(s.loader, []string{s.loader, s.launcher, "run"}, &syscall.ProcAttr{
		Env: s.env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "session: start Wine's loader %s: %v\n", s.loader, err)
		return failed
	}
	go func() {
		pid := s.program() // in time: the report does not stay for ever
		for sig := range signals {
			s.raise(events[sig], pid)
		}
	}()
	if !s.first {
		s.sweep()
	}
	code := s.reap(child)
	if s.first {
		s.flush()
	}
	return code
}

// reap waits for the launcher, and on the way for whatever else becomes a child
// of this process: the wineserver and all orphans.
func (s *session) reap(child int) int {
	for {
		// Who has ended is looked at before it is reaped, and its name is gone.
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			return failed
		}
		pid := ended(&info)
		lost := s.first && pid != child && isServer(strconv.Itoa(pid))
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			continue
		}
		switch {
		case lost:
			fmt.Fprintln(os.Stderr, "session: the wineserver has ended, and with it the container")
			return 128 + int(syscall.SIGKILL)
		case pid != child:
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// ended is si_pid of what waitid(2) says.
func ended(info *unix.Siginfo) int {
	const offset = 12 // behind signo, errno, code
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset+4)))
}

// sweep removes the reports on programs that exec started long ago. Each is read by
// who started it, once, and may be looked for as long as a start can take.
func (s *session) sweep() {
	dir, own := filepath.Split(s.status)
	kind, _, _ := strings.Cut(own, "-")
	entries, err := os.ReadDir(dir)
	if err != nil || kind == own {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), kind+"-") {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > sweepTime {
			_ = os.Remove(filepath.Join(dir, e.Name())) // another one was faster
		}
	}
}

// raise has a console control event raised in the program.
func (s *session) raise(event int, pid string) {
	if pid == "" {
		return
	}
	env := slices.DeleteFunc(slices.Clone(s.env), func(v string) bool { return strings.HasPrefix(v, "WRUN_") })
	_, err := syscall.ForkExec(s.loader, []string{s.loader, s.launcher, "signal", strconv.Itoa(event), pid},
		&syscall.ProcAttr{Env: env, Files: []uintptr{2, 2, 2}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "session: pass a signal on: %v\n", err)
	}
}

// program waits for the launcher's report and returns the Windows process id; signals
// that come before wait for it.
func (s *session) program() string {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	dir := s.status[:strings.LastIndexByte(s.status, '/')+1]
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE); err != nil {
		return ""
	}
	end := time.Now().Add(startTime)
	for {
		data, _ := os.ReadFile(s.status) // not there yet
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > 2 && f[1] == "started" {
				return f[2]
			} else if len(f) > 1 && f[1] == "failed" {
				return ""
			}
		}
		left := time.Until(end)
		if left <= 0 {
			return ""
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		var events [4096]byte
		_, _ = unix.Read(fd, events[:])
	}
}

// flush has the wineserver write the registry. It would also do so some seconds
// after its last client, but all processes here end with this one.
func (s *session) flush() {
	server := wineserver()
	if server == 0 {
		return
	}
	time.AfterFunc(flushTime, func() {
		fmt.Fprintln(os.Stderr, "session: the wineserver does not end; what the registry was changed last is lost")
		os.Exit(failed)
	})
	if syscall.Kill(server, syscall.SIGTERM) != nil { // it writes, and ends
		return
	}
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		if pid == server || err != nil && err != syscall.EINTR {
			return
		}
	}
}

// wineserver is its process id. It detaches itself, so its parent is the first
// process of the container.
func wineserver() int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if isServer(e.Name()) {
			return pid
		}
	}
	return 0
}

// isServer says that a process, which may have ended, is the wineserver.
func isServer(pid string) bool {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	return err == nil && strings.HasPrefix(string(name), "wineserver")
}
