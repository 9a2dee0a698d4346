package uvm

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func subreaper(on bool) error {
	var v uintptr
	if on {
		v = 1
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, v, 0, 0, 0)
}

// screen is the master of a terminal and what has appeared there.
type screen struct {
	r      *rig
	master *os.File
	seen   strings.Builder
}

func (s *screen) size(rows, columns uint16) {
	s.r.Helper()
	raw, err := s.master.SyscallConn()
	s.r.must(err)
	var failed error
	s.r.must(raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}))
	s.r.must(failed)
}

func (s *screen) keys(text string) {
	s.r.Helper()
	_, err := s.master.WriteString(text)
	s.r.must(err)
}

// shows waits until text has appeared behind all that was waited for before.
func (s *screen) shows(text string) {
	s.r.Helper()
	s.r.must(s.master.SetReadDeadline(time.Now().Add(20 * time.Second)))
	buf := make([]byte, 4096)
	for {
		if _, after, found := strings.Cut(s.seen.String(), text); found {
			s.seen.Reset()
			s.seen.WriteString(after)
			return
		}
		n, err := s.master.Read(buf)
		s.seen.Write(buf[:n])
		if err != nil {
			s.r.Fatalf("%q never appeared: %v after %q", text, err, short(s.seen.String()))
		}
	}
}

// screenOf takes a descriptor.
func (r *rig) screenOf(master int) *screen {
	r.Helper()
	r.must(unix.SetNonblock(master, true)) // so that reads can have a deadline
	s := &screen{r: r, master: os.NewFile(uintptr(master), "master")}
	r.Cleanup(func() { s.master.Close() })
	return s
}

// pty is a pseudoterminal of the test's, as a user at a terminal has it.
func (r *rig) pty() (*screen, *os.File) {
	r.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	r.must(err)
	r.must(unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	r.must(err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	r.must(err)
	s := r.screenOf(m)
	s.size(11, 22)
	return s, slave
}

// at runs wrun at a terminal.
func (r *rig) at(args ...string) (s *screen, wait func() int) {
	r.Helper()
	s, slave := r.pty()
	cmd := exec.Command(r.prepared.wrun, append([]string{"--root", r.root}, args...)...)
	cmd.Dir = r.dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	r.must(cmd.Start())
	return s, func() int {
		r.Helper()
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait()
		slave.Close()
		return cmd.ProcessState.ExitCode()
	}
}

// dialogue answers what is typed, tells of its window and of ^C. A read that a
// trapped signal has ended is no end of the input.
const dialogue = `trap 'echo size $(stty size)' WINCH; trap 'echo interrupted' INT
tty; stty size; echo ready; failed=0
while [ $failed -lt 9 ]; do
	if read line; then case $line in bye) exit 9;; *) echo "$line" | tr a-z A-Z;; esac
	else failed=$((failed+1)); fi
done; exit 8`

// converse is what a user does at such a terminal.
func (s *screen) converse(rows, columns int) {
	s.r.Helper()
	s.shows("/dev/pts/0")
	s.shows(fmt.Sprintf("%d %d", rows, columns))
	s.shows("ready\r\n")
	s.keys("typed\r")
	s.shows("typed\r\n") // the echo, once
	s.shows("TYPED\r\n")
	s.size(33, 44)
	// busybox's shell runs a trap when its read is over.
	s.keys("x\r")
	s.shows("size 33 44")
	s.keys("\x03")
	s.keys("x\r") // it may not have been reading
	s.shows("interrupted")
	s.keys("bye\r")
}

// TestTerminal: a user at a terminal runs and execs with one.
func TestTerminal(t *testing.T) {
	r := newRig(t, sh(dialogue)...)
	r.spec.Process.Terminal = true
	r.save()
	s, wait := r.at("run", r.id)
	s.converse(11, 22)
	if code := wait(); code != 9 {
		t.Errorf("run: exit code %d, want 9", code)
	}
	r.spec.Process.Terminal = false
	r.spec.Process.Args = []string{"sleep", "1000"}
	r.start()
	s, wait = r.at(append([]string{"exec", "-t", r.id}, sh(dialogue)...)...)
	s.converse(11, 22)
	if code := wait(); code != 9 {
		t.Errorf("exec: exit code %d, want 9", code)
	}
}

// consoleSocket listens as an engine does; taken waits for the terminal.
func (r *rig) consoleSocket() (name string, taken func() *screen) {
	r.Helper()
	name = filepath.Join(r.dir, fmt.Sprintf("console-%d.sock", sequence.Add(1)))
	l, err := net.Listen("unix", name)
	r.must(err)
	r.Cleanup(func() { l.Close() })
	return name, func() *screen {
		r.Helper()
		r.must(l.(*net.UnixListener).SetDeadline(time.Now().Add(patience)))
		c, err := l.Accept()
		r.must(err)
		defer c.Close()
		text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(text, rights)
		r.must(err)
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		r.must(err)
		fds, err := unix.ParseUnixRights(&messages[0])
		r.must(err)
		return r.screenOf(fds[0])
	}
}

// TestConsoleSocket: an engine gets the terminal of a container and of an exec.
func TestConsoleSocket(t *testing.T) {
	r := newRig(t, sh(dialogue)...)
	r.spec.Process.Terminal = true
	r.spec.Process.ConsoleSize = &specs.Box{Height: 50, Width: 60}
	r.save()
	r.must(subreaper(true))
	defer func() { r.must(subreaper(false)) }()
	name, taken := r.consoleSocket()
	r.ok("create", "--console-socket", name, r.id)
	s := taken()
	pid := r.state(r.id).Pid
	s.size(12, 34) // an engine sets it before start
	r.ok("start", r.id)
	name, taken = r.consoleSocket()
	file := filepath.Join(r.dir, "exec.pid")
	r.ok(append([]string{"exec", "-d", "-t", "--console-socket", name, "--pid-file", file, r.id}, sh(dialogue)...)...)
	of := taken()
	of.shows("ready\r\n")
	of.size(55, 66)
	of.keys("x\r")
	of.shows("size 55 66")
	of.keys("bye\r")
	var deputy int
	_, err := fmt.Sscan(r.read(file), &deputy)
	r.must(err)
	if code := r.wait4(deputy); code != 9 {
		t.Errorf("exec: exit code %d, want 9", code)
	}
	s.converse(12, 34)
	if code := r.wait4(pid); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
	r.ok("delete", r.id)
}

// TestTerminalOutputIsWhole: also where the last one who has the terminal goes
// at once.
func TestTerminalOutputIsWhole(t *testing.T) {
	r := newRig(t, sh("seq 20000; echo the end")...)
	r.spec.Process.Terminal = true
	r.save()
	s, wait := r.at("run", r.id)
	s.shows("\n10000\r\n")
	s.shows("\n20000\r\nthe end\r\n")
	if code := wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
