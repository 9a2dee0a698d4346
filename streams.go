package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// streams are what a new process gets from wrun's caller: standard streams or
// a terminal, and further descriptors.
type streams struct {
	console  string // --console-socket
	pidfd    string // --pidfd-socket
	preserve int    // --preserve-fds
	// front relays the terminal of a process that wrun waits for; nil when the
	// caller goes its way.
	front *foreground
}

// open is asked once the container's operating system and the process are known.
func (s *streams) open(system string, p *specs.Process) (libcontainer.Stdio, error) {
	io := libcontainer.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, PidfdSocket: s.pidfd}
	detached := s.front == nil
	switch {
	case detached && p.Terminal && s.console == "" && terminalsAreHandedOver:
		return io, libcontainer.WithHint(errors.New("cannot allocate tty if wrun will detach without setting console socket"),
			"--console-socket, or process.terminal false")
	case s.console != "" && !(detached && p.Terminal):
		return io, errors.New("cannot use console socket if wrun will not detach or allocate tty")
	}
	if err := checkSockets(s); err != nil {
		return io, err
	}
	var err error
	if io.ListenFDs, err = listenFDs(os.Getpid()); err != nil {
		return io, err
	}
	if s.preserve < 0 {
		return io, fmt.Errorf("--preserve-fds %d: not a number of descriptors", s.preserve)
	}
	io.PreserveFDs = io.ListenFDs + s.preserve
	if err := checkPreserved(io.PreserveFDs); err != nil {
		return io, err
	}
	if !detached {
		s.front.system = system
	}
	switch {
	case p.Terminal && !detached:
		s.front.term, err = newTerminal(&io, p)
	case p.Terminal && terminalsAreHandedOver:
		io.Console, err = dialConsole(s.console)
	}
	return io, err
}

// listenFDs is sd_listen_fds(3): the descriptors are for pid only.
func listenFDs(pid int) (int, error) {
	count := os.Getenv("LISTEN_FDS")
	if count == "" || os.Getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return 0, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("LISTEN_FDS=%s: not a number of descriptors", count)
	}
	return n, nil
}
