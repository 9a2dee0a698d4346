package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"wrun/tests/bpf"
)

// model answers a call by reading the profile itself, one call at a time,
// without tables of verdicts, ranges or instructions. It shares with the
// compiler the system call numbers, which other tests hold to the headers.
type model struct {
	profile *specs.LinuxSeccomp
	arches  []specs.Arch
}

func newModel(s *specs.LinuxSeccomp, native specs.Arch) model {
	return model{s, append([]specs.Arch{native}, s.Architectures...)}
}

type modelArch struct {
	name          specs.Arch
	audit         uint32
	column        int
	bits          int
	mux, big, x32 bool
}

var modelArches = []modelArch{
	{"SCMP_ARCH_X86_64", 0xc000003e, 0, 64, false, false, false},
	{"SCMP_ARCH_X32", 0xc000003e, 2, 32, false, false, true},
	{"SCMP_ARCH_X86", 0x40000003, 1, 32, true, false, false},
	{"SCMP_ARCH_AARCH64", 0xc00000b7, 3, 64, false, false, false},
	{"SCMP_ARCH_ARM", 0x40000028, 4, 32, false, false, false},
	{"SCMP_ARCH_PPC64LE", 0xc0000015, 5, 64, true, false, false},
	{"SCMP_ARCH_RISCV64", 0xc00000f3, 6, 64, false, false, false},
	{"SCMP_ARCH_S390X", 0x80000016, 7, 64, true, true, false},
	{"SCMP_ARCH_S390", 0x00000016, 8, 32, true, true, false},
}

// matched is a rule that holds for the call.
type matched struct {
	action uint32
	args   []specs.LinuxSeccompArg // as compared: values cut to the machine's width
}

func (m model) answer(c bpf.Call) uint32 {
	const killThread, noSuchCall = 0, 0x00050026
	number, which := c.Number, -1
	for i, a := range modelArches {
		isX32 := number&0x40000000 != 0 && number != 0xffffffff
		if a.audit == 0xc000003e && slices.Contains(m.arches, "SCMP_ARCH_X32") && number == 0xffffffff {
			isX32 = true
		}
		if a.audit == 0xc000003e && number >= 0x80000000 && number != 0xffffffff {
			isX32 = true
		}
		if a.audit == c.Arch && (a.audit != 0xc000003e || a.x32 == isX32) && slices.Contains(m.arches, a.name) {
			which = i
		}
	}
	if which < 0 {
		return killThread
	}
	arch := modelArches[which]
	if arch.x32 {
		number -= 0x40000000
	}
	fallback := bpf.Action(m.profile.DefaultAction, m.profile.DefaultErrnoRet)

	mask := ^uint64(0)
	if arch.bits == 32 {
		mask = 0xffffffff
	}
	newest := -1
	var conditional []matched
	var always *uint32
	for _, rule := range m.profile.Syscalls {
		action := bpf.Action(rule.Action, rule.ErrnoRet)
		for _, name := range rule.Names {
			row := slices.Index(allNames(), name)
			if row < 0 {
				continue
			}
			own := modelNumber(arch.column, row)
			if own >= 0 && own < 0xf0000 && !(arch.x32 && own >= 512 && own < 548) {
				newest = max(newest, own)
			}
			if action == fallback {
				continue
			}
			direct := own >= 0 && uint32(own) == number
			through, sub := 0, uint64(0)
			if arch.mux {
				through, sub = multiplexer(name)
			}
			viaMux := through != 0 && uint32(through) == number
			for _, variant := range []bool{false, true} { // direct, multiplexed
				if variant && !viaMux || !variant && !direct {
					continue
				}
				for _, args := range bpf.Alternatives(rule.Args) {
					var tests []specs.LinuxSeccompArg
					if variant {
						tests = append(tests, specs.LinuxSeccompArg{Index: 0, Op: specs.OpEqualTo, Value: sub})
					}
					for _, a := range args {
						if variant && a.Index == 0 {
							continue
						}
						a.Value &= mask
						a.ValueTwo &= mask
						if a.Op == specs.OpMaskedEqual {
							if a.Value == 0 {
								continue
							}
							a.ValueTwo &= a.Value
							if a.Value == mask {
								a.Op, a.Value, a.ValueTwo = specs.OpEqualTo, a.ValueTwo, 0
							}
						} else {
							a.ValueTwo = 0
						}
						tests = append(tests, a)
					}
					if len(tests) == 0 {
						if always == nil {
							v := action
							always = &v
						}
						continue
					}
					slices.SortFunc(tests, func(a, b specs.LinuxSeccompArg) int { return int(a.Index) - int(b.Index) })
					holds := true
					for _, a := range tests {
						holds = holds && modelHolds(a, c.Args[a.Index]&mask)
					}
					if holds {
						conditional = append(conditional, matched{action, tests})
					}
				}
			}
		}
	}
	if always != nil {
		return *always
	}
	if len(conditional) == 0 {
		young := newest >= 0 && int64(number) > int64(newest)
		if arch.x32 && number >= 512 && number < 548 {
			young = false
		}
		if arch.name == "SCMP_ARCH_ARM" && number >= 0xf0000 && number < 0xf0008 {
			young = false
		}
		if arch.big && number == 0 && newest >= 0 && !m.named(arch.column, 0, fallback) {
			young = true
		}
		// A call that has rules, none of which holds, is known whatever its number.
		if young && fallback>>16 == 0x0005 && !m.muxed(arch.mux, number, fallback) {
			return noSuchCall
		}
		return fallback
	}
	best := conditional[0]
	for _, r := range conditional[1:] {
		if slices.Equal(r.args, best.args) {
			if strictness(r.action) > strictness(best.action) {
				best.action = r.action
			}
		} else if goesBefore(r.args, best.args) {
			best = r
		}
	}
	return best.action
}

// named: some effective rule is for that number.
func (m model) named(column, number int, fallback uint32) bool {
	for _, rule := range m.profile.Syscalls {
		for _, name := range rule.Names {
			row := slices.Index(allNames(), name)
			if row >= 0 && modelNumber(column, row) == number && bpf.Action(rule.Action, rule.ErrnoRet) != fallback {
				return true
			}
		}
	}
	return false
}

// muxed: some effective rule is for a call that number multiplexes.
func (m model) muxed(mux bool, number, fallback uint32) bool {
	if !mux {
		return false
	}
	for _, rule := range m.profile.Syscalls {
		for _, name := range rule.Names {
			if n, _ := multiplexer(name); n != 0 && uint32(n) == number && bpf.Action(rule.Action, rule.ErrnoRet) != fallback {
				return true
			}
		}
	}
	return false
}

var namesCache []string

func allNames() []string {
	if namesCache == nil {
		for i := range nameCount {
			namesCache = append(namesCache, names[nameEnds[i]:nameEnds[i+1]])
		}
	}
	return namesCache
}

func modelNumber(column, row int) int {
	n := int(numbers[column][row])
	switch {
	case n == 0xffff:
		return -1
	case n >= 1000:
		return 0xf0000 + n - 1000
	}
	return n
}

func modelHolds(a specs.LinuxSeccompArg, v uint64) bool {
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	}
	return v&a.Value == a.ValueTwo // SCMP_CMP_MASKED_EQ
}

// goesBefore: rules are tried from the highest argument down, equality before
// upper before lower bounds, tight bounds before wide ones.
func goesBefore(a, b []specs.LinuxSeccompArg) bool {
	class := func(op specs.LinuxSeccompOperator) int {
		switch op {
		case specs.OpGreaterThan, specs.OpGreaterEqual:
			return 0
		case specs.OpLessThan, specs.OpLessEqual:
			return 1
		}
		return 2
	}
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		if x.Index != y.Index {
			return x.Index > y.Index
		}
		if class(x.Op) != class(y.Op) {
			return class(x.Op) > class(y.Op)
		}
		xv, yv := x.Value, y.Value
		if x.Op == specs.OpMaskedEqual {
			xv = x.ValueTwo
		}
		if y.Op == specs.OpMaskedEqual {
			yv = y.ValueTwo
		}
		if xv != yv {
			return (xv > yv) != (x.Op == specs.OpLessThan || x.Op == specs.OpLessEqual)
		}
	}
	return len(a) < len(b)
}

func strictness(action uint32) int {
	return slices.Index([]uint32{0x7fff0000, 0x7ffc0000, 0x7ff00000, 0x7fc00000, 0x00050000, 0x00030000, 0, 0x80000000}, action&0xffff0000)
}
