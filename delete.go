package main

import "github.com/urfave/cli/v2"

func deleteCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "remove a container and all it holds",
		ArgsUsage: "<container-id>",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill the container first if it has not stopped; an unknown id is no error"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Delete(c.Context, c.Args().First(), c.Bool("force"))
		},
	}
}
