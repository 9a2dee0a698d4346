package silo

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agent is a seccomp agent: it answers mkdir with ENOMEDIUM and lets every other
// call it is asked about go on.
type agent struct {
	path   string
	mu     sync.Mutex
	states []specs.ContainerProcessState
	asked  map[int32]int // by system call
}

func (r *rig) agent() *agent {
	r.Helper()
	a := &agent{path: filepath.Join(r.dir, "agent"), asked: map[int32]int{}}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.path, Net: "unix"})
	r.must(err)
	var all sync.WaitGroup
	r.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			fd, err := a.accept(c)
			c.Close()
			if err != nil {
				r.Error(err)
				continue
			}
			all.Go(func() { a.serve(fd) })
		}
	})
	return a
}

// accept reads the container process state and the listener beside it.
func (a *agent) accept(c *net.UnixConn) (int, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return -1, err
	}
	text, control := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := c.ReadMsgUnix(text, control)
	if err != nil {
		return -1, err
	}
	var s specs.ContainerProcessState
	if err := json.Unmarshal(text[:n], &s); err != nil {
		return -1, err
	}
	a.mu.Lock()
	a.states = append(a.states, s)
	a.mu.Unlock()
	messages, err := unix.ParseSocketControlMessage(control[:m])
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// serve answers until the last process under the filter is gone.
func (a *agent) serve(fd int) {
	defer unix.Close(fd)
	const send, goOn = 0xc0182101, 1 // SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_USER_NOTIF_FLAG_CONTINUE
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		var ask struct { // struct seccomp_notif
			id         uint64
			pid, flags uint32
			nr         int32
			arch       uint32
			ip         uint64
			args       [6]uint64
		}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&ask))); e != 0 {
			continue // it was killed meanwhile
		}
		a.mu.Lock()
		a.asked[ask.nr]++
		a.mu.Unlock()
		answer := struct {
			id    uint64
			val   int64
			errno int32
			flags uint32
		}{id: ask.id, flags: goOn}
		if ask.nr == unix.SYS_MKDIRAT || int64(ask.nr) == mkdirNumber {
			answer.flags, answer.errno = 0, -int32(unix.ENOMEDIUM)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), send, uintptr(unsafe.Pointer(&answer)))
	}
}

// asks is a profile that asks the agent about the named calls.
func (a *agent) asks(names ...string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: a.path, ListenerMetadata: "meta",
		Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActNotify}},
	}
}

// TestSeccompAgent: config-linux.md, "The Container Process State". The agent
// has the listener before the program runs, and answers for run, for create and
// start, and for an exec; also about the calls that wrun itself makes last.
func TestSeccompAgent(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		r := newRig(t, sh("mkdir /tmp/a; cat /dev/null")...)
		a := r.agent()
		r.spec.Annotations = map[string]string{"a": "b"}
		r.spec.Process.NoNewPrivileges = nnp
		r.spec.Linux.Seccomp = a.asks("mkdir", "mkdirat", "execve", "execveat", "openat", "read", "close", "fcntl")
		if res := r.run(); res.code != 0 || !strings.Contains(res.err, "No medium found") {
			t.Errorf("run, noNewPrivileges %v: %s", nnp, res)
		}
		r.spec.Process.Args = []string{"sleep", "100"}
		pid := r.start()
		if res := r.wrun("exec", r.id, "mkdir", "/tmp/a"); res.code == 0 || !strings.Contains(res.err, "No medium found") {
			t.Errorf("exec, noNewPrivileges %v: %s", nnp, res)
		}
		r.ok("delete", "--force", r.id)
		a.mu.Lock()
		if len(a.states) != 3 || a.asked[unix.SYS_EXECVE] < 3 {
			t.Fatalf("the agent got %d listeners and was asked %v", len(a.states), a.asked)
		}
		s := a.states[1]
		if s.Pid != pid || s.Metadata != "meta" || len(s.Fds) != 1 || s.Fds[0] != specs.SeccompFdName ||
			s.State.ID != r.id || s.State.Status != specs.StateCreating || s.State.Bundle != r.dir || s.State.Annotations["a"] != "b" {
			t.Errorf("state given to the agent: %+v", s)
		}
		if got := a.states[2].State; got.ID != r.id || got.Status != specs.StateRunning || got.Pid != pid {
			t.Errorf("state given at exec: %+v", got)
		}
		a.mu.Unlock()
	}
}

func TestSeccompAgentFails(t *testing.T) {
	for _, c := range []struct {
		name, want string
		edit       func(*specs.LinuxSeccomp)
	}{
		{"nobody listens", "failed to connect with seccomp agent", func(s *specs.LinuxSeccomp) { s.ListenerPath = "/nosuch/agent.sock" }},
		{"about write", "SCMP_ACT_NOTIFY cannot be used for the write syscall", func(s *specs.LinuxSeccomp) { s.Syscalls[0].Names = []string{"write"} }},
		{"no path", "listenerPath", func(s *specs.LinuxSeccomp) { s.ListenerPath, s.ListenerMetadata = "", "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, "true")
			r.spec.Linux.Seccomp = (&agent{path: filepath.Join(r.dir, "agent")}).asks("mkdir")
			c.edit(r.spec.Linux.Seccomp)
			r.refused(c.want)
		})
	}
}
