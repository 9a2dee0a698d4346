//go:build linux

package main

import (
	"bytes"
	"time"
)

// result is what one test showed for one runtime.
type result struct {
	Test     string
	OK       int  // "ok" lines, skipped assertions included
	NotOK    int  // "not ok" lines
	Exit     int  // of the test program; -1: ended by a signal
	Errored  bool // a YAML diagnostic "error": the only sign of failure in tests without assertions
	TimedOut bool
	Skipped  string   // why the test was not run
	Left     []string // processes alive after the test program ended
	Tries    int      // more than 1: a race of the suite's, run again alone
	Took     time.Duration
}

// count reads a test program's TAP. Its exit code alone is no verdict: most
// programs exit 0 after "not ok".
func (r *result) count(tap []byte) {
	for line := range bytes.Lines(tap) {
		switch {
		case bytes.HasPrefix(line, []byte("ok ")):
			r.OK++
		case bytes.HasPrefix(line, []byte("not ok ")):
			r.NotOK++
		case bytes.HasPrefix(bytes.TrimSpace(line), []byte(`"error":`)):
			r.Errored = true
		}
	}
}

// clean answers whether the runtime passed. A silent test makes no assertion
// and shows failure as a diagnostic or exit code only; any other test without
// a single "ok" has tested nothing.
func (r result) clean(silent bool) bool {
	switch {
	case r.Skipped != "" || r.TimedOut || r.Exit != 0 || r.NotOK > 0:
		return false
	case silent:
		return !r.Errored
	}
	return r.OK > 0
}
