package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

func listCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the containers of a state root",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: "table or json"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids only"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 0, 0); err != nil {
				return err
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			all, err := rt.List(c.Context)
			if err != nil {
				return err
			}
			return printList(c.App.Writer, all, c.String("format"), c.Bool("quiet"))
		},
	}
}

func printList(out io.Writer, all []libcontainer.Summary, format string, quiet bool) error {
	w := bufio.NewWriter(out)
	if err := formatList(w, all, format, quiet); err != nil {
		return err
	}
	return w.Flush()
}

func formatList(w io.Writer, all []libcontainer.Summary, format string, quiet bool) error {
	if quiet {
		for _, s := range all {
			fmt.Fprintln(w, s.ID)
		}
		return nil
	}
	switch format {
	case "table":
		t := tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
		fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range all {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		return t.Flush()
	case "json":
		if len(all) == 0 {
			all = nil // runc's answer to an empty root is null
		}
		return json.NewEncoder(w).Encode(all)
	}
	return invalidFormat(format)
}

func invalidFormat(format string) error {
	return libcontainer.WithHint(fmt.Errorf("invalid format option: %q", format), "table or json")
}
