package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"wrun/libcontainer"
)

// event is one line of the stream; the shape is runc's.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

func eventsCommand(in *invocation) *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "print the resource usage of a container, repeatedly until it stops",
		ArgsUsage: "<container-id>",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "time between two lines"},
			&cli.BoolFlag{Name: "stats", Usage: "print one line and end"},
		},
		Action: func(c *cli.Context) error {
			if err := between(c, 1, 1); err != nil {
				return err
			}
			interval := c.Duration("interval")
			if interval <= 0 {
				return errors.New("duration interval must be greater than 0")
			}
			rt, err := in.runtime(c)
			if err != nil {
				return err
			}
			id := c.Args().First()
			if c.Bool("stats") {
				return printStats(c.Context, rt, id, c.App.Writer)
			}
			return streamStats(c.Context, rt, id, c.App.Writer, interval)
		},
	}
}

func printStats(ctx context.Context, rt *libcontainer.Runtime, id string, w io.Writer) error {
	data, err := rt.Stats(ctx, id)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(event{"stats", id, data})
}

// streamStats ends without an error when the container stops or is deleted
// after the first line. Between the lines it tells of processes killed for want
// of memory, where the host tells.
func streamStats(ctx context.Context, rt *libcontainer.Runtime, id string, w io.Writer, interval time.Duration) error {
	if err := printStats(ctx, rt, id, w); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	oom, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- rt.WatchOOM(ctx, id, func() {
			select {
			case oom <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	defer func() {
		cancel()
		if ended != nil {
			<-ended
		}
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-oom:
			err = json.NewEncoder(w).Encode(event{Type: "oom", ID: id})
		case err = <-ended:
			ended = nil
			if err == nil {
				return nil // the container is no more, though its process may not be reaped yet
			}
			if errors.Is(err, libcontainer.ErrUnsupported) {
				err = nil
			}
		case <-tick.C:
			err = printStats(ctx, rt, id, w)
		}
		if err != nil {
			if gone(ctx, rt, id) {
				return nil
			}
			return err
		}
	}
}

func gone(ctx context.Context, rt *libcontainer.Runtime, id string) bool {
	s, err := rt.State(ctx, id)
	return errors.Is(err, libcontainer.ErrNotExist) || err == nil && s.Status == specs.StateStopped
}
