//go:build wrunfault

package hcs

import (
	"os"
	"strconv"
	"time"
)

// The waits of waits.go, divided by WRUN_TEST_HURRY.
var (
	// callWait bounds one call of the service.
	callWait = shorter(2 * time.Minute)
	// answerWait bounds everything that a monitor does on request. Starting a
	// utility VM is the longest of it.
	answerWait = shorter(5 * time.Minute)
	// dialWait is for the moment in which all instances of a monitor's pipe are
	// taken.
	dialWait = shorter(10 * time.Second)
	// readyWait bounds what a monitor does before it answers its creator: one
	// call of the service, where it is for exec.
	readyWait = callWait + dialWait
	// shutdownWait is what the rest of a container gets to write its registry
	// and end its services, once its first process has ended.
	shutdownWait = shorter(30 * time.Second)
	// terminateWait bounds the harder way.
	terminateWait = shorter(30 * time.Second)
	// endWait is for a call that was under way when the end came.
	endWait = shorter(time.Second)
	// drainWait is for output that is on its way when all writers are gone.
	drainWait = shorter(10 * time.Second)
	// execDrain is shorter: children of a further process may stay and keep its
	// streams, in a container that lives on.
	execDrain = shorter(500 * time.Millisecond)
	// readerWait is for a caller that takes its time to read the last of the
	// output, as a pager does.
	readerWait = shorter(time.Hour)
	// lockWait is for other wruns that mount layers or change the same VM.
	lockWait = shorter(time.Minute)
)

func shorter(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv("WRUN_TEST_HURRY")); err == nil && n > 0 {
		return d / time.Duration(n)
	}
	return d
}
