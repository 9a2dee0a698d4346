package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
)

func resizeCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "resize-tty",
		Usage:     "change the size of the terminal of a process",
		ArgsUsage: "<container-id> <width> <height>",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "pid", Aliases: []string{"p"}, Usage: "`id` of the process as ps lists it (default: the first one)"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 3, 3); err != nil {
				return err
			}
			width, err := side("width", c.Args().Get(1))
			if err != nil {
				return err
			}
			height, err := side("height", c.Args().Get(2))
			if err != nil {
				return err
			}
			if pid := c.Int("pid"); c.IsSet("pid") && pid <= 0 {
				return fmt.Errorf("--pid %d: not a process id", pid)
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Resize(c.Context, c.Args().First(), c.Int("pid"), width, height)
		},
	}
}

// side reads a number of characters; a COORD and a struct winsize hold 16 bits.
func side(what, s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s %q: not a number of characters from 1 to 65535", what, s)
	}
	return uint16(n), nil
}
