package hcs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	winio "github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// The monitor is the container's one resident process. It holds the standard
// streams, starts the program when a command asks for it, remembers the exit
// code on disk and ends with it, so that an engine can wait for it as for any
// child. Nothing is lost with a monitor but the streams: every command finds
// the container in the service.

const (
	// killed is the exit code of a container that was ended before it had a
	// process of its own to end: what every engine takes for SIGKILL.
	killed = 128 + 9
	// interrupted is STATUS_CONTROL_C_EXIT, with which Windows ends a program
	// that does not handle a control event.
	interrupted = 0xC000013A
	// unstarted is every shell's code for a program that is not there.
	unstarted = 127
)

// keeper is the monitor at work.
type keeper struct {
	dir string
	order

	work    sync.Mutex // one request at a time changes the container
	system  computeSystem
	exited  *departure // the compute system's end
	vm      string     // ends with it; "" none
	booted  bool
	relay   *relay
	settled chan struct{}
	settle  sync.Once
	hurry   chan struct{} // closed: nobody waits for the last of the output any more
	hasten  sync.Once

	answers sync.RWMutex // for writing when all are given

	mu       sync.Mutex // held for moments only: a kill must get through
	process  process
	busy     bool        // a call that starts something is under way
	stopping bool        // the container's end has begun
	forced   bool        // and not politely
	over     chan ending // how it ended, once
}

// Monitor is the whole life of a monitor process: it reads its order from the
// file, tells its creator through the inherited ready pipe that it listens, and
// returns the exit code it has to end with. creator is an inherited handle of
// the process that it must not outlive before it is settled.
func Monitor(file string, ready, creator uintptr) int {
	quiet()
	k := &keeper{over: make(chan ending, 1), settled: make(chan struct{}), hurry: make(chan struct{})}
	pipe := os.NewFile(ready, "ready")
	code, err := k.run(file, pipe, windows.Handle(creator))
	if err != nil {
		_, _ = fmt.Fprintf(pipe, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		_ = pipe.Close()
		return 255
	}
	return int(code)
}

func (k *keeper) run(file string, ready *os.File, creator windows.Handle) (uint32, error) {
	var err error
	if k.dir, err = readOrder(file, &k.order); err != nil {
		return 0, err
	}
	if k.Exec {
		closeHandle(creator) // which may end while the process goes on
		return k.exec(ready)
	}
	self := monitor{Pid: os.Getpid(), Pipe: k.Pipe}
	if self.Created, err = createdAt(windows.CurrentProcess()); err != nil {
		return 0, fmt.Errorf("looking at its own process: %w", err)
	}
	if err := writeRecord(k.dir, gateFile, self); err != nil {
		return 0, err
	}
	l, err := winio.ListenPipe(k.Pipe, &winio.PipeConfig{SecurityDescriptor: pipeSecurity})
	if err != nil {
		return 0, fmt.Errorf("listening for commands: %w", err)
	}
	defer l.Close()
	go serve(l, k.answers.RLocker(), k.answer)
	if _, err := ready.WriteString("ready\n"); err != nil {
		return 0, fmt.Errorf("telling the creator: %w", err)
	}
	_ = ready.Close()
	go k.mourn(creator)
	end := <-k.over
	return k.finish(end), nil
}

// mourn ends a monitor whose creator dies before the container's facts are
// complete: nobody could start that container any more.
func (k *keeper) mourn(creator windows.Handle) {
	died := make(chan struct{})
	go func() {
		_, _ = windows.WaitForSingleObject(creator, windows.INFINITE)
		closeHandle(creator) // which kept the dead process and its id
		close(died)
	}()
	select {
	case <-k.settled:
	case <-died:
		select {
		case <-k.settled: // it settled and went
		default:
			k.mu.Lock()
			defer k.mu.Unlock()
			k.forced = true
			k.end(ending{Code: killed, Why: "its creator died"})
		}
	}
}

func (k *keeper) answer(ctx context.Context, r request) error {
	switch r.Op {
	case opSettle:
		k.settle.Do(func() { close(k.settled) })
		return nil
	case opCreate:
		return k.alone(ctx, func(ctx context.Context) error { return k.create(ctx, r.VM) })
	case opBoot:
		return k.alone(ctx, k.boot)
	case opStart:
		k.settle.Do(func() { close(k.settled) })
		return k.alone(ctx, k.start)
	case opSignal:
		return k.signal(ctx, r.Number)
	case opEnd:
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.stopping {
			k.hasten.Do(func() { close(k.hurry) })
			return libcontainer.ErrNotRunning
		}
		k.forced = true
		k.end(ending{Code: killed})
		return nil
	}
	return fmt.Errorf("the monitor knows no request %q", r.Op)
}

// alone does what brings the container forward: one step at a time, and none
// once its end has begun.
func (k *keeper) alone(ctx context.Context, step func(context.Context) error) error {
	k.work.Lock()
	defer k.work.Unlock()
	if err := k.begin(); err != nil {
		return err
	}
	defer k.idle()
	return step(ctx)
}

func (k *keeper) begin() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopping:
		return libcontainer.ErrNotRunning
	case k.process != nil:
		return errors.New("the program runs already")
	}
	k.busy = true
	return nil
}

func (k *keeper) idle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = false
}

// create makes the compute system of the document that lies beside the order.
func (k *keeper) create(ctx context.Context, vm string) error {
	document, err := os.ReadFile(filepath.Join(k.dir, documentFile))
	if err != nil {
		return fmt.Errorf("reading the document of container %s: %w", k.System, err)
	}
	system, err := serviceFor(k.API).create(ctx, k.System, document)
	if errors.Is(err, computecore.ErrSystemAlreadyExists) {
		// Somebody was faster: it is not ours to end, which the document would say.
		return join(err, os.Remove(filepath.Join(k.dir, documentFile)))
	}
	if err != nil {
		return err
	}
	exited, err := system.watch(ctx)
	if err != nil {
		err = join(err, system.terminate(ctx))
		system.close()
		return err
	}
	k.system, k.exited, k.vm = system, exited, vm
	return nil
}

// boot starts the compute system, once.
func (k *keeper) boot(ctx context.Context) error {
	if k.booted {
		return nil
	}
	if k.system == nil {
		return fmt.Errorf("starting container %s: it was not created", k.System)
	}
	err := k.system.start(ctx)
	k.booted = err == nil
	return err
}

// start runs the program. When it cannot be run the container has ended.
func (k *keeper) start(ctx context.Context) error {
	err := k.boot(ctx)
	var p process
	if err == nil {
		p, err = k.system.createProcess(ctx, k.Process)
		err = notFound(err, k.Program)
	}
	if first, ok := p.(*processV1); ok {
		first.init = true
	}
	if err == nil {
		if err = writeRecord(k.dir, initFile, program{Pid: p.pid()}); err != nil {
			p.close()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.forced = true
		k.end(ending{Code: unstarted, Why: err.Error()})
		return err
	}
	k.process = p
	k.relay = startRelay(p, os.Stdin, os.Stdout, os.Stderr)
	go k.await(p, k.exited)
	return nil
}

// await sees the end of the program or of the whole container.
func (k *keeper) await(p process, exited *departure) {
	code, err := outcome(p, exited)
	end := ending{Code: code}
	if err != nil {
		end = ending{Code: lost, Why: err.Error()}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end(end)
}

func (k *keeper) signal(ctx context.Context, number int) error {
	k.mu.Lock()
	p := k.process
	switch {
	case k.stopping:
		k.mu.Unlock()
		return libcontainer.ErrNotRunning
	case p != nil:
		k.forced = k.forced || number == libcontainer.Terminate
		k.mu.Unlock()
		if err := p.signal(ctx, number, k.OS); noProcess(err) {
			return libcontainer.ErrNotRunning
		} else if err != nil {
			return err
		}
		return nil
	}
	defer k.mu.Unlock()
	// Nothing in the container could handle the signal yet.
	code := uint32(killed)
	switch {
	case k.OS == "linux" && number == 0:
		return nil
	case k.OS == "linux":
		code = uint32(128 + number)
	case number != libcontainer.Terminate:
		code = interrupted
	}
	k.forced = true
	k.end(ending{Code: code})
	return nil
}

// end begins the container's end; k.mu is held.
func (k *keeper) end(e ending) {
	if !k.stopping {
		k.stopping = true
		k.over <- e
	}
}

// exec is the monitor of one further process.
func (k *keeper) exec(ready *os.File) (uint32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	system, err := serviceFor(k.API).open(ctx, k.System)
	if err != nil {
		return 0, err
	}
	defer system.close()
	exited, err := system.watch(ctx)
	if err != nil {
		return 0, err
	}
	p, err := system.createProcess(ctx, k.Process)
	if err != nil {
		return 0, notFound(err, k.Program)
	}
	defer p.close()
	r := startRelay(p, os.Stdin, os.Stdout, os.Stderr)
	if _, err := fmt.Fprintf(ready, "ready %d\n", p.pid()); err != nil {
		k.log("telling the creator: %v", err)
	}
	_ = ready.Close()
	code, err := outcome(p, exited)
	if err != nil {
		k.log("waiting for process %d of container %s: %v", p.pid(), k.System, err)
		code = lost
	}
	r.wait(execDrain, readerWait, nil)
	return code, nil
}

// notFound words a missing program as engines expect it: podman and docker make
// exit code 127 of it.
func notFound(err error, program string) error {
	if errors.Is(err, computecore.ErrFileNotFound) || errors.Is(err, computecore.ErrPathNotFound) {
		return fmt.Errorf("exec: %q: executable file not found in the container: %w", program, err)
	}
	return err
}

// log writes to the monitor's own log, if there is one: nobody reads what a
// monitor prints.
func (k *keeper) log(format string, args ...any) {
	if k.Log == "" {
		return
	}
	f, err := os.OpenFile(k.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "time=%q level=error msg=%q\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}
