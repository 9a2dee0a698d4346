package main

import (
	"errors"
	"strconv"

	"github.com/urfave/cli/v2"
)

// monitorCommand is what wrun starts for each container, and nobody else: its
// operands are a file and two inherited handles.
func monitorCommand(*invocation) *cli.Command {
	return &cli.Command{
		Name:   "monitor",
		Hidden: true,
		Usage:  "relay a container's streams and end with its exit code",
		Action: func(c *cli.Context) error {
			if err := between(c, 3, 3); err != nil {
				return err
			}
			ready, err := strconv.ParseUint(c.Args().Get(1), 10, 64)
			creator, err2 := strconv.ParseUint(c.Args().Get(2), 10, 64)
			if err != nil || err2 != nil {
				return errors.New("monitor is started by wrun itself")
			}
			if code := monitor(c.Args().First(), uintptr(ready), uintptr(creator)); code != 0 {
				return exitStatus(code)
			}
			return nil
		},
	}
}

// hostCommands are those that only this operating system's hosts need.
func hostCommands() []command { return []command{{"monitor", 0, monitorCommand}} }

// process is nothing here: a monitor is a hidden command.
func process([]string) (code int, is bool) { return 0, false }
