package main

import (
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
	"wrun/libcontainer/sysmon"
)

func runCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create a container, start it, wait for it and delete it",
		ArgsUsage: "<container-id>",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "do not wait; the container stays until it is deleted"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when it has ended"},
			&cli.BoolFlag{Name: "no-subreaper", Hidden: true, Usage: "accepted because callers of runc send it: wrun never is one"},
		),
		Action: func(c *cli.Context) error {
			sysmon.Slacken()
			if err := between(c, 1, 1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			o := libcontainer.RunOptions{Detach: c.Bool("detach"), Keep: c.Bool("keep")}
			if o.CreateOptions, err = createOptions(c); err != nil {
				return err
			}
			s := &streams{console: c.String("console-socket"), preserve: c.Int("preserve-fds"), pidfd: c.String("pidfd-socket")}
			o.Streams = s.open
			if !o.Detach {
				if s.front, err = newForeground(); err != nil {
					return err
				}
				defer s.front.end()
				o.Started = func(p libcontainer.Process) {
					in.log.flush()
					s.front.attach(p)
				}
			}
			code, err := rt.Run(c.Context, c.Args().First(), o)
			if err == nil && code != 0 {
				err = exitStatus(code)
			}
			return err
		},
	}
}
