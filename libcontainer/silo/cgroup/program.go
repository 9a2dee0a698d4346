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
	opLoadWord = 0x61 // dst = *(u32 *)(src + off)
	opMoveImm  = 0xb7
	opMoveReg  = 0xbf
	opAddImm   = 0x07
	opOrImm    = 0x47
	opOrReg    = 0x4f
	opAndImm   = 0x57
	opAndReg   = 0x5f
	opXorImm   = 0xa7
	opShiftImm = 0x77 // to the right
	opTimesImm = 0x27
	opExit     = 0x95
)

// The context is a struct bpf_cgroup_dev_ctx: u32 access_type (access << 16 | kind),
// major, minor.
const (
	offsetAccess = 0
	offsetMajor  = 4
	offsetMinor  = 8
	accessShift  = 16
	kindMask     = 1<<accessShift - 1
)

// signBit is what a shift leaves of a register: 1 of a negative number, 0 of others.
const signBit = 63

// Registers: r0 is the answer, r1 the context.
const (
	regAnswer = iota
	regContext
	regKind
	regAsked
	regMajor
	regMinor
	regAllowed
	regMatch
	regOther
)

// Kinds of device in the context (BPF_DEVCG_DEV_*).
const (
	kindBlock = 1
	kindChar  = 2
)

// deviceProgram compiles rules: one after the other allows accesses or takes them
// back, and the answer is "yes" when all those asked for are allowed. It does not
// jump. So the kernel's verifier goes through it once, in a straight line, and not
// along the ways that as many jumps would open, each with a state of its own.
func deviceProgram(rules []rule) []instruction {
	p := make([]instruction, 0, 12+9*len(rules))
	p = append(p,
		op(opLoadWord, regKind, regContext, offsetAccess, 0),
		op(opMoveReg, regAsked, regKind, 0, 0),
		op(opAndImm, regKind, 0, 0, kindMask),
		op(opShiftImm, regAsked, 0, 0, accessShift),
		op(opLoadWord, regMajor, regContext, offsetMajor, 0),
		op(opLoadWord, regMinor, regContext, offsetMinor, 0),
		op(opMoveImm, regAllowed, 0, 0, 0),
	)
	for i := range rules {
		r := &rules[i]
		differ := 0
		// What differs from the rule, if anything, is a positive number …
		unless := func(reg byte, is int64) {
			into := byte(regMatch)
			if differ > 0 {
				into = regOther
			}
			p = append(p, op(opMoveReg, into, reg, 0, 0), op(opXorImm, into, 0, 0, int32(is)))
			if differ > 0 {
				p = append(p, op(opOrReg, regMatch, regOther, 0, 0))
			}
			differ++
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
		case differ == 0 && r.allow:
			p = append(p, op(opOrImm, regAllowed, 0, 0, int32(r.access)))
		case differ == 0:
			p = append(p, op(opAndImm, regAllowed, 0, 0, int32(accessAll&^r.access)))
		default:
			// … and one less is negative for nothing only. (Of a sign that is spread
			// over the register, to be a mask, Linux 6.18 makes two ways after all.)
			p = append(p, op(opAddImm, regMatch, 0, 0, -1), op(opShiftImm, regMatch, 0, 0, signBit), op(opTimesImm, regMatch, 0, 0, int32(r.access)))
			if r.allow {
				p = append(p, op(opOrReg, regAllowed, regMatch, 0, 0))
			} else {
				p = append(p, op(opXorImm, regMatch, 0, 0, -1), op(opAndReg, regAllowed, regMatch, 0, 0))
			}
		}
	}
	return append(p,
		op(opMoveReg, regAnswer, regAllowed, 0, 0), op(opXorImm, regAnswer, 0, 0, -1), op(opAndReg, regAnswer, regAsked, 0, 0),
		op(opAddImm, regAnswer, 0, 0, -1), op(opShiftImm, regAnswer, 0, 0, signBit), op(opExit, 0, 0, 0, 0))
}

func op(code, dst, src byte, off int16, imm int32) instruction {
	return instruction{code: code, regs: dst | src<<4, off: off, imm: imm}
}
