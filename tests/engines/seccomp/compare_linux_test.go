package seccomp

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer/silo/seccomp"
	"wrun/tests/bpf"
)

// convention is a way of calling the kernel.
type convention struct {
	name  specs.Arch
	audit uint32
	base  uint32 // of its numbers
}

const x32 = 0x40000000

var conventions = []convention{
	{specs.ArchX86_64, 0xc000003e, 0},
	{specs.ArchX32, 0xc000003e, x32},
	{specs.ArchX86, 0x40000003, 0},
	{specs.ArchAARCH64, 0xc00000b7, 0},
	{specs.ArchARM, 0x40000028, 0},
	{specs.ArchRISCV64, 0xc00000f3, 0}, // which no profile here lists
}

// native is the architecture that Go calls so.
var native = map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}

// younger are the calls that engines name and libseccomp 2.5.4 does not know,
// by the number that they have everywhere.
var younger = map[string]int{
	"map_shadow_stack": 453, // known, but not on x32
	"statmount":        457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461,
	"mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466,
}

// numbers are the calls of the profile that the architecture has. Libseccomp
// tells; those that it does not know there are unknown, too.
func numbers(t *testing.T, l bpf.Libseccomp, p *specs.LinuxSeccomp, a specs.Arch) (all map[string]int, unknown map[string]bool) {
	t.Helper()
	var names []string
	for _, c := range p.Syscalls {
		names = append(names, c.Names...)
	}
	all, unknown = map[string]int{}, map[string]bool{}
	found := l.Numbers(t, a, names)
	for _, name := range names {
		n, known := found[name]
		if known && n >= 0 {
			if a == specs.ArchX32 {
				n &^= x32 // some versions of the library have it there
			}
			all[name] = n
			continue
		}
		young, listed := younger[name]
		switch {
		case listed:
			all[name], unknown[name] = young, true
		case name == "uretprobe" && (a == specs.ArchX86_64 || a == specs.ArchX32):
			all[name], unknown[name] = 335, true
		case !known && !slices.Contains([]string{"uretprobe", "riscv_hwprobe", "syscall"}, name): // the last is the C library's
			t.Fatalf("this libseccomp does not know %s: list it in younger", name)
		}
	}
	return all, unknown
}

// oracle answers as libseccomp does and, where that does not know a call, as
// the README of wrun's filters says.
type oracle struct {
	program []bpf.Instruction
	young   map[specs.Arch]map[int]uint32 // answers of calls that this libseccomp does not know there
	newest  map[specs.Arch]int            // the highest number that the profile names
	hides   bool                          // numbers above it get ENOSYS
}

func (o *oracle) answer(t *testing.T, a convention, c bpf.Call) uint32 {
	t.Helper()
	want, _, err := bpf.Run(o.program, c)
	if err != nil {
		t.Fatalf("libseccomp's program: %v", err)
	}
	newest, listed := o.newest[a.name]
	if !listed {
		return want
	}
	n := c.Number - a.base
	if action, ok := o.young[a.name][int(n)]; ok {
		return action
	}
	// x32 stopped numbering apart at 547, and ARM has eight private calls
	// where no others are: neither is young.
	if o.hides && n > uint32(newest) && (a.name != specs.ArchX32 || n < 512 || n > 547) && (a.name != specs.ArchARM || n < 0xf0000 || n > 0xf0007) {
		return 0x00050026
	}
	return want
}

func newOracle(t *testing.T, l bpf.Libseccomp, p profile, tree bool) *oracle {
	t.Helper()
	o := &oracle{
		program: l.Compile(t, p.filter, bpf.Filter{Native: native[p.goarch], Tree: tree}),
		young:   map[specs.Arch]map[int]uint32{},
		newest:  map[specs.Arch]int{},
		hides:   p.filter.DefaultAction == specs.ActErrno,
	}
	if o.program == nil {
		t.Fatal("libseccomp refuses it")
	}
	for _, a := range p.filter.Architectures {
		o.young[a] = map[int]uint32{}
		all, unknown := numbers(t, l, p.filter, a)
		for _, n := range all {
			if n < 0xf0000 && (a != specs.ArchX32 || n < 512 || n > 547) {
				o.newest[a] = max(o.newest[a], n)
			}
		}
		for _, c := range p.filter.Syscalls {
			for _, name := range c.Names {
				if unknown[name] {
					if len(c.Args) > 0 {
						t.Fatalf("%s has conditions, and this libseccomp does not know it", name)
					}
					o.young[a][all[name]] = bpf.Action(c.Action, c.ErrnoRet)
				}
			}
		}
	}
	return o
}

// arguments are what a profile's conditions make a difference for: each value
// and what lies around it, each bit of a mask, and the same with the other
// halves and arguments filled.
func arguments(p *specs.LinuxSeccomp) map[string][][6]uint64 {
	all := map[string][][6]uint64{}
	for _, c := range p.Syscalls {
		for _, a := range c.Args {
			values := []uint64{0, 1, 1 << 31, 1 << 32, 1 << 63, ^uint64(0)}
			for _, v := range []uint64{a.Value, a.ValueTwo, a.Value | a.ValueTwo} {
				values = append(values, v-1, v, v+1, ^v, v+1<<32, v|1<<63, uint64(uint32(v)))
			}
			if a.Op == specs.OpMaskedEqual {
				for bit := range 64 {
					values = append(values, a.ValueTwo^1<<bit, a.Value&^(1<<bit))
				}
			}
			for _, v := range values {
				var bare, full [6]uint64
				for i := range full {
					full[i] = ^uint64(0)
				}
				for _, other := range c.Args {
					full[other.Index] = other.Value
				}
				bare[a.Index], full[a.Index] = v, v
				for _, name := range c.Names {
					all[name] = append(all[name], bare, full)
				}
			}
		}
	}
	return all
}

// calls are every number up to 600 and some beyond, those with conditions with
// many arguments.
func calls(a convention, known map[string]int, args map[string][][6]uint64) []bpf.Call {
	var all []bpf.Call
	var filled [6]uint64
	for i := range filled {
		filled[i] = ^uint64(0)
	}
	far := []uint32{999, 1000, 0xeffff, 0xf0000, 0xf0002, 0xf0005, 0xf0007, 0xf0008, x32 - 1, x32, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff}
	for n := range uint32(601) {
		far = append(far, n)
	}
	for _, n := range far {
		for _, v := range [][6]uint64{{}, filled} {
			all = append(all, bpf.Call{Number: n, Arch: a.audit, Args: v})
			if a.base != 0 {
				all = append(all, bpf.Call{Number: a.base | n, Arch: a.audit, Args: v})
			}
		}
	}
	for name, tries := range args {
		if n, ok := known[name]; ok {
			for _, v := range tries {
				all = append(all, bpf.Call{Number: a.base + uint32(n), Arch: a.audit, Args: v})
			}
		}
	}
	// socketcall(2) and ipc(2) carry other calls, told by the first argument.
	for _, n := range []uint32{102, 117} {
		for sub := range uint64(32) {
			for _, second := range []uint64{0, 40, ^uint64(0)} {
				all = append(all, bpf.Call{Number: a.base + n, Arch: a.audit, Args: [6]uint64{sub, second}})
			}
		}
	}
	return all
}

// TestAgreesWithLibseccomp: wrun's programs and libseccomp's give the same
// answer to every call, also to those of architectures beside the native one.
func TestAgreesWithLibseccomp(t *testing.T) {
	l := bpf.FindLibseccomp(t)
	for _, p := range profiles(t) {
		t.Run(p.name, func(t *testing.T) {
			f, warnings, err := seccomp.Compile(p.filter, p.goarch)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if !strings.Contains(w, "system call syscall ") {
					t.Error(w)
				}
			}
			bpf.Verify(t, f.Program)
			args := arguments(p.filter)
			for _, tree := range []bool{false, true} {
				o := newOracle(t, l, p, tree)
				if len(f.Program) >= len(o.program) {
					t.Errorf("%d instructions, libseccomp %d", len(f.Program), len(o.program))
				}
				asked, answers := 0, map[uint32]int{}
				for _, a := range conventions {
					known, _ := numbers(t, l, p.filter, a.name)
					for _, c := range calls(a, known, args) {
						who := a
						if a.audit == 0xc000003e {
							who = conventions[min(c.Number/x32, 1)]
						}
						got, _, err := bpf.Run(f.Program, c)
						if err != nil {
							t.Fatal(err)
						}
						if want := o.answer(t, who, c); got != want {
							t.Fatalf("call %#x of %s with %#x: %#x here, %#x wanted", c.Number, who.name, c.Args, got, want)
						}
						asked++
						answers[got]++
					}
				}
				if tree {
					t.Logf("%d calls, answers %#x", asked, answers)
					t.Logf("%d instructions, libseccomp %d as a tree", len(f.Program), len(o.program))
				}
				if len(answers) < 4 {
					t.Errorf("only the answers %#x: the calls do not reach the profile", answers)
				}
			}
			if !slices.Contains(p.filter.Architectures, native[p.goarch]) || len(args) < 2 {
				t.Errorf("architectures %v, %d calls with conditions: this is not the engine's profile", p.filter.Architectures, len(args))
			}
		})
	}
}
