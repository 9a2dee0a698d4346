package main

import "github.com/urfave/cli/v2"

func resumeCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "let the processes of a paused container run on",
		ArgsUsage: "<container-id>",
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Resume(c.Context, c.Args().First())
		},
	}
}
