package uvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/signals"
	"wrun/libcontainer/uvm/wire"
)

// This file is a pod: containers that share the VM of their sandbox. A member
// has a monitor of its own, which only follows it: the sandbox's does the work,
// and the member ends with it.

// memberCommand is the operand with which the program is a member's monitor.
const memberCommand = "member"

// Operations of a sandbox's monitor for its members.
const (
	opJoin  = "join"  // join, with the streams → wire.Created, and then wire.Exit
	opLeave = "leave" // Target
)

// join is a member on its way into the VM.
type join struct {
	Create wire.Create `json:"create"`
	Shares []Share     `json:"shares"`
}

// member is the whole life of a member's monitor.
func member() int {
	creator := link(linkFD)
	unix.CloseOnExec(linkFD)
	received, err := signals.CollectAll()
	if err != nil {
		_ = creator.send(report{Err: wire.Pack(err)})
		return killed
	}
	s := &system{h: &handle{}}
	l, front, err := follow(creator, s.h)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			_ = creator.send(report{Err: wire.Pack(err)})
		}
		return killed
	}
	creator.close()
	go s.forward(s.h.ID, front, received)
	var exit wire.Exit
	if _, err := l.receive(&exit); err != nil {
		return killed // with the VM
	}
	return exit.Code
}

// follow does a member's part of create; the link that it returns brings
// wire.Exit.
func follow(creator link, h *handle) (l link, front *os.File, err error) {
	var o order
	fds, err := creator.receive(&o)
	if err != nil {
		return -1, nil, err
	}
	defer closeAll(fds)
	h.ID, h.Dir, h.Sandbox = o.ID, o.Dir, o.Sandbox
	if err := creator.send(report{}); err != nil {
		return -1, nil, err
	}
	if _, err := creator.receive(&proceed{}); err != nil { // its hooks have run
		return -1, nil, err
	}
	in := join{Create: o.create(), Shares: o.Shares}
	streams := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	if o.Terminal {
		if len(fds) != 1 {
			return -1, nil, errors.New("no console socket came")
		}
		if front, err = newTerminal(fds[0]); err != nil {
			return -1, nil, err
		}
		is := terminalOf(front)
		in.Create.Streams.Terminal = &is
		streams = []*os.File{front}
	}
	var made wire.Created
	l, err = request{Op: opJoin, In: in}.begin(h.socketDir(), longWait, streams, &made)
	if err != nil {
		return -1, nil, err
	}
	if err = creator.send(report{Warnings: made.Warnings}); err == nil {
		_, err = creator.receive(&proceed{}) // its facts are complete
	}
	return l, front, err
}

// forward hands signals to a process in the VM, as if it were here.
func (s *system) forward(id string, front *os.File, received *signals.Pipe) {
	for {
		switch number, err := received.Next(); {
		case err != nil:
			return
		case number == unix.SIGWINCH:
			resize(s, id, front)
		default:
			_ = s.ask(wire.OpSignal, wire.Signal{ID: id, Number: int(number)}, nil)
		}
	}
}

// admit is opJoin: it makes the member, and stays with the connection until that
// has ended. The end of the connection is that of the member's monitor, and so
// the member's.
func (m *monitor) admit(l link, in json.RawMessage, fds []int) {
	var j join
	err := json.Unmarshal(in, &j)
	streams := streamsOf(fds)
	defer closeStreams(streams[:])
	if err == nil && len(fds) != 3 && !(j.Create.Streams.Terminal != nil && len(fds) == 1) {
		err = errors.New("the streams did not come")
	}
	id := j.Create.ID
	if err == nil {
		err = m.enrol(id)
	}
	if err != nil {
		_ = l.send(reply{Err: wire.Pack(err)})
		return
	}
	defer m.dismiss(id, j.Shares)
	r, err := newRelay(m.vm.conn, m.next(), j.Create.Streams.Terminal, streams[0], streams[1], streams[2])
	if err != nil {
		_ = l.send(reply{Err: wire.Pack(err)})
		return
	}
	defer r.close()
	j.Create.Streams, j.Create.Sandbox = r.Streams, m.ID
	var made wire.Created
	var warnings []string
	if warnings, err = m.share(id, j.Shares); err == nil {
		m.withSockets(&j.Create)
		ctx, cancel := context.WithTimeout(context.Background(), longWait)
		err = m.vm.conn.Call(ctx, wire.OpCreate, j.Create, &made)
		cancel()
	}
	if err != nil {
		_ = l.send(reply{Err: wire.Pack(m.vm.lost(err))})
		return
	}
	made.Warnings = append(warnings, made.Warnings...)
	m.about(id, func(s *state) { s.Init = made.Pid })
	r.begin()
	out, err := json.Marshal(made)
	if err == nil {
		err = l.send(reply{Out: out})
	}
	if err == nil {
		err = l.patience(0)
	}
	if err == nil {
		ended := make(chan struct{})
		defer close(ended)
		go m.watch(l, id, ended)
		var exit wire.Exit
		if err = m.vm.conn.Call(context.Background(), wire.OpWait, wire.Target{ID: id}, &exit); err == nil {
			r.outs.Wait()
			m.drain(id)
			ctx, cancel := context.WithTimeout(context.Background(), syncWait)
			_ = m.vm.conn.Call(ctx, wire.OpSync, nil, nil) // as for the container of the VM's own
			cancel()
			r.leave()
			_ = l.send(exit)
		}
	}
}

// watch ends the member whose monitor ends before it.
func (m *monitor) watch(l link, id string, ended <-chan struct{}) {
	_, _ = l.receive(&proceed{}) // nothing comes but the end
	select {
	case <-ended: // another one may be called so by now
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	_ = m.vm.conn.Call(ctx, wire.OpSignal, wire.Signal{ID: id, Number: int(unix.SIGKILL)}, nil)
}

// enrol takes a member's id, which nobody else in the VM may have.
func (m *monitor) enrol(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states[id] != nil {
		return fmt.Errorf("the utility VM of container %s has a container %s already", m.ID, id)
	}
	m.states[id] = &state{left: make(chan struct{})}
	return nil
}

// share adds a member's directory to the tree that the file server serves.
func (m *monitor) share(id string, shares []Share) (warnings []string, err error) {
	files, warnings, err := m.pin(id, shares)
	if err != nil {
		return nil, err
	}
	for _, s := range files {
		if err := s.mount(filepath.Join(m.Dir, filesDir, id)); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// dismiss takes back all that is a member's.
func (m *monitor) dismiss(id string, shares []Share) {
	ctx, cancel := context.WithTimeout(context.Background(), longWait)
	defer cancel()
	_ = m.vm.conn.Call(ctx, wire.OpClose, wire.Target{ID: id}, nil) // what of it stays ends with the VM
	dir := filepath.Join(m.Dir, filesDir, id)
	for _, s := range shares {
		at := filepath.Join(dir, s.Name)
		_ = unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // the file server may hold files in it
		_ = os.Remove(at)                                          // and never all that is in it: what is still mounted is the host's
	}
	_ = os.Remove(dir)
	m.unpin(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.states[id].left)
	delete(m.states, id)
}

// dropOut is opLeave: it kills a member and waits until it is dismissed.
func (m *monitor) dropOut(id string) error {
	m.mu.Lock()
	s := m.states[id]
	m.mu.Unlock()
	if s == nil || id == m.ID {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = m.vm.conn.Call(ctx, wire.OpSignal, wire.Signal{ID: id, Number: int(unix.SIGKILL)}, nil) // it may have ended
	m.unpin(id)                                                                                 // nobody waits for who reads slowly
	select {
	case <-s.left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("container %s does not leave the utility VM: %w", id, ctx.Err())
	}
}
