package main

import "strings"

// This file is pure: argv in, argv out. cli/v2 stops reading options at the
// first operand, but `wrun create <id> --bundle dir` is how containers are
// usually typed and how conformance suites call a runtime; so options are
// moved in front of the operands before cli/v2 sees them.

// takesValue says of an option's name (without dashes) whether the next
// argument belongs to it. Unknown options take none; cli/v2 reports them.
type takesValue func(name string) bool

// splitCommand takes argv (without the program's name) apart at the command:
// what stands before it are global options. --rootless may stand alone or
// before its value, which no flag of cli/v2 can; it leaves as --rootless=value.
func splitCommand(args []string, value takesValue) (globals []string, command string, rest []string) {
	for i := 0; i < len(args); i++ {
		name, joined := optionName(args[i])
		switch {
		case args[i] == "--" || name == "":
			return globals, args[i], args[i+1:]
		case name == "rootless" && !joined:
			v := "true"
			if i+1 < len(args) && isTriState(args[i+1]) {
				i++
				v = args[i]
			}
			globals = append(globals, "--rootless="+v)
		case !joined && value(name) && i+1 < len(args):
			globals = append(globals, args[i], args[i+1])
			i++
		default:
			globals = append(globals, args[i])
		}
	}
	return globals, "", nil
}

// reorder moves the options of one command in front of its operands, with "--"
// between the two. literalFrom is the number of operands behind which every
// argument belongs to somebody else: 2 for exec (the id and the program), 1
// for ps (the id), 0 for none. A "--" ends the options.
func reorder(args []string, literalFrom int, value takesValue) []string {
	options := make([]string, 0, len(args)+1)
	var operands []string
	for i := 0; i < len(args); i++ {
		name, joined := optionName(args[i])
		switch {
		case args[i] == "--":
			operands = append(operands, args[i+1:]...)
			i = len(args)
		case name == "":
			operands = append(operands, args[i])
			if len(operands) == literalFrom {
				operands = append(operands, args[i+1:]...)
				i = len(args)
			}
		case !joined && value(name) && i+1 < len(args):
			options = append(options, args[i], args[i+1])
			i++
		case !joined && value(name):
			// Its value is missing. Last, it cannot take an operand for it, and
			// cli/v2 reports it.
			return append(options, args[i])
		default:
			options = append(options, args[i])
		}
	}
	if len(operands) == 0 {
		return options
	}
	return append(append(options, "--"), operands...)
}

// optionName returns the name of an option without its one or two dashes
// (go-runc writes -no-subreaper) and whether "=value" is part of it. The name
// of an operand is "".
func optionName(arg string) (name string, joined bool) {
	if len(arg) < 2 || arg[0] != '-' {
		return "", false
	}
	name = arg[1:]
	if name[0] == '-' {
		name = name[1:]
	}
	name, _, joined = strings.Cut(name, "=")
	return name, joined
}

func isTriState(s string) bool { return s == "true" || s == "false" || s == "auto" }
