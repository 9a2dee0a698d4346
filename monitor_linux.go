package main

// process is what wrun is when wrun itself starts it: no command line, and
// nothing of what one costs.
func process(args []string) (code int, is bool) {
	if len(args) < 2 {
		return 0, false
	}
	switch args[1] {
	case "monitor":
		return monitor(args[2:]), true
	}
	return 0, false
}

// hostCommands are those that only this operating system's hosts need.
func hostCommands() []command { return nil }
