//go:build wrunfault

package libcontainer

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var faultPassages atomic.Int64

// fault ends this process without any chance to clean up, like the kernel's
// out-of-memory killer, when WRUN_FAULT asks for it at this point.
func fault(point string) {
	want, count, counted := strings.Cut(os.Getenv("WRUN_FAULT"), ":")
	if want != point {
		return
	}
	n := int64(1)
	if counted {
		var err error
		if n, err = strconv.ParseInt(count, 10, 64); err != nil {
			panic("WRUN_FAULT: " + err.Error())
		}
	}
	if faultPassages.Add(1) != n {
		return
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	time.Sleep(time.Minute) // the signal arrives first
	panic("WRUN_FAULT: not killed at " + point)
}
