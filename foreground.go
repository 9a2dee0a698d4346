package main

import (
	"syscall"
	"time"

	"wrun/libcontainer"
)

// foreground is wrun staying with the process it started: signals that wrun
// gets are passed on, and a terminal, if the process has one, is relayed.
type foreground struct {
	signals signalSource
	system  string      // the container's operating system
	term    *terminal   // nil without a terminal
	rest    *time.Timer // begins to pass signals on
}

// newForeground starts to collect signals. Those that come before the process
// runs wait for it.
func newForeground() (*foreground, error) {
	signals, err := collectSignals()
	return &foreground{signals: signals}, err
}

// settled is when a program counts as one that stays. Until then the signals
// stay where they are: most containers that are so short get none, and a
// thread that waits for them would cost a twentieth of such a run.
const settled = 20 * time.Millisecond

// attach passes signals on to p from now on. p may end at any moment, so a
// signal that finds nobody is no error.
func (f *foreground) attach(p libcontainer.Process) {
	f.rest = time.AfterFunc(settled, func() {
		for {
			number, err := f.signals.Next()
			switch {
			case err != nil:
				return
			case int(number) == sigwinch:
				f.term.resize()
			default:
				if sig, ok := signalFor(f.system, int(number)); ok {
					_ = p.Signal(sig)
				}
			}
		}
	})
}

// end is called when the process has ended: the rest of its output is copied
// and the caller's terminal is as before. Signals are still collected, and
// reach nobody: what follows is the container's removal, which is bounded.
func (f *foreground) end() {
	if f.rest != nil {
		f.rest.Stop()
	}
	f.term.end()
}

const sigwinch = 28 // Linux's number

// signalFor is a signal that wrun got, by its POSIX number, in the words of the
// container's operating system. Windows tells wrun of Ctrl-C and Ctrl-Break as
// an interrupt, and of a console that is closed, a logoff and a shutdown as a
// request to terminate.
func signalFor(system string, number int) (int, bool) {
	if system != "windows" {
		return number, true
	}
	switch syscall.Signal(number) {
	case syscall.SIGINT:
		return libcontainer.CtrlC, true
	case syscall.SIGQUIT:
		return libcontainer.CtrlBreak, true
	case syscall.SIGHUP:
		return libcontainer.CtrlClose, true
	case syscall.SIGTERM:
		return libcontainer.CtrlShutdown, true
	}
	return 0, false
}
