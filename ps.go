package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

func psCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "print the processes of a container",
		ArgsUsage: "<container-id> [arguments of ps]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: "table (of ps, where the host has one for the container) or json (process ids)"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 1, -1); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			id, w := c.Args().First(), c.App.Writer
			switch f := c.String("format"); f {
			case "json":
				pids, err := rt.Processes(c.Context, id)
				if err != nil {
					return err
				}
				if pids == nil {
					pids = []int{}
				}
				return json.NewEncoder(w).Encode(pids)
			case "table":
				return printProcesses(c.Context, rt, id, w, c.Args().Tail())
			default:
				return invalidFormat(f)
			}
		},
	}
}

// printProcesses asks the container's host for a table, and where that has none
// the ps of this machine, whose processes they are then.
func printProcesses(ctx context.Context, rt *libcontainer.Runtime, id string, w io.Writer, args []string) error {
	table, err := rt.ProcessTable(ctx, id)
	switch {
	case errors.Is(err, libcontainer.ErrUnsupported), err == nil && len(table) == 0 && runtime.GOOS != "windows":
		pids, err := rt.Processes(ctx, id)
		if err != nil {
			return err
		}
		return printTable(w, pids, args)
	case err != nil:
		return err
	case len(args) > 0:
		return fmt.Errorf("arguments of ps: %s: there is no ps for the processes of container %s", strings.Join(args, " "), id)
	}
	return printOwnTable(w, table)
}

// printOwnTable has the columns of tasklist and docker top, and the commands where
// the host knows them.
func printOwnTable(w io.Writer, table []libcontainer.ProcessInfo) error {
	t := tabwriter.NewWriter(w, 6, 1, 2, ' ', 0)
	whole := slices.ContainsFunc(table, func(p libcontainer.ProcessInfo) bool { return p.Command != "" })
	header := "PID\tIMAGE\tCREATED\tCPU\tMEMORY"
	if whole {
		header += "\tCOMMAND"
	}
	fmt.Fprintln(t, header)
	for _, p := range table {
		created := "-"
		if !p.Created.IsZero() {
			created = p.Created.UTC().Format(time.RFC3339)
		}
		cpu := (p.User + p.Kernel).Round(time.Millisecond)
		fmt.Fprintf(t, "%d\t%s\t%s\t%.3f s\t%d K", p.Pid, plain(p.Image), created, cpu.Seconds(), p.Memory/1024)
		if whole {
			fmt.Fprint(t, "\t", plain(p.Command))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
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
