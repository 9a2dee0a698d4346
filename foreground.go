package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"wrun/libcontainer"
)

// foreground is wrun staying with the process it started: signals that wrun
// gets are passed on, and a terminal, if the process has one, is relayed.
type foreground struct {
	signals chan os.Signal
	term    *terminal   // nil without a terminal
	rest    *time.Timer // collects the rarer signals
}

// newForeground starts to collect the signals that end wrun. Those that come
// before the process runs wait for it.
//
// Beside the work that follows, for Go takes some 15 µs and two thread switches
// to take over one signal; and only those, for all 62 would be a tenth of a
// short container's time. attach collects the others: those that programs use
// at once, the rare ones when the program has settled.
func newForeground() *foreground {
	f := &foreground{signals: make(chan os.Signal, 64)}
	go signal.Notify(f.signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	return f
}

// settled is when a program counts as one that stays.
const settled = 20 * time.Millisecond

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
	f.rest = time.AfterFunc(settled, func() { signal.Notify(f.signals, collected()...) })
	go func() {
		signal.Notify(f.signals, syscall.SIGQUIT, syscall.Signal(sigusr1), syscall.Signal(sigusr2), syscall.Signal(sigwinch))
		if f.term != nil {
			f.term.resize() // it may have changed before
		}
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
// and the caller's terminal is as before. Signals are still collected, and
// reach nobody: what follows is the container's removal, which is bounded.
func (f *foreground) end() {
	if f.rest != nil {
		f.rest.Stop()
	}
	f.term.end()
}

// Linux's numbers.
const (
	sigusr1  = 10
	sigusr2  = 12
	sigpipe  = 13
	sigwinch = 28
)
