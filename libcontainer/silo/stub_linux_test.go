package silo

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/silo/seccomp"
)

// reportAt is the descriptor the stub of these tests reports to: the first
// that os/exec passes on.
const reportAt = 3

// runStub executes a stub as the walk does: the program's path first, then its
// argv. It returns the output and the error record, if there was one.
func runStub(t *testing.T, filter []byte, argv ...string) (out string, record []uint32, err error) {
	t.Helper()
	fd, err := makeStub(reportAt, filter, 0)
	if err != nil {
		t.Fatal(err)
	}
	return execStub(t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), argv...)
}

func execStub(t *testing.T, stub string, argv ...string) (out string, record []uint32, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(stub)
	cmd.Args, cmd.Env = argv, []string{"A=b", "PATH=/bin:/usr/bin"}
	cmd.ExtraFiles = []*os.File{w}
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer killer.Stop()
	var b [recordSize]byte
	if n, _ := r.Read(b[:]); n == recordSize {
		record = []uint32{binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:])}
	} else if n != 0 {
		t.Errorf("a record of %d bytes", n)
	}
	err = cmd.Wait()
	return text.String(), record, err
}

func TestStubExecutes(t *testing.T) {
	out, record, err := runStub(t, nil, "/bin/sh", "zero", "-c", `[ -e /proc/$$/fd/3 ] || echo "$0|$1|$A|closed"`, "one", "two words")
	if err != nil || record != nil {
		t.Errorf("%v, record %v", err, record)
	}
	if want := "one|two words|b|closed\n"; out != want {
		t.Errorf("output %q, want %q", out, want)
	}
	out, _, err = runStub(t, nil, "/bin/sh", "argv0", "-c", `tr '\0' '|' </proc/$$/cmdline`)
	if err != nil || !strings.HasPrefix(out, "argv0|-c|") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestStubReports(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for want, program := range map[unix.Errno]string{
		unix.ENOENT:  filepath.Join(dir, "none"),
		unix.EACCES:  write("text", "text", 0o644),
		unix.ENOEXEC: write("junk", "junk", 0o755),
		unix.ENOTDIR: filepath.Join(write("file", "", 0o644), "x"),
	} {
		out, record, err := runStub(t, nil, program, "x")
		if len(record) != 2 || record[0] != codeStub || unix.Errno(record[1]) != want {
			t.Errorf("%s: record %v, want %v", program, record, want)
		}
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != childFailed || out != "" {
			t.Errorf("%s: %v %q", program, err, out)
		}
	}
}

// TestStubFilters: the filter is loaded before the program, and the program
// cannot be executed where it forbids that.
func TestStubFilters(t *testing.T) {
	filter := func(action specs.LinuxSeccompAction, names ...string) []byte {
		f, _, err := seccomp.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: names, Action: action}}}, runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		return encode(f.Program)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: a filter needs CAP_SYS_ADMIN or no_new_privs, which os/exec cannot set")
	}
	out, record, err := runStub(t, filter(specs.ActErrno, "mkdir", "mkdirat"), "/bin/sh", "sh", "-c", "grep ^Seccomp: /proc/self/status; mkdir /tmp/x 2>&1")
	if record != nil || err == nil || !strings.Contains(out, "Seccomp:\t2") || !strings.Contains(out, "Operation not permitted") {
		t.Errorf("%q, %v, %v", out, record, err)
	}
	_, record, _ = runStub(t, filter(specs.ActErrno, "execve"), "/bin/true", "true")
	if len(record) != 2 || unix.Errno(record[1]) != unix.EPERM {
		t.Errorf("execve denied: record %v", record)
	}
	_, record, _ = runStub(t, make([]byte, 8), "/bin/true", "true")
	if len(record) != 2 || unix.Errno(record[1]) != unix.EINVAL {
		t.Errorf("a filter that is none: record %v", record)
	}
}

// TestStubCalledByOthers: a program that is a script for /proc/self/exe has
// the stub executed once more, without a report descriptor.
func TestStubCalledByOthers(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/proc/self/exe\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, record, err := runStub(t, nil, script, "x")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != childFailed || record != nil || out != "" {
		t.Errorf("%q %v %v", out, record, err)
	}
}

func TestStubIsSealed(t *testing.T) {
	fd, err := makeStub(reportAt, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Pwrite(fd, []byte{0}, 0); err != unix.EPERM {
		t.Errorf("write: %v", err)
	}
	if err := unix.Ftruncate(fd, 0); err != unix.EPERM {
		t.Errorf("truncate: %v", err)
	}
	again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		if _, err := unix.Pwrite(again, []byte{0}, 0); err != unix.EPERM {
			t.Errorf("write after a new open: %v", err)
		}
		unix.Close(again)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("not close-on-exec: %v", err)
	}
}
