package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
	"wrun/libcontainer/bundle"
)

func updateCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "change resource limits of a container",
		ArgsUsage: "<container-id>",
		Description: "With --resources the limits are a linux.resources object as in config.json,\n" +
			"from a file or from stdin (-), and the other options are ignored. What is not\n" +
			"given stays as it is. Sizes take a unit: 512m, 1g.",
		Flags: updateFlags(),
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			edit, err := readUpdate(c)
			if err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			return rt.Update(c.Context, c.Args().First(), edit)
		},
	}
}

func updateFlags() []cli.Flag {
	flags := []cli.Flag{&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "`file` with the limits, or - for stdin"}}
	for _, l := range limits() {
		flags = append(flags, &cli.StringFlag{Name: l.option, Usage: l.usage, Hidden: l.usage == ""})
	}
	return flags
}

// readUpdate returns what the options ask for. All of it is read and checked
// before the container is looked at.
func readUpdate(c *cli.Context) (func(*libcontainer.Limits) error, error) {
	if file := c.String("resources"); file != "" {
		return readResources(file)
	}
	wanted := &specs.LinuxResources{}
	for _, l := range limits() {
		if value := c.String(l.option); value != "" {
			if err := l.set(wanted, value); err != nil {
				return nil, fmt.Errorf("--%s %s: %w", l.option, value, err)
			}
		}
	}
	return func(l *libcontainer.Limits) error {
		*l.Linux = *wanted
		return nil
	}, nil
}

func readResources(file string) (func(*libcontainer.Limits) error, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read resources from %s: %w", file, err)
	}
	if _, err := bundle.ParseResources(data); err != nil {
		return nil, err
	}
	return func(l *libcontainer.Limits) error { return json.Unmarshal(data, l.Linux) }, nil
}
