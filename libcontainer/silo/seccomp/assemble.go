package seccomp

import "slices"

// Classic BPF, as far as seccomp filters use it (linux/bpf_common.h).
const (
	opLoad   = 0x20 // BPF_LD|BPF_W|BPF_ABS: A = the word at offset K of seccomp_data
	opAnd    = 0x54 // BPF_ALU|BPF_AND|BPF_K
	opJump   = 0x05 // BPF_JMP|BPF_JA: K instructions ahead
	opEqual  = 0x15 // BPF_JMP|BPF_JEQ|BPF_K
	opAbove  = 0x25 // BPF_JMP|BPF_JGT|BPF_K
	opAtMin  = 0x35 // BPF_JMP|BPF_JGE|BPF_K
	opReturn = 0x06 // BPF_RET|BPF_K
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// segment is a run of numbers with one verdict, up to the next segment.
type segment struct {
	first   uint32
	verdict uint16
}

// assemble writes the program: by architecture, then by a balanced search over
// the runs of numbers, then through the rules of a call.
func assemble(arches []*arch, d *decision) []Instruction {
	p := &program{code: make([]Instruction, 0, 512)}
	var segments []segment
	next := p.ret(d.verdicts[verdictBadArch].action)
	for i := len(arches) - 1; i >= 0; i-- {
		a, t := arches[i], &d.tables[i]
		if slices.ContainsFunc(arches[:i], func(b *arch) bool { return b.audit == a.audit }) {
			continue // x86_64 and x32 go together, where the first of them is
		}
		segments = segments[:0]
		if a.audit == auditX86_64 {
			segments = x86Segments(segments, arches, d)
		} else {
			segments = runs(segments, a, t, 0)
		}
		entry := p.search(segments, d)
		entry = p.load(entry, offsetNumber)
		next = p.branch(opEqual, a.audit, entry, next)
	}
	p.load(next, offsetArch)
	p.flip()
	return p.code
}

// x86Segments puts x86_64 and x32 one behind the other: the kernel reports both
// as x86_64, apart by x32Bit. Whichever is not wanted is a bad architecture.
func x86Segments(s []segment, arches []*arch, d *decision) []segment {
	var wide, x32 *table
	var x32Arch *arch
	for i, a := range arches {
		switch a.column {
		case columnX86_64:
			wide = &d.tables[i]
			s = runs(s, a, wide, 0)
		case columnX32:
			x32, x32Arch = &d.tables[i], a
		}
	}
	if wide == nil {
		s = append(s, segment{0, verdictBadArch})
	}
	if x32 != nil {
		return runs(s, x32Arch, x32, x32Bit)
	}
	s = append(s, segment{x32Bit, verdictBadArch})
	// -1 is no x32 call: it is what a tracer writes to skip one.
	return append(s, segment{0xffffffff, wide.rest})
}

// runs appends the table's numbers, each raised by base.
func runs(s []segment, a *arch, t *table, base uint32) []segment {
	last := -1
	add := func(first uint32, verdict uint16) {
		if int(verdict) != last {
			s = append(s, segment{base + first, verdict})
			last = int(verdict)
		}
	}
	for slot, verdict := range t.slots[:publicSlots] {
		if int(verdict) != last {
			add(uint32(slot), verdict)
		}
	}
	add(publicSlots, t.rest)
	if a.column == columnARM {
		for i, verdict := range t.slots[publicSlots:] {
			add(armPrivate+uint32(i), verdict)
		}
		add(armPrivate+armPrivateCount, t.rest)
	}
	return s
}

// program is written from its end, so that the targets of jumps, which only go
// forward, are there when the jump is. Places are counted from the end.
type program struct {
	code []Instruction
	rets []returnAt
}

type returnAt struct {
	action uint32
	place  int
}

// reach is how far a conditional jump may go, less the JA instructions that
// branch may put between.
const reach = 255 - 4

func (p *program) emit(i Instruction) int {
	p.code = append(p.code, i)
	return len(p.code) - 1
}

// near is target, or a jump to it where it is out of a branch's reach.
func (p *program) near(target int) int {
	if distance := len(p.code) - 1 - target; distance > reach {
		return p.emit(Instruction{Code: opJump, K: uint32(distance)})
	}
	return target
}

// ret is a place within reach that returns action.
func (p *program) ret(action uint32) int {
	for i := range p.rets {
		r := &p.rets[i]
		if r.action != action {
			continue
		}
		if len(p.code)-r.place >= reach {
			r.place = p.emit(Instruction{Code: opReturn, K: action})
		}
		return r.place
	}
	place := p.emit(Instruction{Code: opReturn, K: action})
	p.rets = append(p.rets, returnAt{action, place})
	return place
}

// branch goes to yes if the comparison of A with k holds, else to no.
func (p *program) branch(op uint16, k uint32, yes, no int) int {
	if yes == no {
		return yes
	}
	yes, no = p.near(yes), p.near(no)
	at := len(p.code)
	return p.emit(Instruction{Code: op, Jt: uint8(at - yes - 1), Jf: uint8(at - no - 1), K: k})
}

// load puts a word of seccomp_data into A and goes on at next.
func (p *program) load(next int, offset uint32) int {
	p.fall(next)
	return p.emit(Instruction{Code: opLoad, K: offset})
}

// fall makes next what follows the instruction to be written.
func (p *program) fall(next int) {
	if distance := len(p.code) - 1 - next; distance > 0 {
		p.emit(Instruction{Code: opJump, K: uint32(distance)})
	}
}

// flip brings the program into the order it runs in.
func (p *program) flip() {
	for i, j := 0, len(p.code)-1; i < j; i, j = i+1, j-1 {
		p.code[i], p.code[j] = p.code[j], p.code[i]
	}
}

// search finds the number in A among the segments.
func (p *program) search(s []segment, d *decision) int {
	if len(s) == 1 {
		v := &d.verdicts[s[0].verdict]
		if len(v.rules) == 0 {
			return p.ret(v.action)
		}
		return p.rules(v)
	}
	mid := len(s) / 2
	above := p.search(s[mid:], d)
	below := p.search(s[:mid], d)
	return p.branch(opAtMin, s[mid].first, above, below)
}

// rules tries a verdict's rules in order.
func (p *program) rules(v *verdict) int {
	a := v.arch
	next := p.ret(v.action)
	for i := len(v.rules); i > 0; {
		first := i - 1
		for first > 0 && oneOf(&v.rules[first-1], &v.rules[i-1]) {
			first--
		}
		if i-first > 1 {
			next = p.values(v.rules[first:i], a, next)
		} else {
			next = p.conditions(&v.rules[first], a, next)
		}
		i = first
	}
	return next
}

// oneOf: both compare the same argument with one value of the same upper half.
func oneOf(x, y *rule) bool {
	return len(x.conditions) == 1 && len(y.conditions) == 1 &&
		x.conditions[0].op == equal && y.conditions[0].op == equal &&
		x.conditions[0].arg == y.conditions[0].arg && x.conditions[0].value>>32 == y.conditions[0].value>>32
}

// values tries rules that are oneOf each other with one load of the argument.
func (p *program) values(rules []rule, a *arch, no int) int {
	next := no
	for i := len(rules) - 1; i >= 0; i-- {
		next = p.branch(opEqual, uint32(rules[i].conditions[0].value), p.ret(rules[i].action), next)
	}
	c := &rules[0].conditions[0]
	next = p.load(next, a.lower(c.arg))
	if a.narrow {
		return next
	}
	return p.load(p.branch(opEqual, uint32(c.value>>32), next, no), a.upper(c.arg))
}

// conditions answers a rule's action if all its conditions hold.
func (p *program) conditions(r *rule, a *arch, no int) int {
	yes := p.ret(r.action)
	for i := len(r.conditions) - 1; i >= 0; i-- {
		yes = p.compare(&r.conditions[i], a, yes, no)
	}
	return yes
}

// compare looks at the lower half of an argument where the upper does not
// settle the matter.
func (p *program) compare(c *condition, a *arch, yes, no int) int {
	lo, hi := uint32(c.value), uint32(c.value>>32)
	if c.op == maskedEqual {
		if mask := uint32(c.mask); mask != 0 {
			yes = p.masked(a.lower(c.arg), mask, lo, yes, no)
		}
		if mask := uint32(c.mask >> 32); mask != 0 && !a.narrow {
			yes = p.masked(a.upper(c.arg), mask, hi, yes, no)
		}
		return yes
	}
	var lower, above, below int // where the lower half, a greater and a smaller upper half lead
	switch c.op {
	case equal:
		lower, above, below = p.branch(opEqual, lo, yes, no), no, no
	case notEqual:
		lower, above, below = p.branch(opEqual, lo, no, yes), yes, yes
	case greaterThan:
		lower, above, below = p.branch(opAbove, lo, yes, no), yes, no
	case greaterEqual:
		lower, above, below = p.branch(opAtMin, lo, yes, no), yes, no
	case lessThan:
		lower, above, below = p.branch(opAtMin, lo, no, yes), no, yes
	case lessEqual:
		lower, above, below = p.branch(opAbove, lo, no, yes), no, yes
	}
	lower = p.load(lower, a.lower(c.arg))
	if a.narrow {
		return lower
	}
	upper := p.branch(opEqual, hi, lower, below)
	if above != below {
		upper = p.branch(opAbove, hi, above, upper)
	}
	return p.load(upper, a.upper(c.arg))
}

func (p *program) masked(offset, mask, value uint32, yes, no int) int {
	at := p.branch(opEqual, value, yes, no)
	if mask != 0xffffffff {
		p.fall(at)
		at = p.emit(Instruction{Code: opAnd, K: mask})
	}
	return p.load(at, offset)
}

// lower and upper are the offsets of an argument's halves.
func (a *arch) lower(arg uint8) uint32 {
	if a.bigEndian {
		return offsetArgs + 8*uint32(arg) + 4
	}
	return offsetArgs + 8*uint32(arg)
}

func (a *arch) upper(arg uint8) uint32 {
	if a.bigEndian {
		return offsetArgs + 8*uint32(arg)
	}
	return offsetArgs + 8*uint32(arg) + 4
}
