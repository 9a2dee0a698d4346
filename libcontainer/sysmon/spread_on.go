//go:build linux && wrunfault

package sysmon

import (
	"os"
	"path/filepath"
)

// spread makes all threads as late as the monitor, and with them those that they
// start: tests see every time what else would happen now and then.
func spread() {
	threads, _ := filepath.Glob("/proc/self/task/*")
	for _, t := range threads {
		_ = os.WriteFile("/proc/"+filepath.Base(t)+"/timerslack_ns", []byte(late), 0)
	}
}
