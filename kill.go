package main

import "github.com/urfave/cli/v2"

func killCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal (SIGTERM by default) to a container's first process",
		ArgsUsage: "<container-id> [signal]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send it to every process of the container"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 2); err != nil {
				return err
			}
			name := c.Args().Get(1)
			if c.NArg() == 1 {
				name = "SIGTERM"
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Kill(c.Context, c.Args().First(), name, c.Bool("all"))
		},
	}
}
