// Package sysmon quiets the monitor of Go's runtime: the thread that, as long as
// goroutines run, wakes up every 20 µs to see whether one of them waits in the
// kernel and another could have its processor. wrun's processes live for
// milliseconds and pay for each look with two switches: a twentieth of a run where
// processors are short. It knows nothing of who asks for it, or when.
package sysmon

import (
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// slack is what the monitor itself is content with when nothing happens, in
// nanoseconds: 10 ms.
const slack = "10000000"

// Slacken lets the monitor be late. With a single processor it does nothing:
// there, a goroutine that is to run while another waits in the kernel waits for
// the monitor. Nor where the kernel does not let it; all is as before then.
func Slacken() {
	if runtime.GOMAXPROCS(0) < 2 {
		return
	}
	thread := monitor()
	if thread == 0 {
		return
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(thread)+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Write(fd, []byte(slack))
}

// reach is how many numbers others may have taken between this process and its
// second thread.
const reach = 256

// monitor is the thread's number, 0 if it is not found. The runtime starts it
// before any other, so it is the first one behind the process's own: asking for
// that is cheaper than a list of all.
func monitor() int {
	pid := unix.Getpid()
	for thread := pid + 1; thread <= pid+reach; thread++ {
		if unix.Tgkill(pid, thread, 0) == nil {
			return thread
		}
	}
	return 0
}
