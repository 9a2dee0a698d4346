package cgroup

import (
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkContainer is what one container costs in this package, by step. It
// pauses before each, as a start that comes out of the blue finds the kernel's
// paths cold, which counts for more than what is executed.
func BenchmarkContainer(b *testing.B) {
	real(b)
	r := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{denyAll}}
	var spent [6]time.Duration
	step := func(i int, f func() error) {
		begin := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		spent[i] += time.Since(begin)
	}
	for range b.N {
		time.Sleep(20 * time.Millisecond)
		for begin := time.Now(); time.Since(begin) < time.Millisecond; { // wakes the processor
		}
		var l *Layout
		var g *Group
		var j *Join
		path := name()
		step(0, func() (err error) { l, err = Detect(); return })
		step(1, func() (err error) {
			if g, err = l.Group(path, "x", r, false); err == nil {
				err = g.Check()
			}
			return
		})
		step(2, func() error { return g.Create() })
		step(3, func() error { return errors.Join(g.Apply(r, nil), g.Guard(r.Devices)) })
		step(4, func() (err error) { j, err = g.Open(); return })
		j.Close()
		step(5, func() error { return g.Remove(background(b)) })
	}
	for i, what := range [...]string{"detect", "check", "create", "apply", "open", "remove"} {
		b.ReportMetric(float64(spent[i].Microseconds())/float64(b.N), what+"-µs")
	}
}

func BenchmarkStats(b *testing.B) {
	g := create(b, real(b), nil, false)
	for b.Loop() {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}
