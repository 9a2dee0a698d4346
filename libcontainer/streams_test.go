package libcontainer_test

import (
	"errors"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// Streams learns whether the process has a terminal, and its error comes
// before anything was made.
func TestStreams(t *testing.T) {
	ctx := t.Context()
	for _, terminal := range []bool{false, true} {
		r := newRig(t, "sleep", "1000")
		r.spec.Process.Terminal = terminal
		o := r.options()
		asked := 0
		streams := func(want bool, err error) func(string, *specs.Process) (libcontainer.Stdio, error) {
			return func(os string, p *specs.Process) (libcontainer.Stdio, error) {
				asked++
				if p.Terminal != want || os != "linux" {
					t.Errorf("terminal %v on %s, want %v on linux", p.Terminal, os, want)
				}
				return libcontainer.Stdio{}, err
			}
		}
		o.Streams = streams(terminal, errInjected)
		if err := r.Create(ctx, "c1", o); !errors.Is(err, errInjected) {
			t.Errorf("create: %v", err)
		}
		r.clean("after the refused create")
		o.Streams = streams(terminal, nil)
		r.ok("create", r.Create(ctx, "c1", o))

		flip := func(_ string, p *specs.Process) error {
			p.Terminal = !terminal
			p.Args = []string{"true"}
			return nil
		}
		if code, err := r.Exec(ctx, "c1", libcontainer.ExecOptions{Override: flip, Streams: streams(!terminal, nil)}); code != 0 || err != nil {
			t.Errorf("exec: %d, %v", code, err)
		}
		if code, err := r.Exec(ctx, "c1", libcontainer.ExecOptions{Override: flip, Streams: streams(!terminal, errInjected)}); code != 255 || !errors.Is(err, errInjected) {
			t.Errorf("refused exec: %d, %v", code, err)
		}
		if asked != 4 {
			t.Errorf("asked %d times", asked)
		}
		r.ok("delete", r.Delete(ctx, "c1", true))
	}
}
