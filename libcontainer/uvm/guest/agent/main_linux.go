// Command agent is /init in a utility VM's boot image. It is a program of its own,
// of wrun's own packages, because a guest pays for what it does not use: half of
// wrun is its command line, which has to be copied into memory and initialised
// by translated instructions.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"fmt"
	"os"

	"wrun/libcontainer/uvm/guest"
)

func main() {
	// To the kernel, those of its parameters that it does not know are operands of
	// its first process; wrun's own come last.
	template := os.Args[len(os.Args)-1] == guest.TemplateOperand
	if err := guest.Main(template); err != nil {
		fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		os.Exit(1)
	}
}
