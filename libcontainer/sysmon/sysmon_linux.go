// Package sysmon quiets the monitor of Go's runtime: the thread that, as long as
// goroutines run, wakes up every 20 µs to see whether one of them waits in the
// kernel and another could have its processor. wrun's processes live for
// milliseconds and pay for each look with two switches: a twentieth of a run.
//
// Threads that the monitor starts are then as late as it is, and what is cloned
// from a thread inherits that (prctl(2), PR_SET_TIMERSLACK). Whoever starts a
// program therefore does it with Exact, or gives Slack to the thread that clones.
package sysmon

import (
	"fmt"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// late is what the monitor itself is content with when nothing happens, in
// nanoseconds: 10 ms.
const late = "10000000"

// slack is the timer slack that this process had from its caller, in
// nanoseconds; 0 as long as all of its threads still have it.
var slack uintptr

// Slacken lets the monitor be late. With a single processor it does nothing:
// there, a goroutine that is to run while another waits in the kernel waits for
// the monitor. Nor where the kernel does not let it; all is as before then. It
// is to be called once, before anything is started.
func Slacken() {
	if ours() {
		SlackenHere()
	}
}

// SlackenHere is Slacken for who knows that /proc is of its own pid namespace.
func SlackenHere() {
	if runtime.GOMAXPROCS(0) < 2 {
		return
	}
	had, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || had <= 0 { // a realtime caller's timers have none
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
	if _, err := unix.Write(fd, []byte(late)); err == nil {
		slack = uintptr(had)
		spread()
	}
}

// Slack is the timer slack, in nanoseconds, that a thread sets before it clones
// a process; 0: what it has is the caller's.
func Slack() uintptr { return slack }

// Exact starts a program from a thread whose timers are as exact as the caller's.
func Exact(start func() error) error {
	if slack != 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0); err != nil {
			return fmt.Errorf("make timers exact: %w", err)
		}
	}
	return start()
}

// ours tells whether /proc counts as this process does. That of another pid
// namespace has somebody else under the thread's number.
func ours() bool {
	var number [20]byte
	n, err := unix.Readlink("/proc/self", number[:])
	return err == nil && string(number[:n]) == strconv.Itoa(unix.Getpid())
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
