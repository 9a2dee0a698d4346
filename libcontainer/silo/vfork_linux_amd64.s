#include "textflag.h"

// func rawVfork(trap, a1, a2 uintptr) (r1, errno uintptr)
//
// Parent and child share the stack below the caller. The return address is
// kept in a register across the call, because its place on the stack is the
// first that the child's own calls overwrite before the parent returns.
TEXT ·rawVfork(SB),NOSPLIT|NOFRAME,$0-40
	MOVQ trap+0(FP), AX
	MOVQ a1+8(FP), DI
	MOVQ a2+16(FP), SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	XORL R9, R9
	POPQ R12
	SYSCALL
	PUSHQ R12
	CMPQ AX, $0xfffffffffffff001
	JLS  done
	MOVQ $-1, r1+24(FP)
	NEGQ AX
	MOVQ AX, errno+32(FP)
	RET

done:
	MOVQ AX, r1+24(FP)
	MOVQ $0, errno+32(FP)
	RET
