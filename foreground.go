package main

import (
	"os"
	"os/signal"
	"syscall"

	"wrun/libcontainer"
)

// foreground is wrun staying with the process it started: signals that wrun
// gets are passed on, and a terminal, if the process has one, is relayed.
type foreground struct {
	signals chan os.Signal
	term    *terminal // nil without a terminal
}

// newForeground starts to collect signals. Those that come before the process
// runs wait for it.
func newForeground() *foreground {
	f := &foreground{signals: make(chan os.Signal, 64)}
	signal.Notify(f.signals, collected()...)
	return f
}

// console makes the terminal and returns the socket that its master is sent to.
func (f *foreground) console() (*os.File, error) {
	var err error
	f.term, err = newTerminal()
	if err != nil {
		return nil, err
	}
	return f.term.theirs, nil
}

// attach passes signals on to p from now on. p may end at any moment, so a
// signal that finds nobody is no error.
func (f *foreground) attach(p libcontainer.Process) {
	go func() {
		for s := range f.signals {
			number, ok := s.(syscall.Signal)
			switch {
			case !ok || int(number) == sigpipe:
			case int(number) == sigwinch:
				f.term.resize()
			default:
				p.Signal(int(number))
			}
		}
	}()
}

// end is called when the process has ended: the rest of its output is copied
// and the caller's terminal is as before.
func (f *foreground) end() {
	signal.Stop(f.signals)
	f.term.end()
}

// Linux's numbers.
const (
	sigpipe  = 13
	sigwinch = 28
)
