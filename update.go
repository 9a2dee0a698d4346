package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
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
		Description: "With --resources the limits are a linux.resources or windows.resources object\n" +
			"as in config.json, from a file or from stdin (-), and the other options are\n" +
			"ignored. What is not given stays as it is. Sizes take a unit: 512m, 1g. A limit\n" +
			"that the container's operating system does not have is an error.",
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
		f := &cli.StringFlag{Name: l.option, Usage: l.usage, Hidden: l.usage == ""}
		if l.option == "cpu-share" {
			f.Aliases = []string{"cpu-shares"} // docker's word
		}
		flags = append(flags, f)
	}
	return flags
}

// readUpdate returns what the options ask for. Values that are wrong for every
// container are told before this one is looked at.
func readUpdate(c *cli.Context) (func(*libcontainer.Limits) error, error) {
	if file := c.String("resources"); file != "" {
		return readResources(file)
	}
	var given []limit
	for _, l := range limits() {
		value := c.String(l.option)
		if value == "" {
			continue
		}
		given = append(given, l)
		errLinux, errWindows := l.try(value)
		if errLinux != nil && errWindows != nil {
			return nil, fmt.Errorf("--%s %s: %w", l.option, value, cmp.Or(told(errLinux), told(errWindows)))
		}
	}
	return func(to *libcontainer.Limits) error {
		for _, l := range given {
			if err := l.apply(to, c.String(l.option)); err != nil {
				return fmt.Errorf("--%s %s: %w", l.option, c.String(l.option), err)
			}
		}
		if to.Windows == nil {
			return nil
		}
		data, err := json.Marshal(to.Windows)
		if err == nil {
			_, err = bundle.ParseWindowsResources(data)
		}
		return err
	}, nil
}

// errOtherSystem is the answer for a limit that the container's operating
// system does not have.
type errOtherSystem string

func (e errOtherSystem) Error() string { return "a " + string(e) + " container has no such limit" }

// told leaves out errOtherSystem: of two answers the one about the value counts.
func told(err error) error {
	if errors.As(err, new(errOtherSystem)) {
		return nil
	}
	return err
}

// try says what either kind of container would say to value.
func (l *limit) try(value string) (linux, windows error) {
	return l.apply(&libcontainer.Limits{Linux: new(specs.LinuxResources)}, value),
		l.apply(&libcontainer.Limits{Windows: new(specs.WindowsResources)}, value)
}

// apply is the one place that knows which container has which limit: the core
// gives those of the container's operating system.
func (l *limit) apply(to *libcontainer.Limits, value string) error {
	switch {
	case to.Windows != nil && l.windows != nil:
		return l.windows(to.Windows, value)
	case to.Windows != nil:
		return errOtherSystem("Windows")
	case l.linux != nil:
		return l.linux(to.Linux, value)
	}
	return errOtherSystem("Linux")
}

// readResources reads a linux.resources or windows.resources object; which of
// them it is, the container decides.
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
	_, errLinux := bundle.ParseResources(data)
	if errLinux != nil {
		if _, err := bundle.ParseWindowsResources(data); err != nil {
			return nil, errLinux // about the same, if it is no JSON
		}
	}
	return func(to *libcontainer.Limits) error {
		if to.Windows != nil {
			return windowsResources(data, to)
		}
		if errLinux != nil {
			return errLinux
		}
		if name := windowsLimit(data); name != "" {
			return fmt.Errorf("resources.%s: %w", name, errOtherSystem("Linux"))
		}
		return json.Unmarshal(data, to.Linux)
	}, nil
}

// windowsResources refuses what is not in windows.resources: only an object
// meant for a Linux container has more, and would be taken for done.
func windowsResources(data []byte, to *libcontainer.Limits) error {
	if _, err := bundle.ParseWindowsResources(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(to.Windows); err != nil {
		return fmt.Errorf("resources of a Windows container: %w", err)
	}
	return nil
}

// windowsLimit names a limit in data that only Windows containers have. Other
// fields that wrun does not know may be of a later specification.
func windowsLimit(data []byte) string {
	var r struct {
		Storage any `json:"storage"`
		CPU     struct {
			Count    any `json:"count"`
			Maximum  any `json:"maximum"`
			Affinity any `json:"affinity"`
		} `json:"cpu"`
	}
	if json.Unmarshal(data, &r) != nil {
		return ""
	}
	switch {
	case r.Storage != nil:
		return "storage"
	case r.CPU.Count != nil:
		return "cpu.count"
	case r.CPU.Maximum != nil:
		return "cpu.maximum"
	case r.CPU.Affinity != nil:
		return "cpu.affinity"
	}
	return ""
}
