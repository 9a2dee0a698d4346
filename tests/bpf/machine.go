package bpf

import (
	"fmt"
	"testing"
)

// Instruction is laid out as struct sock_filter, like seccomp's.
type Instruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// Program is made of Instruction or of any type of its shape: the compiler's
// own tests cannot import a package that imports the compiler.
type Program interface {
	~struct {
		Code   uint16
		Jt, Jf uint8
		K      uint32
	}
}

// Call is what the kernel shows a filter: struct seccomp_data.
type Call struct {
	Number, Arch uint32
	Args         [6]uint64
	BigEndian    bool
}

func (c Call) word(offset uint32) (uint32, error) {
	if offset%4 != 0 || offset >= 64 {
		return 0, fmt.Errorf("load at offset %d", offset)
	}
	switch offset {
	case 0:
		return c.Number, nil
	case 4:
		return c.Arch, nil
	case 8, 12:
		return 0, nil // the instruction pointer
	}
	v := c.Args[(offset-16)/8]
	if (offset%8 == 4) != c.BigEndian {
		v >>= 32
	}
	return uint32(v), nil
}

// Run is a machine for the subset of classic BPF that seccomp(2) takes.
func Run[I Program](program []I, c Call) (result uint32, steps int, err error) {
	var a uint32
	for at := 0; at < len(program); {
		steps++
		i := Instruction(program[at])
		at++
		jump := func(holds bool) {
			if holds {
				at += int(i.Jt)
			} else {
				at += int(i.Jf)
			}
		}
		switch i.Code {
		case 0x20:
			if a, err = c.word(i.K); err != nil {
				return 0, steps, err
			}
		case 0x54:
			a &= i.K
		case 0x05:
			at += int(i.K)
		case 0x15:
			jump(a == i.K)
		case 0x25:
			jump(a > i.K)
		case 0x35:
			jump(a >= i.K)
		case 0x45:
			jump(a&i.K != 0)
		case 0x06:
			return i.K, steps, nil
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", at-1, i.Code)
		}
	}
	return 0, steps, fmt.Errorf("the program ends without an answer")
}

// Verify holds a program to what the kernel's checkers ask of it, and to
// having no instruction that is never reached.
func Verify[I Program](t testing.TB, program []I) {
	t.Helper()
	if len(program) == 0 || len(program) > 4096 {
		t.Fatalf("%d instructions", len(program))
	}
	reached := make([]bool, len(program))
	reached[0] = true
	for at := range program {
		i := Instruction(program[at])
		if !reached[at] {
			t.Fatalf("instruction %d %+v is never reached", at, i)
		}
		var to []int
		switch i.Code {
		case 0x20:
			if i.K%4 != 0 || i.K >= 64 {
				t.Fatalf("instruction %d loads at %d", at, i.K)
			}
			to = []int{at + 1}
		case 0x54:
			to = []int{at + 1}
		case 0x05:
			to = []int{at + 1 + int(i.K)}
		case 0x15, 0x25, 0x35, 0x45:
			to = []int{at + 1 + int(i.Jt), at + 1 + int(i.Jf)}
		case 0x06:
		default:
			t.Fatalf("instruction %d has code %#x", at, i.Code)
		}
		for _, n := range to {
			if n >= len(program) {
				t.Fatalf("instruction %d %+v leaves the program", at, i)
			}
			reached[n] = true
		}
	}
	if last := Instruction(program[len(program)-1]); last.Code != 0x06 {
		t.Fatalf("the last instruction is %+v", last)
	}
}
