package seccomp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// libseccomp is a program around the library, compiled for the test.
type libseccomp string

func findLibseccomp(t *testing.T) libseccomp {
	if runtime.GOARCH != "amd64" {
		t.Skip("the comparison is written for amd64")
	}
	bin := filepath.Join(t.TempDir(), "export")
	out, err := exec.Command("gcc", "-O1", "-o", bin, "testdata/libseccomp/export.c", "-lseccomp").CombinedOutput()
	if err != nil {
		t.Skipf("gcc with libseccomp-dev is not there: %v: %.200s", err, out)
	}
	return libseccomp(bin)
}

// compile returns nil where libseccomp refuses the rules.
func (l libseccomp) compile(t *testing.T, s *specs.LinuxSeccomp) []Instruction {
	t.Helper()
	var in strings.Builder
	fallback := modelAction(s.DefaultAction, s.DefaultErrnoRet)
	fmt.Fprintf(&in, "default %x\n", fallback)
	for _, a := range s.Architectures {
		fmt.Fprintf(&in, "arch %s\n", strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
	}
	ops := []specs.LinuxSeccompOperator{"", specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
	for _, c := range s.Syscalls {
		action := modelAction(c.Action, c.ErrnoRet)
		if action == fallback {
			continue
		}
		for _, name := range c.Names {
			if lookup(name) < 0 {
				continue
			}
			for _, args := range modelAlternatives(c.Args) {
				fmt.Fprintf(&in, "rule %x %s %x", action, name, len(args))
				for _, a := range args {
					fmt.Fprintf(&in, " %x %x %x %x", a.Index, slices.Index(ops, a.Op), a.Value, a.ValueTwo)
				}
				in.WriteByte('\n')
			}
		}
	}
	cmd := exec.Command(string(l))
	cmd.Stdin = strings.NewReader(in.String())
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState.ExitCode() == 3 {
			return nil
		}
		t.Fatalf("%v: %s\n%s", err, stderr.String(), in.String())
	}
	program := make([]Instruction, out.Len()/8)
	for i := range program {
		b := out.Bytes()[8*i:]
		program[i] = Instruction{binary.LittleEndian.Uint16(b), b[2], b[3], binary.LittleEndian.Uint32(b[4:])}
	}
	return program
}

// simplest keeps one rule for each call and one condition for each argument.
func simplest(s *specs.LinuxSeccomp) {
	seen := map[string]bool{}
	for i := range s.Syscalls {
		c := &s.Syscalls[i]
		c.Names = slices.DeleteFunc(c.Names, func(n string) bool {
			again := seen[n]
			seen[n] = true
			return again
		})
		index := map[uint]bool{}
		c.Args = slices.DeleteFunc(c.Args, func(a specs.LinuxSeccompArg) bool {
			again := index[a.Index]
			index[a.Index] = true
			return again
		})
	}
}

// TestAgreesWithLibseccomp runs both programs on the same calls. It stays
// where libseccomp 2.5.4 can be relied on: with conditions and more than one
// architecture it sometimes compares the architecture where it means the
// number, and several upper or lower bounds on one argument lose matches.
func TestAgreesWithLibseccomp(t *testing.T) {
	l := findLibseccomp(t)
	young := []string{"fchmodat2", "mseal", "setup", "riscv_flush_icache", "no_such_call"}
	muxed := func(name string) bool {
		n, _ := multiplexer(name)
		return n != 0 || name == "socketcall" || name == "ipc"
	}
	for _, tt := range []struct {
		name   string
		shape  func(d dice, s *specs.LinuxSeccomp)
		arches []specs.Arch // to ask about
	}{
		{"one rule for each call, all operators", func(d dice, s *specs.LinuxSeccomp) {
			s.Architectures = nil
			simplest(s)
		}, []specs.Arch{specs.ArchX86_64, specs.ArchX32, specs.ArchX86}},
		{"equality on several arguments, overlapping", func(d dice, s *specs.LinuxSeccomp) {
			s.Architectures = nil
			for i := range s.Syscalls {
				if args := s.Syscalls[i].Args; len(args) > 0 {
					s.Syscalls[i].Args = args[:1]
					args[0].Op, args[0].ValueTwo, args[0].Value = specs.OpEqualTo, 0, uint64(d(4))
				}
			}
		}, []specs.Arch{specs.ArchX86_64}},
		{"several architectures without conditions", func(d dice, s *specs.LinuxSeccomp) {
			s.Architectures = nil
			for range d(4) {
				s.Architectures = append(s.Architectures, pick(d, poolArches[:5]))
			}
			for i := range s.Syscalls {
				s.Syscalls[i].Args = nil
				s.Syscalls[i].Names = slices.DeleteFunc(s.Syscalls[i].Names, muxed)
			}
		}, poolArches[:5]},
		{"multiplexed calls", func(d dice, s *specs.LinuxSeccomp) {
			s.Architectures = []specs.Arch{specs.ArchX86}
			for i := range s.Syscalls {
				s.Syscalls[i].Args = nil
				s.Syscalls[i].Names = slices.DeleteFunc(s.Syscalls[i].Names, func(n string) bool { return !muxed(n) })
			}
		}, []specs.Arch{specs.ArchX86_64, specs.ArchX86}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			d := dice(r.IntN)
			agreed := 0
			for range 200 {
				s, _ := randomProfile(d)
				if s.DefaultAction == specs.ActErrno {
					noSuchCall := uint(enosys) // what hideNewer answers, which libseccomp does not know
					s.DefaultErrnoRet = &noSuchCall
				}
				for i := range s.Syscalls {
					s.Syscalls[i].Names = slices.DeleteFunc(s.Syscalls[i].Names, func(n string) bool { return slices.Contains(young, n) })
				}
				tt.shape(d, s)
				theirs := l.compile(t, s)
				f, _, err := Compile(s, "amd64")
				if err != nil || theirs == nil {
					if err != nil && theirs != nil {
						t.Fatalf("libseccomp takes what is refused here: %v\n%s", err, describe(s))
					}
					continue
				}
				agreed++
				sameAnswers(t, d, f.Program, theirs, tt.arches, 200, describe(s))
			}
			if agreed < 100 {
				t.Fatalf("only %d profiles compared", agreed)
			}
		})
	}
}

func sameAnswers(t *testing.T, d dice, ours, theirs []Instruction, arches []specs.Arch, tries int, about string) {
	t.Helper()
	for range tries {
		name := pick(d, arches)
		a := modelArches[slices.IndexFunc(modelArches, func(m modelArch) bool { return m.name == name })]
		c := call{arch: a.audit, number: uint32(d(600))}
		if row := lookup(pick(d, poolNames)); d(4) > 0 && row >= 0 && modelNumber(a.column, row) >= 0 {
			c.number = uint32(modelNumber(a.column, row))
		}
		if a.x32 {
			c.number |= x32Bit
		}
		for i := range c.args {
			if c.args[i] = uint64(d(24)); d(3) == 0 {
				c.args[i] = pick(d, poolValues)
			}
		}
		got, _, err := run(ours, c)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := run(theirs, c)
		if err != nil {
			t.Fatalf("libseccomp's program: %v", err)
		}
		if got != want {
			t.Fatalf("call %#x of %s with %#x: %#x here, %#x in libseccomp\n%s", c.number, a.name, c.args, got, want, about)
		}
	}
}

// TestEngineProfileAgreesWithLibseccomp compares the profile that matters most.
func TestEngineProfileAgreesWithLibseccomp(t *testing.T) {
	l := findLibseccomp(t)
	s := engineProfile(t)
	s.Architectures = nil
	theirs := l.compile(t, s)
	f, _, err := Compile(s, "amd64")
	if err != nil || theirs == nil {
		t.Fatal(err)
	}
	var mine, libs int
	for number := range uint32(451) {
		for _, arg := range []uint64{0, 1, 8, 40, 0x20000, 0x20008, 0xffffffff, 0x10000000, 1 << 40} {
			c := call{number: number, arch: auditX86_64, args: [6]uint64{arg}}
			got, n, err := run(f.Program, c)
			if err != nil {
				t.Fatal(err)
			}
			want, m, err := run(theirs, c)
			if err != nil {
				t.Fatal(err)
			}
			mine, libs = mine+n, libs+m
			if number == 450 { // hidden here: younger than the newest named
				want = retErrno | enosys
			}
			if got != want {
				t.Fatalf("call %d with %#x: %#x here, %#x in libseccomp", number, arg, got, want)
			}
		}
	}
	t.Logf("%d instructions, libseccomp %d; a call runs through %.1f, libseccomp %.1f", len(f.Program), len(theirs),
		float64(mine)/451/9, float64(libs)/451/9)
}
