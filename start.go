package main

import "github.com/urfave/cli/v2"

func startCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "run the program of a created container",
		ArgsUsage: "<container-id>",
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Start(c.Context, c.Args().First())
		},
	}
}
