package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/windows"

	"wrun/libcontainer"
)

// A Windows container's terminal is a console that the service emulates in it:
// what it is to show comes as bytes with escape sequences through an ordinary
// pipe, and keys go the same way back. Who relays them is the host's matter.
// Here only wrun's own console learns to speak so, and gets its modes back.

// terminalsAreHandedOver: the streams that were given to wrun are the terminal,
// also when it detaches.
const terminalsAreHandedOver = false

// terminal is the modes that the caller's console had.
type terminal struct {
	saved []savedMode
}

type savedMode struct {
	console windows.Handle
	mode    uint32
}

// newTerminal sets up the consoles among the streams and tells the process
// their size, unless it has one. A stream that is no console stays as it is.
//
// A console tells nobody of a new size but readers of its events, and here
// bytes are read: `wrun resize-tty` is for that.
func newTerminal(io *libcontainer.Stdio, p *specs.Process) (*terminal, error) {
	t := &terminal{}
	for _, f := range []*os.File{io.In, io.Out} {
		if f == nil {
			continue
		}
		h := windows.Handle(f.Fd())
		var mode uint32
		if windows.GetConsoleMode(h, &mode) != nil {
			continue
		}
		if windows.SetConsoleMode(h, rawMode(mode, f == io.In)) == nil {
			t.saved = append(t.saved, savedMode{h, mode})
		}
		if size, ok := consoleSize(h); ok && p.ConsoleSize == nil {
			p.ConsoleSize = &size
		}
	}
	return t, nil
}

// rawMode: each key reaches the container, Ctrl-C too, as the bytes that a
// terminal would send; escape sequences in the output are obeyed, and a line
// feed is only that.
func rawMode(mode uint32, input bool) uint32 {
	if input {
		mode &^= windows.ENABLE_ECHO_INPUT | windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT |
			windows.ENABLE_MOUSE_INPUT | windows.ENABLE_WINDOW_INPUT
		return mode | windows.ENABLE_EXTENDED_FLAGS | windows.ENABLE_QUICK_EDIT_MODE | windows.ENABLE_VIRTUAL_TERMINAL_INPUT
	}
	return mode | windows.ENABLE_PROCESSED_OUTPUT | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING | windows.DISABLE_NEWLINE_AUTO_RETURN
}

// consoleSize is the visible part of an output console.
func consoleSize(h windows.Handle) (specs.Box, bool) {
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleScreenBufferInfo(h, &info) != nil {
		return specs.Box{}, false
	}
	w := info.Window
	return specs.Box{Height: uint(w.Bottom-w.Top) + 1, Width: uint(w.Right-w.Left) + 1}, true
}

func (t *terminal) resize() {}

// end gives the consoles their modes back.
func (t *terminal) end() {
	if t == nil {
		return
	}
	for _, s := range t.saved {
		_ = windows.SetConsoleMode(s.console, s.mode)
	}
	t.saved = nil
}

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

// checkSockets refuses what needs to hand over a descriptor.
func checkSockets(s *streams) error {
	switch {
	case s.console != "":
		return libcontainer.WithHint(errors.New("--console-socket is not supported on windows: its sockets cannot carry a console"),
			"the streams given to wrun are the terminal; resize-tty changes its size")
	case s.pidfd != "":
		return libcontainer.WithHint(errors.New("--pidfd-socket is not supported on windows, which has no pidfds"), "--pid-file")
	}
	return nil
}

func dialConsole(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func checkPreserved(n int) error {
	if n > 0 {
		return errors.New("--preserve-fds is not supported on windows: its handles have no numbers that a program could count on")
	}
	return nil
}
