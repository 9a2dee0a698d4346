package hcs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/Microsoft/go-winio/pkg/guid"
	"golang.org/x/sys/windows"

	"wrun/libcontainer"
)

// MonitorCommand is the hidden command that a monitor is started with; its
// operands are Monitor's parameters.
const MonitorCommand = "monitor"

// child is a monitor that this process has started.
type child struct {
	process *os.Process
	created int64
	words   *os.File // what it says when it is ready
	program int      // process id in the container; exec only
}

// spawn starts a monitor and waits until it is ready.
func spawn(ctx context.Context, file string, io libcontainer.Stdio) (*child, error) {
	c, err := launch(file, io)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// launch starts a monitor with the given streams. It inherits these, two
// handles of ours and nothing else.
func launch(file string, io libcontainer.Stdio) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting the monitor: %w", err)
	}
	defer w.Close()
	c := &child{words: r}
	if c.process, err = inherit(file, io, w); err == nil {
		if c.created, err = creationTime(c.process.Pid); err == nil {
			return c, nil
		}
		c.kill()
	}
	_ = r.Close()
	return nil, fmt.Errorf("starting the monitor: %w", err)
}

// launching is a launch under way.
type launching struct {
	done  chan struct{}
	child *child
	err   error
}

// launchAside is launch while the caller goes on with something else.
func launchAside(file string, io libcontainer.Stdio) *launching {
	l := &launching{done: make(chan struct{})}
	go func() {
		l.child, l.err = launch(file, io)
		close(l.done)
	}()
	return l
}

func (l *launching) wait() (*child, error) {
	<-l.done
	return l.child, l.err
}

// stop ends what there is or will be of the monitor.
func (l *launching) stop() {
	if l == nil {
		return
	}
	if c, err := l.wait(); err == nil {
		c.kill()
	}
}

// inherit starts the process with its copies of the two handles: the pipe to
// us, whose other copies are closed so that its death ends our reading, and
// ourselves, whose end it has to see and to whom it can do nothing else.
func inherit(file string, io libcontainer.Stdio, pipe *os.File) (*os.Process, error) {
	ready, err := inheritable(windows.Handle(pipe.Fd()), 0)
	if err != nil {
		return nil, err
	}
	defer closeHandle(ready)
	self, err := inheritable(windows.CurrentProcess(), windows.SYNCHRONIZE)
	if err != nil {
		return nil, err
	}
	defer closeHandle(self)
	return startMonitor(file, io, ready, self)
}

// startMonitor starts the process.
func startMonitor(file string, io libcontainer.Stdio, ready, self windows.Handle) (*os.Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Not in the container's directory, which could not be removed while an exec's
	// monitor has the rest of its output to write.
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return nil, err
	}
	streams := []*os.File{io.In, io.Out, io.Err}
	for i, f := range streams {
		if f != nil {
			continue
		}
		// No file at all would become the handle -1, which means this process.
		if streams[i], err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
			return nil, err
		}
		defer streams[i].Close()
	}
	attr := &syscall.SysProcAttr{
		CreationFlags:              windows.CREATE_NEW_PROCESS_GROUP, // the caller's Ctrl-C is not the monitor's
		AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(ready), syscall.Handle(self)},
	}
	if !isConsole(io.In) && !isConsole(io.Out) && !isConsole(io.Err) {
		// A console that nobody gave it would end it when it is closed.
		attr.CreationFlags |= windows.DETACHED_PROCESS
	}
	argv := []string{exe, MonitorCommand, file, strconv.FormatUint(uint64(ready), 10), strconv.FormatUint(uint64(self), 10)}
	return os.StartProcess(exe, argv, &os.ProcAttr{Dir: dir, Files: streams, Sys: attr})
}

// ready waits for the monitor's first word: "ready [pid]" or "error text".
func (c *child) ready(ctx context.Context) error {
	defer c.words.Close()
	if err := c.await(ctx); err != nil {
		return fmt.Errorf("starting the monitor: %w", err)
	}
	return nil
}

func (c *child) await(ctx context.Context) error {
	type word struct {
		line string
		err  error
	}
	said := make(chan word, 1)
	go func() {
		line, err := bufio.NewReader(c.words).ReadString('\n')
		said <- word{strings.TrimSpace(line), err}
	}()
	late := time.NewTimer(readyWait)
	defer late.Stop()
	select {
	case w := <-said:
		kind, rest, _ := strings.Cut(w.line, " ")
		switch {
		case w.err != nil:
			return errors.New("it ended before it was ready")
		case kind == "error":
			return errors.New(rest)
		case rest != "":
			var err error
			c.program, err = strconv.Atoi(rest)
			return err
		}
		return nil
	case <-late.C:
		return fmt.Errorf("it was not ready after %v", readyWait)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends a monitor that is of no use, and waits for its end.
func (c *child) kill() {
	_ = c.words.Close()
	_ = c.process.Kill()
	_, _ = c.process.Wait()
}

// inheritable duplicates h, with the same access for 0.
func inheritable(h windows.Handle, access uint32) (windows.Handle, error) {
	options := uint32(0)
	if access == 0 {
		options = windows.DUPLICATE_SAME_ACCESS
	}
	var d windows.Handle
	err := windows.DuplicateHandle(windows.CurrentProcess(), h, windows.CurrentProcess(), &d, access, true, options)
	return d, err
}

// creationTime tells a process from a later one of the same id: 100 ns since
// 1601. The process is open, so that it cannot be another already.
func creationTime(pid int) (int64, error) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return 0, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	defer windows.CloseHandle(h)
	return createdAt(h)
}

func createdAt(h windows.Handle) (int64, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	return int64(created.HighDateTime)<<32 | int64(created.LowDateTime), nil
}

// open returns a handle of the monitor, or false when it has ended.
func (m *monitor) open(access uint32) (windows.Handle, bool) {
	if m == nil || m.Pid == 0 {
		return 0, false
	}
	h, err := windows.OpenProcess(access|windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(m.Pid))
	if err != nil {
		return 0, false
	}
	created, err := createdAt(h)
	if err != nil || created != m.Created {
		windows.CloseHandle(h)
		return 0, false
	}
	return h, true
}

func (m *monitor) alive() bool {
	h, ok := m.open(0)
	if !ok {
		return false
	}
	defer windows.CloseHandle(h)
	state, err := windows.WaitForSingleObject(h, 0)
	return err == nil && state == uint32(windows.WAIT_TIMEOUT)
}

// end waits for the monitor's own end, and then makes one.
func (m *monitor) end(most time.Duration) error {
	h, ok := m.open(windows.PROCESS_TERMINATE)
	if !ok {
		return nil
	}
	defer windows.CloseHandle(h)
	if state, err := windows.WaitForSingleObject(h, uint32(most/time.Millisecond)); err == nil && state == windows.WAIT_OBJECT_0 {
		return nil
	}
	if err := windows.TerminateProcess(h, killed); err != nil {
		return fmt.Errorf("ending monitor %d: %w", m.Pid, err)
	}
	if state, err := windows.WaitForSingleObject(h, uint32(callWait/time.Millisecond)); err != nil || state != windows.WAIT_OBJECT_0 {
		return fmt.Errorf("ending monitor %d: it does not end", m.Pid)
	}
	return nil
}

func closeHandle(h windows.Handle) { _ = windows.CloseHandle(h) }

func exitCode(h windows.Handle) (int, error) {
	var code uint32
	err := windows.GetExitCodeProcess(h, &code)
	return int(code), err
}

// unique is a name that nobody else has.
func unique() (string, error) {
	g, err := guid.NewV4()
	return g.String(), err
}

// readOrder returns the directory that the order lies in, too.
func readOrder(file string, o *order) (string, error) {
	dir, name := filepath.Split(file)
	found, err := readRecord(dir, name, o)
	if err == nil && !found {
		err = fmt.Errorf("reading %s: %w", file, os.ErrNotExist)
	}
	return dir, err
}
