package main

import "strings"

// This file is pure: argv in, argv out. cli/v2 stops reading options at the
// first operand, but `wrun create <id> --bundle dir` is how containers are
// usually typed and how conformance suites call a runtime; so options are
// moved in front of the operands before cli/v2 sees them.

// optionTable looks an option up by any of its names, without dashes: its
// first name and whether the next argument belongs to it. An unknown option
// keeps its name and takes none; cli/v2 reports it.
type optionTable func(name string) (first string, takesValue bool)

// splitCommand takes argv (without the program's name) apart at the command:
// what stands before it are global options. --rootless may stand alone or
// before its value, which no flag of cli/v2 can; it leaves as --rootless=value.
func splitCommand(args []string, options optionTable) (globals []string, command string, rest []string) {
	for i := 0; i < len(args); i++ {
		name, joined := optionName(args[i])
		_, takesValue := options(name)
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
		case !joined && takesValue && i+1 < len(args):
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
// for ps (the id), 0 for none. A "--" ends the options. Short names become
// long ones, because cli/v2 refuses `-e A=1 --env B=2` as two forms of one.
func reorder(args []string, literalFrom int, options optionTable) []string {
	front := make([]string, 0, len(args)+1)
	var operands []string
	for i := 0; i < len(args); i++ {
		name, joined := optionName(args[i])
		if name == "" { // an operand, or "--"
			if args[i] != "--" {
				operands = append(operands, args[i])
			}
			if args[i] == "--" || len(operands) == literalFrom {
				operands = append(operands, args[i+1:]...)
				break
			}
			continue
		}
		first, takesValue := options(name)
		front = append(front, rename(args[i], name, first))
		if (first == "help" || first == "h") && !joined {
			return front // cli/v2 would take an operand for the topic
		}
		if takesValue && !joined {
			if i++; i == len(args) {
				// The value is missing. Last, the option cannot take an operand
				// for it, and cli/v2 reports it.
				return front
			}
			front = append(front, args[i])
		}
	}
	if len(operands) == 0 {
		return front
	}
	return append(append(front, "--"), operands...)
}

func rename(option, name, first string) string {
	if name == first {
		return option
	}
	_, rest, _ := strings.Cut(option, name)
	return "--" + first + rest
}

// optionName returns the name of an option without its one or two dashes
// (go-runc writes -no-subreaper) and whether "=value" is part of it. The name
// of an operand, and of "--", is "".
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
