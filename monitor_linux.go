package main

import "github.com/urfave/cli/v2"

// monitorCommand is what wrun starts for a container in a utility VM, and nobody
// else: what it has to do comes by inherited descriptors.
func monitorCommand(*invocation) *cli.Command {
	return &cli.Command{
		Name:   "monitor",
		Hidden: true,
		Usage:  "own a utility VM, relay its container's streams and end with its exit code",
		Action: func(c *cli.Context) error {
			if code := monitor(c.Args().Slice()); code != 0 {
				return exitStatus(code)
			}
			return nil
		},
	}
}

// agentCommand is what a utility VM's kernel starts.
func agentCommand(*invocation) *cli.Command {
	return &cli.Command{
		Name:   "agent",
		Hidden: true,
		Usage:  "be the first process of a utility VM",
		Action: func(c *cli.Context) error { return agent(c.Args().First()) },
	}
}

// hostCommands are those that only this operating system's hosts need.
func hostCommands() []command {
	return []command{{"monitor", 0, monitorCommand}, {"agent", 0, agentCommand}}
}
