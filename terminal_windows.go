package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// Windows has no pseudoterminal that can be handed over, nor inherited
// descriptors by number; what asks for them is refused.

type terminal struct{ theirs *os.File }

func newTerminal() (*terminal, error) {
	return nil, errors.New("process.terminal in the foreground is not built yet on windows")
}

func (t *terminal) attached() error { return nil }
func (t *terminal) resize()         {}
func (t *terminal) end()            {}

type signalSource chan os.Signal

func collectSignals() (signalSource, error) {
	s := make(signalSource, 8)
	signal.Notify(s, os.Interrupt, syscall.SIGTERM)
	return s, nil
}

// Next waits for a signal.
func (s signalSource) Next() (syscall.Signal, error) {
	if number, ok := (<-s).(syscall.Signal); ok {
		return number, nil
	}
	return syscall.SIGINT, nil // os.Interrupt is one in any case
}

func dialConsole(path string) (*os.File, error) {
	return nil, errors.New("--console-socket is not supported on windows")
}

func checkPreserved(n int) error {
	if n > 0 {
		return errors.New("--preserve-fds is not supported on windows")
	}
	return nil
}
