package seccomp

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/silo/seccomp"
	"wrun/tests/bpf"
)

// tried are calls that every kernel answers at once and that change nothing
// but the process that makes them.
var tried = []struct {
	name   string
	number uintptr
	args   [2]uintptr
}{
	{"uname(NULL)", unix.SYS_UNAME, [2]uintptr{}},
	{"unshare(0)", unix.SYS_UNSHARE, [2]uintptr{}},
	{"setns(-1)", unix.SYS_SETNS, [2]uintptr{^uintptr(0)}},
	{"clone3(NULL, 0)", unix.SYS_CLONE3, [2]uintptr{}},
	{"keyctl(-1)", unix.SYS_KEYCTL, [2]uintptr{^uintptr(0)}},
	{"socket(AF_UNIX, -1)", unix.SYS_SOCKET, [2]uintptr{unix.AF_UNIX, ^uintptr(0)}},
	{"socket(AF_VSOCK, -1)", unix.SYS_SOCKET, [2]uintptr{unix.AF_VSOCK, ^uintptr(0)}},
	{"personality(8)", unix.SYS_PERSONALITY, [2]uintptr{8}},
	{"personality(9)", unix.SYS_PERSONALITY, [2]uintptr{9}},
	{"personality(-1)", unix.SYS_PERSONALITY, [2]uintptr{0xffffffff}},
	{"600", 600, [2]uintptr{}},
}

const childVariable = "WRUN_ENGINES_CHILD"

// TestMain makes the test's binary its own child, which loads the program of
// the variable and tells what each call answers.
func TestMain(m *testing.M) {
	if program, child := os.LookupEnv(childVariable); child {
		fmt.Print(loadAndTry(program))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func loadAndTry(program string) string {
	runtime.LockOSThread()
	var f seccomp.Filter
	if err := json.Unmarshal([]byte(program), &f); err != nil {
		return err.Error()
	}
	if len(f.Program) > 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err.Error()
		}
		prog := unix.SockFprog{Len: uint16(len(f.Program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&f.Program[0]))}
		if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(f.Flags), uintptr(unsafe.Pointer(&prog))); errno != 0 {
			return "load: " + errno.Error()
		}
	}
	var out strings.Builder
	for _, c := range tried {
		_, _, errno := unix.RawSyscall(c.number, c.args[0], c.args[1], 0)
		fmt.Fprintf(&out, "%d ", errno)
	}
	return out.String()
}

// TestKernelTakesThem loads the programs for this machine: a denied call gets
// the errno that libseccomp's program answers, an allowed one the kernel's.
func TestKernelTakesThem(t *testing.T) {
	l := bpf.FindLibseccomp(t)
	child := func(f *seccomp.Filter) []string {
		t.Helper()
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+string(data))
		out, err := cmd.Output()
		if errnos := strings.Fields(string(out)); err == nil && len(errnos) == len(tried) {
			return errnos
		}
		t.Fatalf("%v: %s", err, out)
		return nil
	}
	free := child(&seccomp.Filter{})
	loaded := 0
	for _, p := range profiles(t) {
		if p.goarch != runtime.GOARCH {
			continue
		}
		loaded++
		t.Run(p.name, func(t *testing.T) {
			f, _, err := seccomp.Compile(p.filter, p.goarch)
			if err != nil {
				t.Fatal(err)
			}
			o := newOracle(t, l, p, true)
			allowed, denied := 0, 0
			errnos := child(f)
			for i, c := range tried {
				a := conventions[0]
				if p.goarch == "arm64" {
					a = conventions[3]
				}
				want := free[i]
				answer := o.answer(t, a, bpf.Call{Number: uint32(c.number), Arch: a.audit, Args: [6]uint64{uint64(c.args[0]), uint64(c.args[1])}})
				if answer&0xffff0000 == 0x00050000 {
					want = fmt.Sprint(answer & 0xffff)
				}
				if want == free[i] {
					allowed++
				} else {
					denied++
				}
				if errnos[i] != want {
					t.Errorf("%s has errno %s, want %s; without a filter %s", c.name, errnos[i], want, free[i])
				}
			}
			if allowed < 3 || denied < 2 {
				t.Errorf("%d calls allowed, %d denied: nothing is shown", allowed, denied)
			}
		})
	}
	if loaded == 0 {
		t.Skip("the engines' profiles are translated for x86-64 and arm64")
	}
}
