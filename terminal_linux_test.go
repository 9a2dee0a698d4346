package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// container makes a bundle whose program is args, and names a state root and an
// id. What a failed test leaves is removed.
func container(t *testing.T, terminal bool, args ...string) (dir, root, id string) {
	t.Helper()
	if reason := noSilo(); reason != "" {
		t.Skip("containers cannot be run here: " + reason)
	}
	dir, root, id = t.TempDir(), filepath.Join(t.TempDir(), "state"), fmt.Sprintf("wrun-test-%d-%s", os.Getpid(), t.Name())
	if err := writeBundle(dir, args); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeContainers(t, root) })
	if !terminal {
		return dir, root, id
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	config["process"].(map[string]any)["terminal"] = true
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, root, id
}

// TestTerminalLosesNothing: the end of a program's output is written although
// the program has ended by then. More than a pty holds goes through, and "\n"
// stays "\n".
func TestTerminalLosesNothing(t *testing.T) {
	dir, root, id := container(t, true, "seq", "1", "30000")
	var want strings.Builder
	for i := 1; i <= 30000; i++ {
		want.WriteString(strconv.Itoa(i) + "\n")
	}
	for range 10 {
		cmd := exec.Command("wrun", "--root", root, "run", "--bundle", dir, id)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		if string(out) != want.String() {
			t.Fatalf("%d bytes of output, want %d; they end in %q", len(out), want.Len(), out[max(0, len(out)-20):])
		}
	}
}

// TestTerminalInput: what wrun reads reaches the program, and the program's
// exit code is wrun's.
func TestTerminalInput(t *testing.T) {
	dir, root, id := container(t, true, "sh", "-c", "read line; echo got:$line; test -t 0 && test -t 1 && test -t 2 && exit 5")
	cmd := exec.Command("wrun", "--root", root, "run", "--bundle", dir, id)
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d, want 5 (%v)", code, err)
	}
	if !strings.Contains(string(out), "got:hello\n") {
		t.Errorf("output %q", out)
	}
}

// TestTerminalSize: the program's terminal has the size of wrun's and follows
// it; afterwards wrun's has its modes back.
func TestTerminalSize(t *testing.T) {
	dir, root, id := container(t, true, "sh", "-c", `trap 'stty size; exit 3' WINCH; stty size; while :; do sleep 0.05; done`)
	master, slave := openPty(t)
	resize := func(rows, columns uint16) {
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
			t.Fatal(err)
		}
	}
	resize(33, 99)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("wrun", "--root", root, "run", "--bundle", dir, id)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expect(t, master, "33 99\r\n")
	resize(44, 111) // the kernel tells wrun by SIGWINCH
	expect(t, master, "44 111\r\n")
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("terminal modes %+v, before %+v", after, before)
	}
}

// TestExecTerminal: exec ends with its process, though a child of that still
// holds the terminal.
func TestExecTerminal(t *testing.T) {
	dir, root, id := container(t, false, "sleep", "1000")
	// No pipes: the container would keep them open.
	if err := exec.Command("wrun", "--root", root, "run", "-d", "-b", dir, id).Run(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	cmd := exec.Command("wrun", "--root", root, "exec", "-t", id, "sh", "-c", "trap '' HUP; sleep 100 & echo done; exit 4")
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 4 || string(out) != "done\n" {
		t.Errorf("exit code %d, output %q, %v; want 4 and done", code, out, err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("exec took %v: it waited for the child", took)
	}
}

// TestSignalsAreForwarded to a program that wrun waits for, without a terminal.
func TestSignalsAreForwarded(t *testing.T) {
	dir, root, id := container(t, false, "sh", "-c", `trap 'echo usr1; exit 9' USR1; echo ready; while :; do sleep 0.05; done`)
	cmd := exec.Command("wrun", "--root", root, "run", "--bundle", dir, id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expect(t, out.(*os.File), "ready\n")
	cmd.Process.Signal(syscall.SIGUSR1)
	expect(t, out.(*os.File), "usr1\n")
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
}

// TestConsoleSocket: a detached process's terminal goes to who asked for it.
func TestConsoleSocket(t *testing.T) {
	dir, root, id := container(t, true, "sh", "-c", "read line; echo got:$line")
	path := filepath.Join(t.TempDir(), "console")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	listener.SetDeadline(time.Now().Add(10 * time.Second))
	cmd := exec.Command("wrun", "--root", root, "run", "--detach", "--console-socket", path, "--bundle", dir, id)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	conn, err := listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	socket, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	fd, err := receiveFD(int(socket.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, true)
	master := os.NewFile(uintptr(fd), "master")
	defer master.Close()
	io.WriteString(master, "hello\n")
	expect(t, master, "got:hello")

	// Without a socket there is nobody to give the terminal to.
	out, err := exec.Command("wrun", "--root", root, "create", "--bundle", dir, id+"-2").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot allocate tty if wrun will detach without setting console socket") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPreserveFDs: descriptors are the caller's or an error, and LISTEN_FDS
// adds to them.
func TestPreserveFDs(t *testing.T) {
	dir, root, id := container(t, false, "sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID")
	run := func(script string) string {
		file := filepath.Join(dir, "hello")
		if err := os.WriteFile(file, []byte("hello\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command("sh", "-c", script, "sh", file, root, dir, id).CombinedOutput()
		return string(out)
	}
	if out := run(`exec wrun --root $2 run --preserve-fds 1 --bundle $3 $4 3<$1`); out != "hello\n\n" {
		t.Errorf("--preserve-fds 1: %q", out)
	}
	if out := run(`exec wrun --root $2 run --preserve-fds 2 --bundle $3 $4 3<$1`); !strings.Contains(out, "preserve descriptor 4 (of 2): bad file descriptor") {
		t.Errorf("a descriptor that nobody gave: %q", out)
	}
	if out := run(`LISTEN_FDS=1 LISTEN_PID=$$ exec wrun --root $2 run --bundle $3 $4 3<$1`); out != "hello\n1 1\n" {
		t.Errorf("LISTEN_FDS=1: %q", out)
	}
}

func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// expect reads until text has come, for 10 s at most.
func expect(t *testing.T, from *os.File, text string) {
	t.Helper()
	from.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got []byte
	buf := make([]byte, 1024)
	for !bytes.Contains(got, []byte(text)) {
		n, err := from.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("waiting for %q: %v; got %q", text, err, got)
		}
	}
}
