package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
	"wrun/libcontainer/sysmon"
)

func createCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "create a container and leave it before its program",
		ArgsUsage: "<container-id>",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Hidden: true, Usage: "accepted because go-runc sends it: create always detaches"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the isolation chosen, why, and what create would do; touch nothing"},
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
			id := c.Args().First()
			o, err := createOptions(c)
			if err != nil {
				return err
			}
			if c.Bool("dry-run") {
				return dryRun(c, rt, id, o)
			}
			o.Streams = (&streams{console: c.String("console-socket"), preserve: c.Int("preserve-fds"), pidfd: c.String("pidfd-socket")}).open
			return rt.Create(c.Context, id, o)
		},
	}
}

// createFlags are what create and run have in common.
func createFlags() []cli.Flag {
	return append(vmFlags(), []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "directory of the bundle (default: the working directory)"},
		&cli.StringFlag{Name: "pid-file", Usage: "file to write the process id to"},
		&cli.StringFlag{Name: "console-socket", Usage: "unix socket that receives the master of the container's pseudoterminal"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "unix socket that receives a pidfd of the container's process"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "change the root by other means than pivot_root, for a root file system on a ramdisk"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "keep the caller's session keyring"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "pass `N` descriptors, from 3 on, to the container (behind those of $LISTEN_FDS)"},
	}...)
}

// vmFlags are about utility VMs, which are others on Windows than on Linux.
func vmFlags() []cli.Flag {
	if runtime.GOOS == "windows" {
		return runhcsFlags()
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "uvm-accel", Usage: "kvm or tcg: how a utility VM's instructions are executed (default: kvm where it works)"},
		&cli.StringFlag{Name: "uvm-template", Usage: "off has a utility VM booted and not restored from a template"},
	}
}

// createOptions words a missing bundle as runc does, which changes into it.
func createOptions(c *cli.Context) (libcontainer.CreateOptions, error) {
	o := libcontainer.CreateOptions{
		Bundle:       c.String("bundle"),
		PidFile:      c.String("pid-file"),
		NoPivot:      c.Bool("no-pivot"),
		NoNewKeyring: c.Bool("no-new-keyring"),
		MonitorLog:   c.String("shim-log"),
		VMLog:        c.String("vm-log"),
		VMConsole:    c.String("vm-console"),
		VMAccel:      c.String("uvm-accel"),
		VMTemplate:   c.String("uvm-template"),
		VM:           c.String("host"),
	}
	if o.Bundle == "" {
		return o, nil
	}
	_, err := os.Stat(o.Bundle)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		failed.Op = "chdir"
	}
	return o, err
}

func dryRun(c *cli.Context, rt *libcontainer.Runtime, id string, o libcontainer.CreateOptions) error {
	cfg, err := rt.Prepare(id, o)
	if err != nil {
		return err
	}
	plan, err := planText(cfg)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(c.App.Writer, plan)
	return err
}
