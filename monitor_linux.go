package main

import (
	"fmt"
	"os"
)

// process is what wrun is when wrun itself starts it, or the kernel of a utility
// VM: no command line, and nothing of what one costs, which is most where
// instructions are translated.
func process(args []string) (code int, is bool) {
	if len(args) < 2 {
		return 0, false
	}
	switch args[1] {
	case "monitor":
		return monitor(args[2:]), true
	case "agent":
		operand := ""
		if len(args) > 2 {
			operand = args[2]
		}
		if err := agent(operand); err != nil {
			fmt.Fprintf(os.Stderr, "wrun: %v\n", err)
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// hostCommands are those that only this operating system's hosts need.
func hostCommands() []command { return nil }
