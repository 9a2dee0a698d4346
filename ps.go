package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

func psCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "print the processes of a container",
		ArgsUsage: "<container-id> [arguments of ps]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: "table (of ps) or json (host process ids)"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 1, -1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			pids, err := rt.Processes(c.Context, c.Args().First())
			if err != nil {
				return err
			}
			switch f := c.String("format"); f {
			case "json":
				if pids == nil {
					pids = []int{}
				}
				return json.NewEncoder(c.App.Writer).Encode(pids)
			case "table":
				return printTable(c.App.Writer, pids, c.Args().Tail())
			default:
				return invalidFormat(f)
			}
		},
	}
}

// printTable shows what the host's ps says of pids.
func printTable(w io.Writer, pids []int, args []string) error {
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.Command("ps", args...).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return fmt.Errorf("ps %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(failed.Stderr)))
		}
		return err
	}
	table, err := filterByPid(string(out), pids)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, table)
	return err
}

// filterByPid keeps the header of a table of ps and the lines of pids.
func filterByPid(table string, pids []int) (string, error) {
	header, rows, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(header), "PID")
	if column < 0 {
		return "", fmt.Errorf("no PID column in the output of ps: %q", header)
	}
	kept := []string{header}
	for row := range strings.Lines(rows) {
		row = strings.TrimSuffix(row, "\n")
		fields := strings.Fields(row)
		if len(fields) <= column {
			continue
		}
		if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
			kept = append(kept, row)
		}
	}
	return strings.Join(kept, "\n") + "\n", nil
}
