package main

import (
	"encoding/json"

	"github.com/urfave/cli/v2"
)

func stateCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "state",
		Usage:     "print the state of a container",
		ArgsUsage: "<container-id>",
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			// More than the specification's state, as runc prints it: BuildKit
			// reads rootfs, and the pid of a stopped container is there, as 0.
			s, err := rt.Summary(c.Context, c.Args().First())
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(append(data, '\n'))
			return err
		},
	}
}
