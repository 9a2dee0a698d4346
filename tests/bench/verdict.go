//go:build linux

package main

import (
	"fmt"
	"io"
)

// limit is the greatest allowed ratio of wrun's median for a command to a peer's.
type limit struct {
	command, peer string
	most          float64
}

// promised is what docs/PROMISES.md says of wrun's speed on Linux.
var promised = []limit{
	{"run true", "crun", 0.6},
	{"run true", "runc", 0.25},
	{"create+start+delete --force", "crun", 0.6},
	{"exec", "crun", 0.7},
	{"state", "crun", 1},
	{"kill", "crun", 1},
	{"delete", "crun", 1},
	{"100 by 8 callers", "crun", 0.6},
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
		own, peer := find(p.command, "wrun"), find(p.command, p.peer)
		if own == nil || peer == nil {
			continue
		}
		judged++
		got, verdict := ratio(median(own.samples), median(peer.samples)), "PASS"
		if got > p.most {
			kept, verdict = false, "FAIL"
		}
		fmt.Fprintf(out, "%s  wrun %s takes %.3f of %s's time, %.2f allowed\n", verdict, p.command, got, p.peer, p.most)
	}
	if judged == 0 {
		fmt.Fprintln(out, "FAIL  nothing was measured that a promise speaks of")
	}
	return kept && judged > 0
}

// judgeMemory compares what runtimes need of the machine's memory: wrun's
// own peak at most runc's, and what it leaves its container to pay for less
// than either peer does.
func judgeMemory(out io.Writer, m map[string]memoryUse) bool {
	own, there := m["wrun"]
	if !there || len(m) < 2 {
		fmt.Fprintln(out, "FAIL  the memory of wrun and a peer was not measured")
		return false
	}
	kept := true
	for _, peer := range []string{"crun", "runc"} {
		p, measured := m[peer]
		if !measured {
			continue
		}
		say := func(ok bool, format string, args ...any) {
			verdict := "PASS"
			if !ok {
				verdict, kept = "FAIL", false
			}
			fmt.Fprintf(out, verdict+"  "+format+"\n", args...)
		}
		if peer == "runc" {
			say(own.peak <= p.peak, "wrun's peak resident set of run is %d KiB, runc's %d", own.peak, p.peak)
		}
		say(own.charged < p.charged, "wrun charges a created container with %d KiB, %s with %d", own.charged>>10, peer, p.charged>>10)
	}
	return kept
}
