package uvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
	"wrun/libcontainer/signals"
	"wrun/libcontainer/uvm/wire"
)

// A process that Exec starts in the VM has a deputy on the host, whose pid an
// engine gets: the caller itself while it waits, and where it goes its way, or
// the process has a terminal to follow, one more process of the monitor's
// program.

// deputyCommand is the operand with which the program is a deputy.
const deputyCommand = "exec"

// process is one that Exec started.
type process struct {
	system *system
	id     string // the monitor's name for it
	deputy *child // nil: this process
	link   link   // without a deputy, the monitor says here how it ended
	code   int
	known  bool
}

// errand is what a deputy has to have done.
type errand struct {
	Dir  string        `json:"dir"` // where the monitor listens
	Exec wire.Exec     `json:"exec"`
	Wait time.Duration `json:"wait"` // for its start; 0 is for ever
}

// Exec starts a process in the container.
func (s *system) Exec(ctx context.Context, e *libcontainer.Exec, stdio libcontainer.Stdio) (libcontainer.Process, error) {
	if stdio.PreserveFDs > 0 || stdio.ListenFDs > 0 {
		return nil, errNoDescriptors
	}
	p := &process{system: s, link: -1}
	in := wire.Exec{Container: s.h.ID, Process: e.Spec, Cgroup: e.Cgroup}
	// In a paused container the process waits for resume, for ever if need be.
	wait := longWait
	var st state
	if err := s.askWithin(lookWait, opState, s.target(), &st); err != nil {
		return nil, err
	}
	if st.Paused {
		wait = 0
	}
	var made started
	var err error
	if stdio.Console != nil || e.Detach {
		made, err = p.send(ctx, in, wait, stdio)
	} else {
		p.link, err = request{Op: wire.OpExec, In: in}.begin(s.h.socketDir(), wait, []*os.File{stdio.In, stdio.Out, stdio.Err}, &made)
	}
	if err != nil {
		return nil, err
	}
	for _, w := range made.Warnings {
		e.Warn("%s", w)
	}
	p.id = made.ID
	if err := sendPidfd(stdio.PidfdSocket, p.Pid()); err != nil {
		return nil, errors.Join(err, p.Signal(int(unix.SIGKILL)))
	}
	return p, nil
}

var errNoDescriptors = errors.New("no descriptors can be passed into a utility VM (--preserve-fds, LISTEN_FDS)")

// send has a deputy do it.
func (p *process) send(ctx context.Context, in wire.Exec, wait time.Duration, stdio libcontainer.Stdio) (made started, err error) {
	c, l, err := spawn(stdio, 0, -1, deputyCommand)
	if err != nil {
		return made, err
	}
	defer l.close()
	defer func() {
		if err != nil {
			c.kill()
		}
	}()
	if err := l.send(errand{Dir: p.system.h.socketDir(), Exec: in, Wait: wait}, console(stdio)...); err != nil {
		return made, fmt.Errorf("tell the deputy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(l), unix.SHUT_RDWR) })
	defer stop()
	if stdio.Console != nil {
		if _, err := l.receive(&proceed{}); err != nil {
			return made, fmt.Errorf("hear from the deputy: %w", err)
		}
		if stdio.Attached != nil {
			if err := stdio.Attached(); err != nil {
				return made, err
			}
		}
		if err := l.send(proceed{}); err != nil {
			return made, fmt.Errorf("tell the deputy: %w", err)
		}
	}
	var r reply
	if _, err := l.receive(&r); err != nil {
		return made, fmt.Errorf("hear from the deputy: %w", err)
	}
	if r.Err != nil {
		return made, r.Err.Unpack()
	}
	p.deputy = c
	return made, json.Unmarshal(r.Out, &made)
}

// begin has the monitor that listens at dir start a process with these streams,
// and reads its first answer, which comes within most (0 is for ever), into made.
// The link that it returns brings wire.Exit.
func (r request) begin(dir string, most time.Duration, streams []*os.File, made any) (_ link, err error) {
	var fds []int
	for _, f := range streams {
		if f == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return -1, err
			}
			defer null.Close()
			f = null
		}
		fds = append(fds, int(f.Fd()))
	}
	l, err := dial(dir)
	if err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := l.send(r, fds...); err != nil {
		return -1, unanswered(r.Op, err)
	}
	if err := l.patience(most); err != nil {
		return -1, err
	}
	var a reply
	if _, err := l.receive(&a); err != nil {
		return -1, unanswered(r.Op, err)
	}
	if a.Err != nil {
		return -1, a.Err.Unpack()
	}
	if err := l.patience(0); err != nil { // the process may live for ever
		return -1, err
	}
	return l, json.Unmarshal(a.Out, made)
}

// deputy is the whole life of a deputy's process.
func deputy() int {
	creator := link(linkFD)
	unix.CloseOnExec(linkFD)
	received, err := signals.CollectAll()
	if err != nil {
		_ = creator.send(reply{Err: wire.Pack(err)})
		return killed
	}
	s := &system{h: &handle{}}
	made, l, front, err := execute(creator, s.h)
	if err != nil {
		_ = creator.send(reply{Err: wire.Pack(err)})
		return killed
	}
	out, err := json.Marshal(made)
	if err != nil || creator.send(reply{Out: out}) != nil {
		return killed
	}
	creator.close()
	go s.forward(made.ID, front, received)
	var exit wire.Exit
	if _, err := l.receive(&exit); err != nil {
		return killed // with the VM
	}
	return exit.Code
}

// execute does the errand; front is the terminal's slave, nil without one.
func execute(creator link, h *handle) (made started, l link, front *os.File, err error) {
	var e errand
	fds, err := creator.receive(&e)
	if err != nil {
		return made, -1, nil, err
	}
	defer closeAll(fds)
	h.Dir = e.Dir
	streams := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	if len(fds) == 1 {
		if front, err = newTerminal(fds[0]); err != nil {
			return made, -1, nil, err
		}
		streams = []*os.File{front}
		if err := creator.send(proceed{}); err != nil {
			return made, -1, nil, err
		}
		if _, err := creator.receive(&proceed{}); err != nil {
			return made, -1, nil, err
		}
		is := terminalOf(front)
		e.Exec.Streams.Terminal = &is
	}
	l, err = request{Op: wire.OpExec, In: e.Exec}.begin(e.Dir, e.Wait, streams, &made)
	return made, l, front, err
}

// resize makes a terminal in the VM like ours.
func resize(s *system, id string, front *os.File) {
	if front != nil {
		_ = s.ask(wire.OpResize, wire.Resize{ID: id, Terminal: terminalOf(front)}, nil)
	}
}

func (p *process) Pid() int {
	if p.deputy != nil {
		return p.deputy.process.Pid
	}
	return os.Getpid()
}

func (p *process) Signal(sig int) error {
	return p.system.ask(wire.OpSignal, wire.Signal{ID: p.id, Number: sig}, nil)
}

// Wait may be called by one goroutine.
func (p *process) Wait(ctx context.Context) (int, error) {
	if p.deputy != nil {
		return p.deputy.wait(ctx)
	}
	if p.known {
		return p.code, nil
	}
	l := p.link
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(l), unix.SHUT_RDWR) })
	defer stop()
	var exit wire.Exit
	_, err := l.receive(&exit)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		exit.Code = killed // with the VM
	}
	l.close()
	p.code, p.known = exit.Code, true
	return p.code, nil
}
