package main

import (
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

func execCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a further process in a container",
		ArgsUsage: "<container-id> <command> [arguments], or -p process.json <container-id>",
		Flags:     execFlags(),
		Action: func(c *cli.Context) error {
			if err := between(c, 1, -1); err != nil {
				return err
			}
			code, err := in.exec(c)
			switch {
			case err == nil && code != 0:
				return exitStatus(code)
			case libcontainer.ExitCode(err) == 1:
				return libcontainer.WithExitCode(err, 255) // 1 could be the program's own
			}
			return err
		},
	}
}

func (in *invocation) exec(c *cli.Context) (int, error) {
	rt, err := in.runtime(c)
	if err != nil {
		return 0, err
	}
	o := libcontainer.ExecOptions{
		PidFile:      c.String("pid-file"),
		Detach:       c.Bool("detach"),
		IgnorePaused: c.Bool("ignore-paused"),
		MonitorLog:   c.String("shim-log"),
	}
	if o.Cgroup, err = parseCgroups(c.StringSlice("cgroup")); err != nil {
		return 0, err
	}
	if file := c.String("process"); file != "" {
		o.Override, err = readProcess(file)
	} else {
		o.Override, err = processOverride(c)
	}
	if err != nil {
		return 0, err
	}
	s := &streams{console: c.String("console-socket"), preserve: c.Int("preserve-fds"), pidfd: c.String("pidfd-socket")}
	o.Streams = s.open
	if !o.Detach {
		if s.front, err = newForeground(); err != nil {
			return 0, err
		}
		defer s.front.end()
		o.Started = s.front.attach
	}
	return rt.Exec(c.Context, c.Args().First(), o)
}

func execFlags() []cli.Flag {
	return append(runhcsLog(), []cli.Flag{
		&cli.StringFlag{Name: "console-socket", Usage: "unix socket that receives the master of the process's pseudoterminal"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "unix socket that receives a pidfd of the process"},
		&cli.StringFlag{Name: "cwd", Usage: "working directory in the container"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "`NAME=value`, on top of the container's environment"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`uid[:gid]`, or the name of a user of a Windows container"},
		&cli.StringSliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "further group id"},
		&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "`file` with the process as in config.json"},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "do not wait for the process"},
		&cli.StringFlag{Name: "pid-file", Usage: "file to write the process id to"},
		&cli.StringFlag{Name: "process-label", Usage: "SELinux label"},
		&cli.StringFlag{Name: "apparmor", Usage: "AppArmor profile"},
		&cli.BoolFlag{Name: "no-new-privs", Usage: "set no_new_privs"},
		&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "further capability"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "pass `N` descriptors, from 3 on (behind those of $LISTEN_FDS)"},
		&cli.StringSliceFlag{Name: "cgroup", Usage: "`[controller:]path` of an existing cgroup below the container's"},
		&cli.BoolFlag{Name: "ignore-paused", Usage: "do it in a paused container too; the process waits for resume"},
	}...)
}
