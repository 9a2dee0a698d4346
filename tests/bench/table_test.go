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
	promises := []limit{
		{command: "run", peer: "crun", most: 0.75}, {command: "run", peer: "runc", most: 0.35}, {command: "exec", peer: "crun", most: 0.5},
		{command: "list of 500", peer: "wrun", than: "list of 100", most: 5},
	}
	of := func(command, runtime string, ms int) row {
		return row{command: command, runtime: runtime, samples: walls(ms)}
	}
	wrun, crun, runc := of("run", "wrun", 6), of("run", "crun", 8), of("run", "runc", 20)
	for _, test := range []struct {
		name string
		rows []row
		want bool
	}{
		{"both kept", []row{wrun, crun, runc}, true},
		{"crun too near", []row{of("run", "wrun", 7), crun, runc}, false},
		{"runc too near", []row{wrun, crun, of("run", "runc", 17)}, false},
		{"another command too near", []row{wrun, crun, of("exec", "wrun", 6), of("exec", "crun", 8)}, false},
		{"linear", []row{of("list of 100", "wrun", 10), of("list of 500", "wrun", 49)}, true},
		{"not linear", []row{of("list of 100", "wrun", 10), of("list of 500", "wrun", 51)}, false},
		{"wrun not measured", []row{crun, runc}, false},
		{"no peer measured", []row{wrun}, false},
	} {
		if got := judge(io.Discard, test.rows, promises); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}

func TestJudgeMemory(t *testing.T) {
	for _, test := range []struct {
		name string
		all  map[string]memoryUse
		want bool
	}{
		{"kept", map[string]memoryUse{"wrun": {6, 10}, "crun": {3, 20}, "runc": {9, 30}}, true},
		{"greater than runc", map[string]memoryUse{"wrun": {10, 10}, "crun": {3, 20}, "runc": {9, 30}}, false},
		{"charges as much as runc", map[string]memoryUse{"wrun": {6, 30}, "crun": {3, 20}, "runc": {9, 30}}, false},
		{"wrun not measured", map[string]memoryUse{"crun": {3, 20}, "runc": {9, 30}}, false},
		{"runc not measured", map[string]memoryUse{"wrun": {6, 10}, "crun": {3, 20}}, false},
	} {
		if got := judgeMemory(io.Discard, test.all); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
