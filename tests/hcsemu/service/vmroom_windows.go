package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"wrun/tests/hcsemu/hcs"
)

// This file is rooms and processes of a VM as the host sees them; the guest's
// side is guest_windows.go.

// guestRoom is a room in a VM, as the host sees it.
type guestRoom struct {
	vm *virtualMachine
	id uint64
}

// guestProcess is a process in a VM. Its pid is the guest's, its pipes are the
// host's.
type guestProcess struct {
	room *guestRoom
	process
}

func token() string {
	var b [tokenLength / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (v *virtualMachine) NewRoom(string) (hcs.Room, error) {
	r, err := v.ask(&question{Op: "room"})
	if err != nil {
		return nil, err
	}
	return &guestRoom{v, r.Room}, nil
}

func (r *guestRoom) Launch(p *hcs.Program, exited func(code uint32)) (hcs.Process, error) {
	proc := &guestProcess{room: r}
	q := &question{Op: "launch", Room: r.id, Program: p}
	for i, pipe := range p.Pipes {
		if !pipe {
			continue
		}
		client, program, err := newPipe(i == 0)
		if err != nil {
			proc.std.closeAll()
			return nil, err
		}
		proc.std[i], q.Streams[i] = client, token()
		stream := make(chan net.Conn, 1)
		r.vm.mu.Lock()
		r.vm.streams[q.Streams[i]] = stream
		r.vm.mu.Unlock()
		go join(os.NewFile(uintptr(program), "pipe"), stream, i == 0, r.vm.broken)
	}
	answer, err := r.vm.ask(q)
	if err != nil {
		proc.std.closeAll()
		return nil, err
	}
	proc.pid = answer.PID
	r.vm.mu.Lock()
	defer r.vm.mu.Unlock()
	if code, ended := r.vm.early[proc.pid]; ended {
		delete(r.vm.early, proc.pid)
		go exited(code)
	} else {
		r.vm.ended[proc.pid] = exited
	}
	return proc, nil
}

// join copies between the program's end of a pipe and its stream.
func join(pipe *os.File, stream <-chan net.Conn, in bool, broken <-chan struct{}) {
	defer pipe.Close()
	select {
	case c := <-stream:
		defer c.Close()
		if in {
			_, _ = io.Copy(c, pipe)
			if t, is := c.(*net.TCPConn); is {
				_ = t.CloseWrite()
			}
			return
		}
		_, _ = io.Copy(pipe, c)
	case <-broken:
	case <-time.After(streamTime): // the launch failed
	}
}

func (r *guestRoom) Processes() ([]hcs.ProcessDetails, error) {
	a, err := r.vm.ask(&question{Op: "list", Room: r.id})
	if err != nil {
		return nil, err
	}
	return a.Processes, nil
}

func (r *guestRoom) Usage() (hcs.Usage, error) {
	a, err := r.vm.ask(&question{Op: "usage", Room: r.id})
	if err != nil {
		return hcs.Usage{}, err
	}
	return *a.Usage, nil
}

func (r *guestRoom) Suspend(suspend bool) error {
	_, err := r.vm.ask(&question{Op: "suspend", Room: r.id, Suspend: suspend})
	return err
}

// Terminate and Close of a room in a VM that is gone have nothing to do.
func (r *guestRoom) Terminate(code uint32) error { return r.end("terminate-room", code) }
func (r *guestRoom) Close() error                { return r.end("close-room", 0) }

func (r *guestRoom) end(op string, code uint32) error {
	select {
	case <-r.vm.broken:
		return nil
	default:
	}
	_, err := r.vm.ask(&question{Op: op, Room: r.id, Code: code})
	select {
	case <-r.vm.broken:
		return nil
	default:
		return err
	}
}

func (p *guestProcess) Terminate(code uint32) error {
	_, err := p.room.vm.ask(&question{Op: "terminate", Room: p.room.id, PID: p.pid, Code: code})
	return err
}

func (p *guestProcess) Signal(name string) (bool, error) {
	a, err := p.room.vm.ask(&question{Op: "signal", Room: p.room.id, PID: p.pid, Name: name})
	if err != nil {
		return false, fmt.Errorf("signalling process %d: %w", p.pid, err)
	}
	return a.Handled, nil
}
