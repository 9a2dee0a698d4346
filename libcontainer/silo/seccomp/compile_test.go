package seccomp

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/bpf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func uintp(v uint) *uint { return &v }

func rules(rules ...specs.LinuxSyscall) []specs.LinuxSyscall { return rules }

func on(name string, action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: action, Args: args}
}

func arg(index uint, op specs.LinuxSeccompOperator, value uint64, two ...uint64) specs.LinuxSeccompArg {
	a := specs.LinuxSeccompArg{Index: index, Op: op, Value: value}
	if len(two) > 0 {
		a.ValueTwo = two[0]
	}
	return a
}

// small are profiles one feature each; their programs are in testdata.
var small = map[string]*specs.LinuxSeccomp{
	"errno": {DefaultAction: specs.ActAllow, Syscalls: rules(on("getcwd", specs.ActErrno))},
	"allow-list": {DefaultAction: specs.ActErrno, Syscalls: rules(
		specs.LinuxSyscall{Names: []string{"read", "write", "exit_group", "openat2"}, Action: specs.ActAllow})},
	"kill-default": {DefaultAction: specs.ActKillProcess, Syscalls: rules(on("read", specs.ActAllow))},
	"operators": {DefaultAction: specs.ActAllow, Syscalls: rules(
		on("dup", specs.ActErrno, arg(0, specs.OpEqualTo, 1<<40|7)), on("dup2", specs.ActErrno, arg(0, specs.OpNotEqual, 7)),
		on("lseek", specs.ActErrno, arg(1, specs.OpLessThan, 1<<33)), on("read", specs.ActErrno, arg(2, specs.OpLessEqual, 7)),
		on("write", specs.ActErrno, arg(2, specs.OpGreaterThan, 7)), on("ioctl", specs.ActErrno, arg(1, specs.OpGreaterEqual, 1<<32)),
		on("clone", specs.ActErrno, arg(0, specs.OpMaskedEqual, 0x7e020000, 0)))},
	"and": {DefaultAction: specs.ActAllow, Syscalls: rules(
		on("socket", specs.ActTrap, arg(0, specs.OpEqualTo, 2), arg(1, specs.OpNotEqual, 1)))},
	"same-argument": {DefaultAction: specs.ActAllow, Syscalls: rules(
		on("socket", specs.ActTrap, arg(0, specs.OpEqualTo, 2), arg(0, specs.OpEqualTo, 3), arg(1, specs.OpEqualTo, 9)))},
	"x86-family": {DefaultAction: specs.ActErrno, DefaultErrnoRet: uintp(13), Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32},
		Syscalls: rules(on("accept", specs.ActAllow), on("execve", specs.ActAllow), on("personality", specs.ActLog, arg(0, specs.OpEqualTo, 0xffffffff)))},
	"arm-family": {DefaultAction: specs.ActTrace, Architectures: []specs.Arch{specs.ArchAARCH64, specs.ArchARM},
		Syscalls: rules(on("cacheflush", specs.ActAllow), on("openat", specs.ActNotify))},
}

func TestGoldenPrograms(t *testing.T) {
	for name, s := range small {
		t.Run(name, func(t *testing.T) {
			goarch := "amd64"
			if strings.HasPrefix(name, "arm") {
				goarch = "arm64"
			}
			f, _, err := Compile(s, goarch)
			if err != nil {
				t.Fatal(err)
			}
			got := listing(f.Program)
			path := filepath.Join("testdata", name+".bpf")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s has changed (-update accepts):\n%s", path, got)
			}
		})
	}
}

func listing(program []Instruction) string {
	var b strings.Builder
	for at, i := range program {
		fmt.Fprintf(&b, "%3d: ", at)
		switch i.Code {
		case opLoad:
			fmt.Fprintf(&b, "ld  [%d]\n", i.K)
		case opAnd:
			fmt.Fprintf(&b, "and %#x\n", i.K)
		case opJump:
			fmt.Fprintf(&b, "ja  %d\n", at+1+int(i.K))
		case opReturn:
			fmt.Fprintf(&b, "ret %#x\n", i.K)
		default:
			op := map[uint16]string{opEqual: "jeq", opAbove: "jgt", opAtMin: "jge"}[i.Code]
			fmt.Fprintf(&b, "%s %#x ? %d : %d\n", op, i.K, at+1+int(i.Jt), at+1+int(i.Jf))
		}
	}
	return b.String()
}

// TestEveryCall asks for every number of every architecture, with arguments
// around all the values the profile compares with.
func TestEveryCall(t *testing.T) {
	all := map[string]*specs.LinuxSeccomp{"engine": engineProfile(t)}
	for name, s := range small {
		all[name] = s
	}
	for name, s := range all {
		for _, goarch := range goarchNames {
			if name == "engine" && goarch != "amd64" && goarch != "arm64" {
				continue
			}
			f, _, err := Compile(s, goarch)
			if err != nil {
				t.Fatal(err)
			}
			bpf.Verify(t, f.Program)
			m := newModel(s, goarches[goarch])
			args := interesting(s)
			for _, a := range modelArches {
				if name == "engine" && !slices.Contains(m.arches, a.name) && a.audit != auditX86_64 {
					continue // one answer for all, which the small profiles ask for
				}
				numbers := []uint32{0xf0001, 0xf0002, 0xf0005, 0x3fffffff, 0x7fffffff, 0xffffffff}
				for n := range uint32(600) {
					numbers = append(numbers, n)
				}
				special := conditioned(s, a.column)
				for _, n := range numbers {
					tries := args
					if !special[n] {
						tries = args[:1]
					}
					for _, v := range tries {
						c := bpf.Call{Number: n, Arch: a.audit, Args: v, BigEndian: a.big}
						if a.x32 {
							c.Number |= x32Bit
						}
						got, _, err := bpf.Run(f.Program, c)
						if err != nil {
							t.Fatal(err)
						}
						if want := m.answer(c); got != want {
							t.Fatalf("%s on %s: call %#x of %s with %#x: %#x, want %#x", name, goarch, c.Number, a.name, c.Args, got, want)
						}
					}
				}
			}
		}
	}
}

func interesting(s *specs.LinuxSeccomp) (out [][6]uint64) {
	out = append(out, [6]uint64{})
	for _, c := range s.Syscalls {
		for i := range c.Args {
			for _, v := range []uint64{c.Args[i].Value, c.Args[i].ValueTwo} {
				for _, w := range []uint64{v - 1, v, v + 1, v + 1<<32, v ^ 1<<32, uint64(uint32(v)), ^v} {
					var all [6]uint64
					for _, other := range c.Args {
						all[other.Index] = other.Value
					}
					one := all
					one[c.Args[i].Index] = w
					out = append(out, one)
				}
			}
		}
	}
	return out
}

// conditioned are the numbers whose answer depends on arguments.
func conditioned(s *specs.LinuxSeccomp, column int) map[uint32]bool {
	numbers := map[uint32]bool{socketcallNumber: true, ipcNumber: true}
	for _, c := range s.Syscalls {
		for _, name := range c.Names {
			if n := modelNumber(column, lookup(name)); n >= 0 && len(c.Args) > 0 {
				numbers[uint32(n)] = true
			}
		}
	}
	return numbers
}

// TestFarJumps compiles so many rules that branches must go through JA.
func TestFarJumps(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32}}
	for i := range 120 {
		s.Syscalls = append(s.Syscalls, on(allNames()[4*i], specs.ActErrno, arg(0, specs.OpGreaterThan, uint64(i)<<30), arg(2, specs.OpLessThan, 9)))
		s.Syscalls[i].ErrnoRet = uintp(uint(i))
	}
	f, _, err := Compile(s, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	bpf.Verify(t, f.Program)
	if !slices.ContainsFunc(f.Program, func(i Instruction) bool { return i.Code == opJump }) {
		t.Fatalf("no JA in %d instructions", len(f.Program))
	}
	m := newModel(s, specs.ArchX86_64)
	for _, a := range modelArches[:3] {
		for n := range uint32(600) {
			for _, v := range [][6]uint64{{}, {1 << 40}, {1 << 40, 0, 10}, {1 << 31, 0, 1 << 32}} {
				c := bpf.Call{Number: n, Arch: a.audit, Args: v}
				if a.x32 {
					c.Number |= x32Bit
				}
				if got, _, err := bpf.Run(f.Program, c); err != nil || got != m.answer(c) {
					t.Fatalf("call %#x with %#x: %#x, %v, want %#x", c.Number, v, got, err, m.answer(c))
				}
			}
		}
	}
}

func TestHeadersAgree(t *testing.T) {
	const dir = "/usr/include/x86_64-linux-gnu/asm/"
	define := regexp.MustCompile(`(?m)^#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)\)?$`)
	for column, file := range map[int]string{columnX86_64: "unistd_64.h", columnX86: "unistd_32.h", columnX32: "unistd_x32.h"} {
		header, err := os.ReadFile(dir + file)
		if err != nil {
			t.Skipf("the kernel's headers are not installed: %v", err)
		}
		found := define.FindAllStringSubmatch(string(header), -1)
		if len(found) < 300 {
			t.Fatalf("%s: only %d numbers found", file, len(found))
		}
		for _, m := range found {
			want, _ := strconv.Atoi(m[2])
			if row := lookup(m[1]); m[1] != "syscalls" && (row < 0 || modelNumber(column, row) != want) {
				t.Errorf("%s: %s is %d", file, m[1], want)
			}
		}
	}
}

func TestTable(t *testing.T) {
	if !slices.IsSorted(allNames()) || int(nameEnds[nameCount]) != len(names) {
		t.Fatal("names are not in order")
	}
	for i, name := range allNames() {
		if lookup(name) != i {
			t.Fatalf("%s is found at %d, not %d", name, lookup(name), i)
		}
	}
	for _, name := range []string{"", "a", "zzz", "rea", "readd"} {
		if lookup(name) != -1 {
			t.Fatalf("%q is found", name)
		}
	}
	for i, a := range archTable {
		if a.column != i {
			t.Fatalf("%s has column %d at %d", a.name, a.column, i)
		}
		for name, want := range map[string]int{"fchmodat2": 452, "map_shadow_stack": 453, "mseal": 462, "setxattrat": 463, "open_tree_attr": 467, "file_getattr": 468} {
			if got := modelNumber(i, lookup(name)); got != want {
				t.Errorf("%s of %s is %d, want %d", name, a.name, got, want)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		column int
		want   int
	}{
		{"getcwd", columnX86_64, 79}, {"getcwd", columnX86, 183}, {"execve", columnX32, 520}, {"getcwd", columnAARCH64, 17},
		{"set_tls", columnARM, 0xf0005}, {"accept", columnX86, -1}, {"fcntl", columnRISCV64, 25}, {"mmap", columnAARCH64, 222},
		{"getcwd", columnPPC64LE, 182}, {"getcwd", columnS390X, 183}, {"getuid32", columnS390, 199},
	} {
		if got := modelNumber(tt.column, lookup(tt.name)); got != tt.want {
			t.Errorf("%s of %s is %d, want %d", tt.name, archTable[tt.column].name, got, tt.want)
		}
	}
	for _, name := range strings.Fields("socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown " +
		"setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg semop semget semctl semtimedop msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl") {
		if n, _ := multiplexer(name); n == 0 || lookup(name) < 0 {
			t.Errorf("%s is not known to be multiplexed", name)
		}
	}
}
