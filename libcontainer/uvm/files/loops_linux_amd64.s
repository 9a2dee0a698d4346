#include "textflag.h"

// func cloneLoop(flags, stack, l, which uintptr) (pid, errno uintptr)
//
// The child has nothing to return to: it calls loop, which ends the process.
TEXT ·cloneLoop(SB),NOSPLIT|NOFRAME,$0-48
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ l+16(FP), R12
	MOVQ which+24(FP), R13
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	MOVL $56, AX              // clone(2)
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	CMPQ AX, $0xfffffffffffff001
	JLS  done
	MOVQ $-1, pid+32(FP)
	NEGQ AX
	MOVQ AX, errno+40(FP)
	RET

done:
	MOVQ AX, pid+32(FP)
	MOVQ $0, errno+40(FP)
	RET

child:
	XORL BP, BP
	SUBQ $32, SP
	MOVQ R12, 0(SP)
	MOVQ R13, 8(SP)
	CALL ·loop(SB)
	INT  $3
