package seccomp

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/bpf"
)

func findLibseccomp(t *testing.T) bpf.Libseccomp {
	if runtime.GOARCH != "amd64" {
		t.Skip("the comparison is written for amd64")
	}
	return bpf.FindLibseccomp(t)
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
				theirs := l.Compile(t, s, bpf.Filter{})
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

func sameAnswers(t *testing.T, d dice, ours []Instruction, theirs []bpf.Instruction, arches []specs.Arch, tries int, about string) {
	t.Helper()
	for range tries {
		name := pick(d, arches)
		a := modelArches[slices.IndexFunc(modelArches, func(m modelArch) bool { return m.name == name })]
		c := bpf.Call{Arch: a.audit, Number: uint32(d(600))}
		if row := lookup(pick(d, poolNames)); d(4) > 0 && row >= 0 && modelNumber(a.column, row) >= 0 {
			c.Number = uint32(modelNumber(a.column, row))
		}
		if a.x32 {
			c.Number |= x32Bit
		}
		for i := range c.Args {
			if c.Args[i] = uint64(d(24)); d(3) == 0 {
				c.Args[i] = pick(d, poolValues)
			}
		}
		got, _, err := bpf.Run(ours, c)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := bpf.Run(theirs, c)
		if err != nil {
			t.Fatalf("libseccomp's program: %v", err)
		}
		if got != want {
			t.Fatalf("call %#x of %s with %#x: %#x here, %#x in libseccomp\n%s", c.Number, a.name, c.Args, got, want, about)
		}
	}
}
