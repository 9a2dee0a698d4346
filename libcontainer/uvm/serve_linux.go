package uvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

// This file is the way from a command to the monitor: a socket in the
// container's state directory, which only root enters.

const socketName = "vm.sock"

// requestWait bounds the arrival of a request on a new connection.
const requestWait = 10 * time.Second

// settled is when a program's start is over, likely.
const settled = time.Second

// longWait bounds what the guest needs time for: a program's start, a freeze.
const longWait = time.Minute

// reply answers a request.
type reply struct {
	Out json.RawMessage `json:"out,omitempty"`
	Err *wire.Error     `json:"err,omitempty"`
}

// address is the socket's in a directory whose own path may be longer than a
// socket's address can be.
func address(dir int) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + socketName}
}

// listen makes the socket.
func (m *monitor) listen() error {
	dir, err := unix.Open(m.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: m.Dir, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		if err = unix.Bind(fd, address(dir)); err == nil {
			err = unix.Listen(fd, 64)
		}
	}
	if err != nil {
		return fmt.Errorf("listen for commands at %s: %w", filepath.Join(m.Dir, socketName), err)
	}
	m.ctl = link(fd)
	return nil
}

// dial connects to the monitor of the container with state directory dir.
// ErrNotRunning when there is none.
func dial(dir string) (link, error) {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(at)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	l := link(fd)
	if err := l.patience(longWait); err != nil {
		l.close()
		return -1, err
	}
	if err := unix.Connect(fd, address(at)); err != nil {
		l.close()
		switch err {
		case unix.ECONNREFUSED:
			return -1, errEnding
		case unix.ENOENT:
			return -1, libcontainer.ErrNotRunning
		}
		return -1, fmt.Errorf("connect to the monitor: %w", err)
	}
	return l, nil
}

// serve takes connections until the monitor ends.
func (m *monitor) serve() {
	for {
		fd, _, err := unix.Accept4(int(m.ctl), unix.SOCK_CLOEXEC)
		if err == unix.EINTR || err == unix.ECONNABORTED {
			continue
		}
		if err != nil {
			return
		}
		go m.converse(link(fd))
	}
}

// converse answers one request.
func (m *monitor) converse(l link) {
	defer l.close()
	if l.patience(requestWait) != nil {
		return
	}
	var r struct {
		Op string          `json:"op"`
		In json.RawMessage `json:"in"`
	}
	fds, err := l.receive(&r)
	if err != nil {
		return
	}
	switch r.Op {
	case wire.OpExec:
		m.exec(l, r.In, fds)
		return
	case opJoin:
		m.admit(l, r.In, fds)
		return
	}
	closeAll(fds)
	if r.Op == wire.OpOOM {
		// The container's end does not wait for who only listens.
		out, err := m.oom(r.In)
		_ = l.send(reply{Out: out, Err: wire.Pack(err)})
		return
	}
	m.answers.RLock()
	defer m.answers.RUnlock()
	out, err := m.answer(r.Op, r.In)
	_ = l.send(reply{Out: out, Err: wire.Pack(err)}) // who lost patience needs none
}

// answer does what op asks for, or has the agent do it.
func (m *monitor) answer(op string, in json.RawMessage) (json.RawMessage, error) {
	var target wire.Target
	if err := json.Unmarshal(in, &target); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	id := target.ID
	switch op {
	case opState:
		return m.describe(id)
	case opLeave:
		return nil, m.dropOut(id)
	case wire.OpSignal:
		var s wire.Signal
		if err := json.Unmarshal(in, &s); err != nil {
			return nil, err
		}
		return nil, m.signal(s)
	case wire.OpPause, wire.OpResume:
		if id == m.ID {
			return nil, m.setPaused(op == wire.OpPause)
		}
	}
	if m.paused() {
		return nil, fmt.Errorf("container %s is paused, and with it the utility VM that would answer", m.ID)
	}
	if op == wire.OpStart && id == m.ID {
		m.resize() // whoever has the terminal's master has set it up by now
	}
	ctx, cancel := context.WithTimeout(context.Background(), longWait)
	defer cancel()
	var out json.RawMessage
	var to any = &out
	switch op {
	case wire.OpStart, wire.OpUpdate, wire.OpResize, wire.OpHook, wire.OpPause, wire.OpResume:
		to = nil // there is nothing to read
	}
	if err := m.vm.conn.Call(ctx, op, in, to); err != nil {
		return nil, m.vm.lost(err)
	}
	switch op {
	case wire.OpStart:
		m.about(id, func(s *state) {
			if id == m.ID && !s.Started {
				close(m.started)
			}
			s.Started = true
		})
		time.AfterFunc(settled, m.vm.settle)
	case wire.OpPause, wire.OpResume:
		m.about(id, func(s *state) { s.Paused = op == wire.OpPause })
	}
	return out, nil
}

// oom waits in the guest for the next process that is killed for want of memory.
func (m *monitor) oom(in json.RawMessage) (out json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), longWait)
	defer cancel()
	if err := m.vm.conn.Call(ctx, wire.OpOOM, in, &out); err != nil {
		return nil, m.vm.lost(err)
	}
	return out, nil
}

// describe is the state of a container in the VM, which stands when the VM does.
func (m *monitor) describe(id string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.states[id]
	if s == nil {
		return nil, libcontainer.ErrNotRunning
	}
	is := *s
	is.Paused = is.Paused || m.states[m.ID].Paused
	return json.Marshal(is)
}

// about changes what is known of a container, if it is there still.
func (m *monitor) about(id string, change func(*state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.states[id]; s != nil {
		change(s)
	}
}

// paused tells whether the VM is.
func (m *monitor) paused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[m.ID].Paused
}

// next is the number of a further process.
func (m *monitor) next() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	return m.number
}

// exec starts a further process with the streams that came, and stays with the
// connection until it has ended.
func (m *monitor) exec(l link, in json.RawMessage, fds []int) {
	streams := streamsOf(fds)
	var e wire.Exec
	err := json.Unmarshal(in, &e)
	if err == nil && len(fds) != 3 && !(e.Process != nil && e.Streams.Terminal != nil && len(fds) == 1) {
		err = errors.New("exec: the streams did not come")
	}
	if err != nil {
		closeStreams(streams[:])
		_ = l.send(reply{Err: wire.Pack(err)})
		return
	}
	n := m.next()
	e.ID = "exec-" + strconv.FormatUint(uint64(n), 10) + "@" + m.ID // no container is called so
	r, err := newRelay(m.vm.conn, n, e.Streams.Terminal, streams[0], streams[1], streams[2])
	if err != nil {
		closeStreams(streams[:])
		_ = l.send(reply{Err: wire.Pack(err)})
		return
	}
	defer r.close()
	e.Streams = r.Streams
	var made wire.Created
	// No deadline but the VM's: in a paused container the process waits for resume.
	if err := m.vm.conn.Call(context.Background(), wire.OpExec, e, &made); err != nil {
		closeStreams(streams[:])
		_ = l.send(reply{Err: wire.Pack(m.vm.lost(err))})
		return
	}
	r.begin()
	out, err := json.Marshal(started{ID: e.ID, Created: made})
	if err == nil {
		err = l.send(reply{Out: out})
	}
	if err != nil {
		// Who asked has gone before it knew of a process: nobody would ever end it.
		_ = m.signal(wire.Signal{ID: e.ID, Number: int(unix.SIGKILL)})
	}
	var exit wire.Exit
	if err := m.vm.conn.Call(context.Background(), wire.OpWait, wire.Target{ID: e.ID}, &exit); err != nil {
		exit.Code = killed
	}
	r.outs.Wait()
	r.leave() // what comes when the caller knows of the end is for the next reader
	_ = l.send(exit)
	closeStreams(streams[:])
}

// started is the first answer to an exec; the second is wire.Exit.
type started struct {
	ID string `json:"id"` // for its signals
	wire.Created
}

// streamsOf are descriptors that came, as files.
func streamsOf(fds []int) (streams [3]*os.File) {
	for i, fd := range fds {
		if i < len(streams) {
			streams[i] = os.NewFile(uintptr(fd), "stream")
		}
	}
	return streams
}

func closeStreams(streams []*os.File) {
	for _, f := range streams {
		if f != nil {
			f.Close()
		}
	}
}
