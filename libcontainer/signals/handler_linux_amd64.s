#include "textflag.h"

// The kernel calls handler(signal in DI) and saves every register around it.
TEXT ·handler(SB),NOSPLIT|NOFRAME,$0-0
	SUBQ $16, SP
	MOVB DI, 0(SP)
	MOVLQSX ·pipe(SB), DI
	MOVQ SP, SI
	MOVL $1, DX
	MOVL $1, AX // write
	SYSCALL
	ADDQ $16, SP
	RET

TEXT ·restorer(SB),NOSPLIT|NOFRAME,$0-0
	MOVL $15, AX // rt_sigreturn
	SYSCALL
	INT $3

TEXT ·handlerPC(SB),NOSPLIT,$0-8
	LEAQ ·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·restorerPC(SB),NOSPLIT,$0-8
	LEAQ ·restorer(SB), AX
	MOVQ AX, ret+0(FP)
	RET
