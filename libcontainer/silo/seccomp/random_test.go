package seccomp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/bpf"
)

// The generator draws from small sets, so that rules meet each other and the
// calls that are special somewhere.
var (
	poolNames = strings.Fields("read write open getcwd clone clone3 socket accept send socketcall ipc semop shmget msgctl " +
		"personality ioctl execve rt_sigaction waitid cacheflush set_tls mmap mmap2 _llseek openat2 fchmodat2 mseal " +
		"restart_syscall setup io_setup recvmmsg uname renameat riscv_flush_icache no_such_call")
	poolValues = []uint64{0, 1, 2, 3, 40, 5, 0xffffffff, 0x100000000, 0x100000001, 0x80000000, 0x7e020000, ^uint64(0), ^uint64(0) - 1, 0xffffffff00000000}
	poolOps    = []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual}
	poolActions = []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillThread, specs.ActKillProcess,
		specs.ActTrap, specs.ActTrace, specs.ActLog, specs.ActNotify}
	poolArches = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM, specs.ArchPPC64LE,
		specs.ArchRISCV64, specs.ArchS390X, specs.ArchS390, specs.ArchMIPS}
	goarches = map[string]specs.Arch{"amd64": specs.ArchX86_64, "386": specs.ArchX86, "arm64": specs.ArchAARCH64, "arm": specs.ArchARM,
		"ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64, "s390x": specs.ArchS390X}
	goarchNames = []string{"amd64", "386", "arm64", "arm", "ppc64le", "riscv64", "s390x"}
)

// dice are where the generator's choices come from: a random source or a
// fuzzer's bytes.
type dice func(n int) int

func pick[T any](d dice, from []T) T { return from[d(len(from))] }

func randomProfile(d dice) (*specs.LinuxSeccomp, string) {
	s := new(specs.LinuxSeccomp)
	for s.DefaultAction == "" || s.DefaultAction == specs.ActNotify {
		if s.DefaultAction = pick(d, poolActions); s.DefaultAction == specs.ActNotify {
			s.DefaultAction = specs.ActErrno
		}
	}
	s.DefaultErrnoRet = randomErrno(d, s.DefaultAction)
	for range d(4) {
		s.Architectures = append(s.Architectures, pick(d, poolArches))
	}
	for range d(12) {
		c := specs.LinuxSyscall{Action: pick(d, poolActions)}
		c.ErrnoRet = randomErrno(d, c.Action)
		for range 1 + d(4) {
			name := pick(d, poolNames)
			if name == "write" && c.Action == specs.ActNotify {
				name = "read"
			}
			c.Names = append(c.Names, name)
		}
		if d(3) > 0 {
			for range 1 + d(3) {
				a := specs.LinuxSeccompArg{Index: uint(d(3)), Value: pick(d, poolValues), Op: pick(d, poolOps)}
				if a.Op == specs.OpMaskedEqual {
					a.ValueTwo = pick(d, poolValues)
				}
				c.Args = append(c.Args, a)
			}
		}
		s.Syscalls = append(s.Syscalls, c)
	}
	return s, pick(d, goarchNames)
}

func randomErrno(d dice, a specs.LinuxSeccompAction) *uint {
	if (a == specs.ActErrno || a == specs.ActTrace) && d(2) == 1 {
		v := uint([]int{0, 1, 13, 38, 4095}[d(5)])
		return &v
	}
	return nil
}

// compare checks a program against the model on calls that matter to s.
func compareWithModel(t testing.TB, s *specs.LinuxSeccomp, goarch string, f *Filter, d dice, tries int) {
	t.Helper()
	m := newModel(s, goarches[goarch])
	var values []uint64
	for _, c := range s.Syscalls {
		for _, a := range c.Args {
			values = append(values, a.Value, a.Value+1, a.Value-1, a.ValueTwo, a.Value^1<<32, a.Value|a.ValueTwo)
		}
	}
	values = append(values, poolValues...)
	values = append(values, 6, 9, 11, 13, 14, 20)
	for range tries {
		a := pick(d, modelArches)
		if d(8) > 0 { // mostly an architecture of the profile
			a = modelArches[d(3)]
			for _, b := range modelArches {
				if b.name == m.arches[d(len(m.arches))] {
					a = b
				}
			}
		}
		c := bpf.Call{Arch: a.audit, BigEndian: a.big}
		switch d(8) {
		case 0:
			c.Number = uint32(d(600))
		case 1:
			c.Number = []uint32{0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 1000, 0xeffff, 0xf0000, 0xf0007, 0xf0008}[d(11)]
		default:
			if row := lookup(pick(d, poolNames)); row >= 0 && modelNumber(a.column, row) >= 0 {
				c.Number = uint32(modelNumber(a.column, row))
			}
		}
		if a.x32 && d(8) > 0 {
			c.Number |= 0x40000000
		}
		for i := range c.Args {
			c.Args[i] = pick(d, values)
		}
		got, _, err := bpf.Run(f.Program, c)
		if err != nil {
			t.Fatal(err)
		}
		if want := m.answer(c); got != want {
			t.Fatalf("%s: call %#x of %s with %#x: program says %#x, model %#x\n%s", goarch, c.Number, a.name, c.Args, got, want, describe(s))
		}
	}
}

func describe(s *specs.LinuxSeccomp) string {
	var b strings.Builder
	fmt.Fprintf(&b, "default %s %v, arches %v\n", s.DefaultAction, errnoText(s.DefaultErrnoRet), s.Architectures)
	for _, c := range s.Syscalls {
		fmt.Fprintf(&b, "%v %s %v %+v\n", c.Names, c.Action, errnoText(c.ErrnoRet), c.Args)
	}
	return b.String()
}

func errnoText(e *uint) any {
	if e == nil {
		return "-"
	}
	return *e
}

func checkRandom(t testing.TB, d dice, tries int) (compiled bool) {
	s, goarch := randomProfile(d)
	f, _, err := Compile(s, goarch)
	if err != nil {
		if !strings.Contains(err.Error(), "has another action") {
			t.Fatalf("%v\n%s", err, describe(s))
		}
		return false
	}
	bpf.Verify(t, f.Program)
	compareWithModel(t, s, goarch, f, d, tries)
	return true
}

func TestRandomProfilesAnswerAsModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	profiles := 1500
	if testing.Short() {
		profiles = 200
	}
	compiled := 0
	for range profiles {
		if checkRandom(t, r.IntN, 60) {
			compiled++
		}
	}
	if compiled < profiles/2 {
		t.Fatalf("only %d of %d random profiles compile", compiled, profiles)
	}
}

func FuzzCompile(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		data := make([]byte, 200)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		checkRandom(t, func(n int) int {
			if len(data) == 0 {
				return 0
			}
			v := int(data[at%len(data)]) + at/len(data)
			at++
			return v % n
		}, 40)
	})
}
