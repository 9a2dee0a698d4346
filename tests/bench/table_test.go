//go:build linux

package main

import (
	"io"
	"testing"
	"time"
)

func walls(ms ...int) []sample {
	var samples []sample
	for _, n := range ms {
		samples = append(samples, sample{wall: time.Duration(n) * time.Millisecond})
	}
	return samples
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		samples []sample
		want    time.Duration
	}{
		{walls(7), 7 * time.Millisecond},
		{walls(9, 1, 5), 5 * time.Millisecond},
		{walls(100, 1, 3, 2), 2500 * time.Microsecond},
	} {
		if got := median(test.samples); got != test.want {
			t.Errorf("median %v, want %v", got, test.want)
		}
	}
	if got := minimum(walls(9, 1, 5)); got != time.Millisecond {
		t.Errorf("minimum %v", got)
	}
}

func TestJudge(t *testing.T) {
	allowed := map[string]float64{"crun": 0.75, "runc": 0.35}
	wrun, crun, runc := row{runtime: "wrun", samples: walls(6)}, row{runtime: "crun", samples: walls(8)}, row{runtime: "runc", samples: walls(20)}
	for _, test := range []struct {
		name string
		rows []row
		want bool
	}{
		{"both kept", []row{wrun, crun, runc}, true},
		{"crun too near", []row{{runtime: "wrun", samples: walls(7)}, crun, runc}, false},
		{"runc too near", []row{wrun, crun, {runtime: "runc", samples: walls(17)}}, false},
		{"wrun not measured", []row{crun, runc}, false},
		{"no peer measured", []row{wrun}, false},
	} {
		if got := judge(io.Discard, test.rows, allowed); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
