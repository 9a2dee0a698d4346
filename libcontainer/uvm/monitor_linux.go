package uvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/signals"
	"wrun/libcontainer/uvm/network"
	"wrun/libcontainer/uvm/wire"
)

// MonitorCommand is the hidden command that the program of a monitor is started
// with.
const MonitorCommand = "monitor"

// self is this program, whatever its file is called by now.
const self = "/proc/self/exe"

// linkFD is the monitor's end of the link with its creator.
const linkFD = 3

// killed is the exit code of a container whose VM was ended, as of one that got
// SIGKILL.
const killed = 128 + int(unix.SIGKILL)

// syncWait bounds the writing of what the guest still has of the host's files.
const syncWait = 10 * time.Second

// monitor is the container's one process on the host that is not QEMU or the
// file server: the first of their pid namespace.
type monitor struct {
	order
	vm    *vm
	init  *relay
	cards []network.Interface
	front *os.File // the terminal's slave; nil without one
	ctl   link     // where commands come

	signals *signals.Pipe
	started chan struct{} // closed when the container is

	answers sync.RWMutex // for writing when all are given

	mu     sync.Mutex
	states map[string]*state // of the containers in the VM, its own among them
	number uint32            // of the last process
	pinned map[string]pinned // sockets of the containers that mount any
	code   int               // to end with: the program's once it has one
	hurry  bool              // somebody wants it gone: no output is waited for
	over   chan int

	warnings []string // for the creator
}

// Monitor is the whole life of a process of the monitor's program: the monitor
// itself, or with an operand one that helps it. It returns the exit code.
func Monitor(args []string) int {
	signal.Ignore(unix.SIGPIPE)
	if len(args) == 1 {
		switch args[0] {
		case filesCommand:
			return fileServer()
		case deputyCommand:
			return deputy()
		case memberCommand:
			return member()
		}
	}
	m := &monitor{over: make(chan int, 1), code: killed}
	creator := link(linkFD)
	unix.CloseOnExec(linkFD)
	if err := m.make(creator); err != nil {
		switch {
		case errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOTSOCK):
			fmt.Fprintln(os.Stderr, "wrun: a monitor is started by wrun itself, for a bundle with windows.hyperv")
		case !errors.Is(err, io.EOF): // else the creator has gone: nobody is there to be told
			_ = creator.send(report{Err: wire.Pack(err)})
		}
		return killed
	}
	creator.close()
	go m.forward()
	code := <-m.over
	// Who asked for the end is owed the answer.
	lockWithin(&m.answers, answerWait)
	return code
}

// answerWait is how long an ended container's monitor stays for its last answers.
const answerWait = time.Second

// lockWithin waits for a lock, but not for ever.
func lockWithin(l sync.Locker, most time.Duration) {
	got := make(chan struct{})
	go func() {
		l.Lock()
		close(got)
	}()
	select {
	case <-got:
	case <-time.After(most):
	}
}

// make does all of create, and returns when the monitor is on its own.
func (m *monitor) make(creator link) error {
	var err error
	if m.signals, err = signals.CollectAll(); err != nil {
		return err
	}
	fds, err := creator.receive(&m.order)
	if err != nil {
		return err
	}
	for _, step := range []func() error{m.listen, m.furnish} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := creator.send(report{}); err != nil {
		return err
	}
	if _, err := creator.receive(&proceed{}); err != nil { // its hooks have run
		return err
	}
	if err := m.boot(); err != nil {
		return err
	}
	if m.Terminal {
		if len(fds) != 1 {
			return errors.New("no console socket came")
		}
		if m.front, err = newTerminal(fds[0]); err != nil {
			return err
		}
	}
	closeAll(fds)
	warnings, err := m.create()
	if err != nil {
		return err
	}
	go m.serve()
	if err := creator.send(report{Warnings: append(m.warnings, warnings...)}); err != nil {
		return err
	}
	_, err = creator.receive(&proceed{}) // its facts are complete
	return err
}

// furnish makes ready what of the host the container gets to see.
func (m *monitor) furnish() error {
	files, warnings, err := m.pin(m.ID, m.Shares)
	if err != nil {
		return err
	}
	m.warnings = append(m.warnings, warnings...)
	return mountShares(m.Dir, m.ID, files)
}

// boot gives the container a VM: one restored from a template, where it may be.
func (m *monitor) boot() error {
	taps, err := m.connect()
	if err != nil {
		return err
	}
	defer func() { closeAll(taps) }() // QEMU has its own
	from := source{}
	if m.Machine.Accel == "" {
		m.Machine.Accel = m.Machine.chooseAccel(m.Dir)
	}
	var dropped error
	if !m.Machine.Boot {
		var t *template
		if t, dropped = m.Machine.template(m.Dir); dropped == nil {
			from = source{kind: restoredMemory, memory: t.memory, state: t.state}
			defer t.state.Close()
		} else if errors.As(dropped, &notBooted{}) {
			return dropped
		}
	}
	files, server, err := newLink()
	if err != nil {
		return err
	}
	from.taps = taps
	if m.vm, err = m.Machine.start(filepath.Join(m.Dir, qemuDir), int(files), from); err != nil {
		server.close()
		return err
	}
	// The guest asks for no file yet.
	if err := serveFiles(m.Dir, server); err != nil {
		return err
	}
	m.vm.dial = m.dial
	if from.kind == restoredMemory {
		err = m.vm.restore()
	} else {
		err = m.vm.ready(bootWait)
	}
	if err != nil {
		return err
	}
	if dropped != nil {
		m.warnings = append(m.warnings, fmt.Sprintf("the utility VM was booted: %v", dropped))
	}
	if m.vm.meet(); len(m.cards) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), longWait)
	defer cancel()
	if err := m.vm.ask(ctx, wire.OpNetwork, wire.Network{Interfaces: m.cards}, nil); err != nil {
		return m.vm.lost(err)
	}
	return nil
}

// create has the agent make the container.
func (m *monitor) create() ([]string, error) {
	var err error
	if m.front != nil {
		m.init, err = newRelay(m.vm.conn, 0, &wire.Terminal{}, m.front, nil, nil)
	} else {
		m.init, err = newRelay(m.vm.conn, 0, nil, os.Stdin, os.Stdout, os.Stderr)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootWait)
	defer cancel()
	in := m.order.create()
	in.Streams = m.init.Streams
	m.withSockets(&in)
	var made wire.Created
	err = m.vm.ask(ctx, wire.OpCreate, in, &made)
	if err != nil {
		return nil, m.vm.lost(err)
	}
	m.init.begin()
	m.states = map[string]*state{m.ID: {Init: made.Pid}}
	m.started = make(chan struct{})
	go m.await()
	return made.Warnings, nil
}

// startSoon is how long the agent is not asked for the end of a container that
// has not been started.
const startSoon = 50 * time.Millisecond

// await sees the end of the container, or of its VM.
func (m *monitor) await() {
	// A guest that is translated would take 4 ms to begin to wait, and the program
	// would start so much later.
	select {
	case <-m.started:
	case <-time.After(startSoon):
	}
	var exit wire.Exit
	if err := m.vm.conn.Call(context.Background(), wire.OpWait, wire.Target{ID: m.ID}, &exit); err != nil {
		m.end(killed)
		return
	}
	m.mu.Lock()
	hurry := m.hurry
	m.code = exit.Code
	m.mu.Unlock()
	if !hurry {
		m.init.outs.Wait()
		m.drain(m.ID)
		ctx, cancel := context.WithTimeout(context.Background(), syncWait)
		defer cancel()
		_ = m.vm.conn.Call(ctx, wire.OpSync, nil, nil) // what is lost then is lost with any machine
	}
	m.end(exit.Code)
}

// end ends this process, and by that the pid namespace with all that is in it.
func (m *monitor) end(code int) {
	select {
	case m.over <- code:
	default:
	}
}

// forward hands the signals that the monitor gets to the container, as if its
// process were here.
func (m *monitor) forward() {
	for {
		switch number, err := m.signals.Next(); {
		case err != nil:
			return
		case number == unix.SIGWINCH:
			m.resize()
		default:
			_ = m.signal(wire.Signal{ID: m.ID, Number: int(number)})
		}
	}
}

// resize makes the container's terminal like ours.
func (m *monitor) resize() {
	if m.front == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	_ = m.vm.conn.Call(ctx, wire.OpResize, wire.Resize{ID: m.ID, Terminal: terminalOf(m.front)}, nil)
}

// lost adds to an error of a call what became of the VM, if it is gone.
func (v *vm) lost(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ask the utility VM: its guest does not answer: %w", err)
	}
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return v.failed("ask the utility VM", errVMGone)
	}
	return err
}

// kill ends the VM and the container at once.
func (m *monitor) kill() {
	m.mu.Lock()
	m.hurry = true
	code := m.code
	m.mu.Unlock()
	m.end(code)
}

// signal is Signal of the container. A container that must die does so with its
// VM, when the guest does not answer.
func (m *monitor) signal(s wire.Signal) error {
	kill := s.Number == int(unix.SIGKILL) && s.ID == m.ID
	paused := m.paused()
	if kill {
		m.mu.Lock()
		m.hurry = true
		m.mu.Unlock()
	}
	if kill && paused {
		if err := m.vm.qmp.do("cont", nil, nil); err != nil {
			m.kill()
			return nil //nolint:nilerr // it is dead, which is what was asked for
		}
	}
	if paused && !kill {
		// It is pending until the VM goes on, as with a frozen process.
		go func() { _ = m.vm.conn.Call(context.Background(), wire.OpSignal, s, nil) }()
		return nil
	}
	patience := callWait
	if kill {
		patience = killWait
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := m.vm.conn.Call(ctx, wire.OpSignal, s, nil)
	if kill && err != nil {
		// The guest does not answer, or its program has ended and nobody reads its output.
		m.kill()
		if !errors.Is(err, libcontainer.ErrNotRunning) {
			return nil
		}
		return err
	}
	if err != nil {
		return m.vm.lost(err)
	}
	return nil
}

// killWait is how long a guest may take to kill before its VM is ended.
const killWait = 3 * time.Second

func (m *monitor) setPaused(paused bool) error {
	command := "cont"
	if paused {
		command = "stop"
	}
	if err := m.vm.qmp.do(command, nil, nil); err != nil {
		if paused {
			// If QEMU hears of it later, it must not stand still and be thought to run.
			go func() { _ = m.vm.qmp.do("cont", nil, nil) }()
		}
		return fmt.Errorf("container %s: %w", m.ID, err)
	}
	m.about(m.ID, func(s *state) { s.Paused = paused })
	if paused {
		return nil
	}
	// The VM's clock has stood, as no clock of a frozen process does.
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	return m.vm.conn.Call(ctx, wire.OpClock, wire.Clock{Time: time.Now().UnixNano()}, nil)
}
