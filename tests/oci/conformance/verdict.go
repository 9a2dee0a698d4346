//go:build linux

package main

import (
	"bytes"
	"time"
)

// result is what one test showed for one runtime.
type result struct {
	test     string
	ok       int  // "ok" lines, skipped assertions included
	notOK    int  // "not ok" lines
	exit     int  // of the test program; -1: ended by a signal
	errored  bool // a YAML diagnostic "error": the only sign of failure in tests without assertions
	timedOut bool
	skipped  string   // why the test was not run
	left     []string // processes alive after the test program ended
	tries    int      // more than 1: a race of the suite's, run again alone
	took     time.Duration
}

// count reads a test program's TAP. Its exit code alone is no verdict: most
// programs exit 0 after "not ok".
func (r *result) count(tap []byte) {
	for line := range bytes.Lines(tap) {
		switch {
		case bytes.HasPrefix(line, []byte("ok ")):
			r.ok++
		case bytes.HasPrefix(line, []byte("not ok ")):
			r.notOK++
		case bytes.HasPrefix(bytes.TrimSpace(line), []byte(`"error":`)):
			r.errored = true
		}
	}
}

// clean answers whether the runtime passed. A silent test makes no assertion
// and shows failure as a diagnostic or exit code only; any other test without
// a single "ok" has tested nothing.
func (r result) clean(silent bool) bool {
	switch {
	case r.skipped != "" || r.timedOut || r.exit != 0 || r.notOK > 0:
		return false
	case silent:
		return !r.errored
	}
	return r.ok > 0
}
