//go:build linux

package main

import (
	"fmt"
	"io"
)

// limit is the greatest allowed ratio of wrun's median for a command to that of
// a peer for the same, or for another one.
type limit struct {
	command, peer string
	most          float64
	than          string // the other command; "": the same
}

// promised is what docs/PROMISES.md says of wrun's speed on Linux.
var promised = []limit{
	{command: "run true", peer: "crun", most: 0.7},
	{command: "run true", peer: "runc", most: 0.3},
	{command: "create+start+delete --force", peer: "crun", most: 0.6},
	{command: "exec", peer: "crun", most: 0.7},
	{command: "state", peer: "crun", most: 1},
	{command: "kill", peer: "crun", most: 1},
	{command: "delete", peer: "crun", most: 1},
	{command: "100 by 8 callers", peer: "crun", most: 0.8},
	{command: "list of 500", peer: "wrun", than: "list of 100", most: 5}, // linear
}

// judge prints which of the promises about the measured commands wrun keeps.
// Where wrun or all peers were not measured nothing was proven: that fails.
func judge(out io.Writer, rows []row, promises []limit) bool {
	find := func(command, runtime string) *row {
		for i := range rows {
			if rows[i].command == command && rows[i].runtime == runtime {
				return &rows[i]
			}
		}
		return nil
	}
	kept, judged := true, 0
	for _, p := range promises {
		other := p.than
		if other == "" {
			other = p.command
		}
		own, peer := find(p.command, "wrun"), find(other, p.peer)
		if own == nil || peer == nil {
			continue
		}
		judged++
		got, verdict := ratio(median(own.samples), median(peer.samples)), "PASS"
		if got > p.most {
			kept, verdict = false, "FAIL"
		}
		fmt.Fprintf(out, "%s  wrun %s takes %.3f of the time of %s %s, %.2f allowed\n", verdict, p.command, got, p.peer, other, p.most)
	}
	if judged == 0 {
		fmt.Fprintln(out, "FAIL  nothing was measured that a promise speaks of")
	}
	return kept && judged > 0
}

// judgeMemory compares what runtimes need of the machine's memory: wrun's own
// peak is at most runc's, and it charges its container with less than runc does.
func judgeMemory(out io.Writer, m map[string]memoryUse) bool {
	own, there := m["wrun"]
	if !there {
		fmt.Fprintln(out, "FAIL  the memory of wrun was not measured")
		return false
	}
	runc, there := m["runc"]
	if !there {
		fmt.Fprintln(out, "FAIL  the memory of runc was not measured")
		return false
	}
	kept := true
	say := func(ok bool, format string, args ...any) {
		verdict := "PASS"
		if !ok {
			verdict, kept = "FAIL", false
		}
		fmt.Fprintf(out, verdict+"  "+format+"\n", args...)
	}
	say(own.peak <= runc.peak, "wrun's peak resident set of run is %d KiB, runc's %d", own.peak, runc.peak)
	say(own.charged < runc.charged, "wrun charges a created container with %d KiB, runc with %d", own.charged>>10, runc.charged>>10)
	return kept
}
