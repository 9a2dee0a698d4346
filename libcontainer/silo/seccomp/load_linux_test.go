package seccomp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const childVariable = "WRUN_SECCOMP_TEST_CHILD"

// TestMain makes the test's binary its own child, which loads a filter and
// then does what the profile is about.
func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		fmt.Print(child(name))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// uname stands for a call every program makes and nothing depends on.
var loaded = map[string]*specs.LinuxSeccomp{
	"errno":        {DefaultAction: specs.ActAllow, Syscalls: rules(on("getcwd", specs.ActErrno), on("uname", specs.ActErrno))},
	"allow":        {DefaultAction: specs.ActAllow, Syscalls: rules(on("reboot", specs.ActKillProcess))},
	"kill":         {DefaultAction: specs.ActAllow, Syscalls: rules(on("uname", specs.ActKill))},
	"kill process": {DefaultAction: specs.ActAllow, Syscalls: rules(on("uname", specs.ActKillProcess))},
	"trap":         {DefaultAction: specs.ActAllow, Syscalls: rules(on("uname", specs.ActTrap))},
	"log": {DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow},
		Syscalls: rules(on("uname", specs.ActLog))},
	// No tracer: ENOSYS.
	"trace": {DefaultAction: specs.ActAllow, Syscalls: rules(on("uname", specs.ActTrace))},
	"arguments": {DefaultAction: specs.ActAllow, Syscalls: rules(
		specs.LinuxSyscall{Names: []string{"dup3"}, Action: specs.ActErrno, ErrnoRet: uintp(99),
			Args: []specs.LinuxSeccompArg{arg(1, specs.OpGreaterThan, 1<<33), arg(2, specs.OpMaskedEqual, 0xf0, 0x30)}})},
	"x86":    {DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86}, Syscalls: rules(on("getcwd", specs.ActErrno))},
	"no x86": {DefaultAction: specs.ActAllow},
}

// upToOpenat2 allows all calls until then but one.
func upToOpenat2() *specs.LinuxSeccomp {
	var old []string
	for i, name := range allNames() {
		if n := modelNumber(nativeColumn(runtime.GOARCH), i); n >= 0 && n <= 437 && name != "getcwd" {
			old = append(old, name)
		}
	}
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules(specs.LinuxSyscall{Names: old, Action: specs.ActAllow})}
}

func child(name string) string {
	runtime.LockOSThread()
	profile := loaded[name]
	switch name {
	case "newer":
		profile = upToOpenat2()
	case "engine":
		if err := os.Chdir(os.Getenv("WRUN_SECCOMP_TEST_DIR")); err != nil {
			return err.Error()
		}
		profile = engineProfile(&testing.T{})
	}
	f, _, err := Compile(profile, runtime.GOARCH)
	if err != nil {
		return err.Error()
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err.Error()
	}
	prog := unix.SockFprog{Len: uint16(len(f.Program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&f.Program[0]))}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(f.Flags), uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return "load: " + errno.Error()
	}
	buf := make([]byte, 4096)
	switch name {
	case "errno":
		_, _, errno := unix.RawSyscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
		return unix.ErrnoName(errno)
	case "arguments":
		var names []string
		for _, a := range [][2]uint64{{1<<33 + 1, 0x35}, {1 << 33, 0x35}, {1<<33 + 1, 0x25}} {
			_, _, errno := unix.RawSyscall(unix.SYS_DUP3, 999, uintptr(a[0]), uintptr(a[1]))
			names = append(names, unix.ErrnoName(errno))
		}
		return strings.Join(names, " ")
	case "newer":
		// 466 is young, 80 below the newest named but not allowed.
		_, _, young := unix.RawSyscall(466, 0, 0, 0)
		_, _, old := unix.RawSyscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0)
		return unix.ErrnoName(young) + " " + unix.ErrnoName(old)
	case "x86", "no x86":
		path := os.Getenv("WRUN_SECCOMP_TEST_DIR") + "/getcwd"
		return syscall.Exec(path, []string{path}, nil).Error()
	}
	// A single-threaded program inherits the filter.
	return syscall.Exec("/bin/uname", []string{"uname", "-s"}, []string{}).Error()
}

// getcwd32 is an i386 program that ends with the errno of getcwd(NULL, 0).
func getcwd32(t *testing.T) []byte {
	t.Helper()
	code := []byte{
		0xb8, 183, 0, 0, 0, // mov eax, getcwd
		0x31, 0xdb, 0x31, 0xc9, // xor ebx, ebx; xor ecx, ecx
		0xcd, 0x80,
		0x89, 0xc3, 0xf7, 0xdb, // mov ebx, eax; neg ebx
		0xb8, 1, 0, 0, 0, // mov eax, exit
		0xcd, 0x80,
	}
	const base, headers = 0x10000, 52 + 32
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 9))
	for _, v := range []any{uint16(2), uint16(3), uint32(1), uint32(base + headers), uint32(52), uint32(0), uint32(0),
		uint16(52), uint16(32), uint16(1), uint16(0), uint16(0), uint16(0), // program header:
		uint32(1), uint32(0), uint32(base), uint32(base), uint32(headers + len(code)), uint32(headers + len(code)), uint32(5), uint32(4096)} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return append(b.Bytes(), code...)
}

// TestKernelKnowsOtherArchitecture proves the architecture's number and the
// answer to an architecture the profile does not list.
func TestKernelKnowsOtherArchitecture(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("i386 programs run on amd64")
	}
	dir := t.TempDir()
	path := dir + "/getcwd"
	if err := os.WriteFile(path, getcwd32(t), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := exec.Command(path)
	if err := plain.Run(); plain.ProcessState == nil {
		t.Skipf("this kernel runs no i386 programs: %v", err)
	}
	if got := plain.ProcessState.ExitCode(); got != int(unix.ERANGE) {
		t.Fatalf("without a filter the program ends with %v", plain.ProcessState)
	}
	for name, want := range map[string]syscall.WaitStatus{"x86": 1 << 8, "no x86": syscall.WaitStatus(syscall.SIGSYS)} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+name, "WRUN_SECCOMP_TEST_DIR="+dir)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.Sys().(syscall.WaitStatus); got&^0x80 != want {
			t.Errorf("%s: ended with %v, want %#x; %s", name, cmd.ProcessState, want, out)
		}
	}
}

func TestKernelTakesFilters(t *testing.T) {
	for _, tt := range []struct {
		name, output string
		code         int
		signal       syscall.Signal
	}{
		{name: "errno", output: "EPERM"},
		{name: "allow", output: "Linux\n"},
		{name: "kill", signal: syscall.SIGSYS},
		{name: "kill process", signal: syscall.SIGSYS},
		{name: "trap", signal: syscall.SIGSYS},
		{name: "log", output: "Linux\n"},
		{name: "trace", code: 1},
		{name: "arguments", output: "EADDRNOTAVAIL EINVAL EINVAL"},
		{name: "newer", output: "ENOSYS EPERM"},
		{name: "engine", output: "Linux\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOARCH != "amd64" && (tt.name == "arguments" || tt.name == "engine") {
				t.Skip("written for amd64's 64-bit arguments and architectures")
			}
			dir, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+tt.name, "WRUN_SECCOMP_TEST_DIR="+dir)
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &stderr
			err = cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if tt.signal != 0 {
				if !status.Signaled() || status.Signal() != tt.signal {
					t.Fatalf("ended with %v, want %v; %s%s", cmd.ProcessState, tt.signal, out.String(), stderr.String())
				}
				return
			}
			if status.ExitStatus() != tt.code || out.String() != tt.output {
				t.Errorf("ended with %v and %q, want %d and %q; %s", cmd.ProcessState, out.String(), tt.code, tt.output, stderr.String())
			}
		})
	}
}
