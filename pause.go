package main

import "github.com/urfave/cli/v2"

func pauseCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "suspend all processes of a container",
		ArgsUsage: "<container-id>",
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Pause(c.Context, c.Args().First())
		},
	}
}
