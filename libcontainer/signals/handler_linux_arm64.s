#include "textflag.h"

// The kernel calls handler(signal in R0) with the return to its own code in
// R30, and saves every register around it.
TEXT ·handler(SB),NOSPLIT|NOFRAME,$0-0
	SUB  $16, RSP
	MOVB R0, 0(RSP)
	MOVW ·pipe(SB), R0
	MOVD RSP, R1
	MOVD $1, R2
	MOVD $64, R8 // write
	SVC
	ADD  $16, RSP
	RET

TEXT ·restorer(SB),NOSPLIT|NOFRAME,$0-0
	MOVD $139, R8 // rt_sigreturn
	SVC
	UNDEF

TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVD $·handler(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·restorerPC(SB),NOSPLIT,$0-8
	MOVD $·restorer(SB), R0
	MOVD R0, ret+0(FP)
	RET
