package cgroup

// In v2 no file takes the device list: a program of type CGROUP_DEVICE decides
// about each access. This assembles it.

// instruction is struct bpf_insn, as little-endian machines lay it out.
type instruction struct {
	code byte
	regs byte // destination and source, four bits each; see reg
	off  int16
	imm  int32
}

// Operation codes used: class | width or source | operation.
const (
	opLoadWord  = 0x61 // dst = *(u32 *)(src + off)
	opMoveImm   = 0xb7
	opMoveReg   = 0xbf
	opAndImm    = 0x57
	opShiftImm  = 0x77 // to the right
	opJumpNot   = 0x55 // if dst != imm
	opJumpEqual = 0x15 // if dst == imm
	opExit      = 0x95
)

// Registers: r0 is the answer, r1 the context.
const (
	regAnswer = iota
	regContext
	regKind
	regAccess
	regMajor
	regMinor
)

// Kinds of device in the context (BPF_DEVCG_DEV_*).
const (
	kindBlock = 1
	kindChar  = 2
)

// deviceProgram compiles rules. For each of the accesses asked for, the last
// rule that matches decides, so the program goes backwards: an allowing
// rule strikes off what it allows, a denying one ends with "no" if it denies
// something still open, and when nothing is left open the answer is "yes".
func deviceProgram(rules []rule) []instruction {
	p := make([]instruction, 0, 8+7*len(rules))
	p = append(p,
		// struct bpf_cgroup_dev_ctx { u32 access_type /* access << 16 | kind */, major, minor; }
		op(opLoadWord, regKind, regContext, 0, 0),
		op(opMoveReg, regAccess, regKind, 0, 0),
		op(opAndImm, regKind, 0, 0, 0xffff),
		op(opShiftImm, regAccess, 0, 0, 16),
		op(opLoadWord, regMajor, regContext, 4, 0),
		op(opLoadWord, regMinor, regContext, 8, 0),
	)
	for i := len(rules) - 1; i >= 0; i-- {
		r := &rules[i]
		var misses []int // jumps to the next rule, to be told how far
		unless := func(reg byte, is int64) {
			misses = append(misses, len(p))
			p = append(p, op(opJumpNot, reg, 0, 0, int32(is)))
		}
		switch r.kind {
		case 'c':
			unless(regKind, kindChar)
		case 'b':
			unless(regKind, kindBlock)
		}
		if r.major != all {
			unless(regMajor, r.major)
		}
		if r.minor != all {
			unless(regMinor, r.minor)
		}
		switch {
		case r.allow:
			p = append(p, op(opAndImm, regAccess, 0, 0, int32(accessAll&^r.access)))
			unless(regAccess, 0)
			p = append(p, op(opMoveImm, regAnswer, 0, 0, 1))
		default:
			p = append(p, op(opMoveReg, regAnswer, regAccess, 0, 0), op(opAndImm, regAnswer, 0, 0, int32(r.access)))
			misses = append(misses, len(p))
			p = append(p, op(opJumpEqual, regAnswer, 0, 0, 0), op(opMoveImm, regAnswer, 0, 0, 0))
		}
		p = append(p, op(opExit, 0, 0, 0, 0))
		for _, at := range misses {
			p[at].off = int16(len(p) - at - 1)
		}
	}
	return append(p, op(opMoveImm, regAnswer, 0, 0, 0), op(opExit, 0, 0, 0, 0))
}

func op(code, dst, src byte, off int16, imm int32) instruction {
	return instruction{code: code, regs: dst | src<<4, off: off, imm: imm}
}
