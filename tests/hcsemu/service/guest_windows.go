package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/hcs"
)

// agent is the guest's side of a utility VM: it runs in the VM's prefix and
// does with rooms of its own what the host asks.
type agent struct {
	address string
	line    *line

	mu    sync.Mutex
	last  uint64
	rooms map[uint64]*room
	procs map[uint32]hcs.Process
}

func guest(args []string) error {
	if len(args) != 1 {
		return errors.New("guest wants the host's address")
	}
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return fmt.Errorf("calling the host: %w", err)
	}
	a := &agent{address: args[0], line: &line{c: c}, rooms: map[uint64]*room{}, procs: map[uint32]hcs.Process{}}
	d := lines(c)
	for {
		q := &question{}
		if d.Decode(q) != nil {
			break // the VM is switched off
		}
		go func() {
			r := &reply{Seq: q.Seq}
			if err := a.do(q, r); err != nil {
				r.fail(err)
			}
			_ = a.line.send(r)
		}()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, room := range a.rooms {
		_ = room.Terminate(1)
	}
	return nil
}

func (a *agent) do(q *question, r *reply) error {
	if q.Op == "room" {
		made, err := newRoom("")
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.last++
		a.rooms[a.last] = made
		r.Room = a.last
		return nil
	}
	a.mu.Lock()
	in, proc := a.rooms[q.Room], a.procs[q.PID]
	a.mu.Unlock()
	if in == nil {
		return fmt.Errorf("there is no room %d", q.Room)
	}
	var err error
	switch q.Op {
	case "launch":
		return a.launch(in, q, r)
	case "list":
		r.Processes, err = in.Processes()
		return err
	case "usage":
		u, err := in.Usage()
		r.Usage = &u
		return err
	case "suspend":
		return in.Suspend(q.Suspend)
	case "terminate-room":
		return in.Terminate(q.Code)
	case "close-room":
		return in.Close()
	}
	if proc == nil {
		return fmt.Errorf("process %d: %w", q.PID, hcs.FromWin32(uint32(windows.ERROR_NOT_FOUND)))
	}
	switch q.Op {
	case "terminate":
		return proc.Terminate(q.Code)
	case "signal":
		r.Handled, err = proc.Signal(q.Name)
		return err
	}
	return fmt.Errorf("no such question: %s", q.Op)
}

func (a *agent) launch(in *room, q *question, r *reply) error {
	launched := make(chan uint32, 1)
	made, err := in.Launch(q.Program, func(code uint32) {
		pid := <-launched
		_ = a.line.send(&reply{PID: pid, Code: code})
	})
	if err != nil {
		return err
	}
	p := made.(*process)
	a.mu.Lock()
	a.procs[p.pid] = p
	a.mu.Unlock()
	for i, name := range q.Streams {
		if name == "" {
			continue
		}
		p.mu.Lock()
		end := p.std[i]
		p.std[i] = 0
		p.mu.Unlock()
		if err := a.stream(name, end, i == 0); err != nil {
			_ = p.Terminate(1)
			launched <- p.pid
			return err
		}
	}
	r.PID = p.pid
	launched <- p.pid
	return nil
}

// stream joins a standard pipe with a connection to the host.
func (a *agent) stream(name string, end windows.Handle, in bool) error {
	f, err := winio.NewOpenFile(end)
	if err != nil {
		return fmt.Errorf("reading a pipe: %w", err)
	}
	c, err := net.Dial("tcp", a.address)
	if err == nil {
		_, err = c.Write([]byte(name))
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("calling the host: %w", err)
	}
	go func() {
		defer c.Close()
		defer f.Close()
		if in {
			_, _ = io.Copy(f, c)
		} else {
			_, _ = io.Copy(c, f)
		}
	}()
	return nil
}
