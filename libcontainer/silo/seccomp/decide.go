package seccomp

import (
	"cmp"
	"slices"
)

// verdict answers a system call: the first rule whose conditions hold, else
// the action.
type verdict struct {
	action uint32
	rules  []rule
	arch   *arch // whose arguments the rules look at
}

type rule struct {
	action     uint32
	conditions []condition // at least one
}

// table holds an architecture's answers: for each slot an index into the
// decision's verdicts.
type table struct {
	slots [slotCount]uint16
	// rest answers the numbers between and above the slots.
	rest uint16
}

// decision is the whole filter as data: one table for each architecture.
type decision struct {
	verdicts []verdict
	tables   []table
	// plain is how many verdicts at the front have no rules. They are shared.
	plain int
}

// The first verdicts.
const (
	verdictDefault = iota
	verdictNoSuchCall
	verdictBadArch
)

// decide answers every number of every architecture.
func decide(p *profile, arches []*arch) *decision {
	d := &decision{tables: make([]table, len(arches)), verdicts: make([]verdict, 3, 64)}
	d.verdicts[verdictDefault].action = p.fallback
	d.verdicts[verdictNoSuchCall].action = retErrno | enosys
	d.verdicts[verdictBadArch].action = retKillThread // libseccomp's act_badarch
	// All plain verdicts come first, so that a verdict's index tells whether it
	// has rules.
	entryVerdict := make([]uint16, len(p.entries))
	for i := range p.entries {
		entryVerdict[i] = d.plainVerdict(p.entries[i].action)
	}
	d.plain = len(d.verdicts)
	for i, a := range arches {
		d.fill(&d.tables[i], a, p, entryVerdict)
	}
	return d
}

// plainVerdict shares verdicts without rules.
func (d *decision) plainVerdict(action uint32) uint16 {
	for i := range d.verdicts {
		if i != verdictNoSuchCall && i != verdictBadArch && d.verdicts[i].action == action {
			return uint16(i)
		}
	}
	d.verdicts = append(d.verdicts, verdict{action: action})
	return uint16(len(d.verdicts) - 1)
}

func (d *decision) fill(t *table, a *arch, p *profile, entryVerdict []uint16) {
	column := &numbers[a.column]
	newest, from := -1, len(d.verdicts)
	for i := range p.entries {
		e := &p.entries[i]
		anyOf := e.anyOf
		if a.narrow && len(anyOf[0]) > 0 {
			anyOf = make([][]condition, len(e.anyOf))
			for k := range e.anyOf {
				anyOf[k] = canonical(e.anyOf[k], true)
			}
		}
		for n, row := range e.rows {
			slot := column[row]
			if slot != noNumber && int(slot) > newest && slot < publicSlots &&
				(a.column != columnX32 || slot < x32OldFirst || slot >= x32OldEnd) {
				newest = int(slot)
			}
			if e.implied {
				continue
			}
			if slot != noNumber {
				d.add(t, a, slot, anyOf, entryVerdict[i])
			}
			if a.multiplexed {
				if mux, call := multiplexer(e.names[n]); mux != 0 && !d.answered(t, uint16(mux)) {
					d.add(t, a, uint16(mux), throughMultiplexer(anyOf, call), entryVerdict[i])
				}
			}
		}
	}
	for i := range d.verdicts[from:] {
		slices.SortStableFunc(d.verdicts[from+i].rules, precedence)
	}
	if newest >= 0 && p.fallback&retActionMask == retErrno {
		t.hideNewer(a, newest)
	}
}

// throughMultiplexer states conditions for socketcall(2) or ipc(2): the first
// argument is the call's number there. What the profile says of the call's own
// first argument cannot be looked at, it lies in memory; libseccomp drops it
// too.
func throughMultiplexer(anyOf [][]condition, call uint64) [][]condition {
	out := make([][]condition, len(anyOf))
	for i, conditions := range anyOf {
		c := append(make([]condition, 0, len(conditions)+1), condition{op: equal, value: call})
		for _, other := range conditions {
			if other.arg != 0 {
				c = append(c, other)
			}
		}
		out[i] = c
	}
	return out
}

// add gives slot a rule. Without conditions it answers the call alone, and the
// first such rule stays, as in libseccomp.
func (d *decision) add(t *table, a *arch, slot uint16, anyOf [][]condition, plain uint16) {
	if d.answered(t, slot) {
		return
	}
	at := t.slots[slot]
	for _, conditions := range anyOf {
		if len(conditions) == 0 {
			t.slots[slot] = plain
			return
		}
	}
	if at == verdictDefault {
		at = uint16(len(d.verdicts))
		t.slots[slot] = at
		d.verdicts = append(d.verdicts, verdict{action: d.verdicts[verdictDefault].action, arch: a})
	}
	v, action := &d.verdicts[at], d.verdicts[plain].action
next:
	for _, conditions := range anyOf {
		for i := range v.rules {
			if slices.Equal(v.rules[i].conditions, conditions) {
				// Contradictions of the profile were refused; what is left comes
				// from conditions that a multiplexer or 32 bits cannot tell
				// apart. Then the stricter answer is the safe one.
				if severity(action) > severity(v.rules[i].action) {
					v.rules[i].action = action
				}
				continue next
			}
		}
		v.rules = append(v.rules, rule{action, conditions})
	}
}

// answered: a rule without conditions has settled slot.
func (d *decision) answered(t *table, slot uint16) bool {
	at := t.slots[slot]
	return at != verdictDefault && int(at) < d.plain
}

// severity orders actions as the kernel does when several filters answer.
func severity(action uint32) int {
	switch action & retActionMask {
	case retKillProcess:
		return 7
	case retKillThread:
		return 6
	case retTrap:
		return 5
	case retErrno:
		return 4
	case retNotify:
		return 3
	case retTrace:
		return 2
	case retLog:
		return 1
	}
	return 0
}

// precedence orders the rules of one call; the first that holds answers. It is
// the order of libseccomp's tree: the higher argument first, then equality
// before upper before lower bounds, then the narrower bound; a rule that adds
// conditions to another's follows it and so never answers.
func precedence(a, b rule) int {
	for i := range min(len(a.conditions), len(b.conditions)) {
		x, y := &a.conditions[i], &b.conditions[i]
		if c := cmp.Compare(y.arg, x.arg); c != 0 {
			return c
		}
		if c := cmp.Compare(x.rank(), y.rank()); c != 0 {
			return c
		}
		c := cmp.Compare(y.value, x.value)
		if x.rank() == rankUpper {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.conditions), len(b.conditions))
}

const (
	rankEqual = iota
	rankUpper
	rankLower
)

func (c *condition) rank() int {
	switch c.op {
	case lessThan, lessEqual:
		return rankUpper
	case greaterThan, greaterEqual:
		return rankLower
	}
	return rankEqual
}

// hideNewer answers ENOSYS to calls younger than any the profile names, where
// the default would be another errno. A C library that gets EPERM for a call
// it probes takes it for the final word, with ENOSYS it falls back on the
// older call that the profile allows; the profile's author cannot have meant
// to forbid what did not exist.
//
// runc does the same (also for a default of KILL or TRAP, which here stays
// what the profile says). Age is told by number, which since 424 is the same
// on all architectures and grows with time.
func (t *table) hideNewer(a *arch, newest int) {
	for slot := newest + 1; slot < publicSlots; slot++ {
		if t.slots[slot] == verdictDefault && (a.column != columnX32 || slot < x32OldFirst || slot >= x32OldEnd) {
			t.slots[slot] = verdictNoSuchCall
		}
	}
	t.rest = verdictNoSuchCall
	// s390 passes numbers its kernel does not know as setup(2), number 0, which
	// nothing has called for decades.
	if (a.column == columnS390X || a.column == columnS390) && t.slots[0] == verdictDefault {
		t.slots[0] = verdictNoSuchCall
	}
}
