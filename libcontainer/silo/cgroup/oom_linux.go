package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoMemory is the error of a group that nobody counts the memory of.
var ErrNoMemory = errors.New("watch for lack of memory: the container is in no memory cgroup")

// WatchOOM calls oom each time the kernel finds no memory for the group and
// takes a process for it. It returns nil when the group is gone or ctx ends.
func (g *Group) WatchOOM(ctx context.Context, oom func()) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	defer unix.Close(wake)
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, one) })
	defer stop()
	if d, ok := g.find("memory"); ok {
		return watchV1(ctx, g.dir(d), wake, oom)
	}
	if d, ok := g.find(""); ok {
		return watchV2(ctx, g.dir(d), wake, oom)
	}
	return ErrNoMemory
}

// one is what an eventfd counts up by.
var one = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// watchV1: cgroup-v1/memory.rst, "OOM Control": an eventfd that is registered
// with cgroup.event_control. It also fires when the group is removed.
func watchV1(ctx context.Context, dir string, wake int, oom func()) error {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	defer unix.Close(event)
	control, err := open(dir+"/memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open %s/memory.oom_control: %w", dir, err)
	}
	defer unix.Close(control)
	if err := write(dir+"/cgroup.event_control", strconv.Itoa(event)+" "+strconv.Itoa(control)); err != nil {
		return err
	}
	for {
		if err := pollAny(unix.PollFd{Fd: int32(event), Events: unix.POLLIN}, unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}); err != nil {
			return fmt.Errorf("wait for %s/memory.oom_control: %w", dir, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		var count [8]byte
		if _, err := unix.Read(event, count[:]); err != nil {
			continue
		}
		if there, err := exists(dir); err != nil || !there {
			return err
		}
		oom()
	}
}

// watchV2: cgroup-v2.rst, "memory.events": a change is told by POLLPRI. Of the
// group's end its removal tells nobody, but cgroup.events does when the last
// process has gone.
func watchV2(ctx context.Context, dir string, wake int, oom func()) error {
	kills, err := newEvents(dir + "/memory.events")
	if err != nil {
		return err
	}
	defer unix.Close(kills.fd)
	life, err := newEvents(dir + "/cgroup.events")
	if err != nil {
		return err
	}
	defer unix.Close(life.fd)
	last := oomKills(kills.text)
	for {
		for _, e := range []*events{kills, life} { // before the wait, which tells of later changes
			if err := e.read(); gone(err) {
				return nil
			} else if err != nil {
				return err
			}
		}
		if n := oomKills(kills.text); n != last {
			last = n
			oom()
		}
		if strings.Contains(life.text, "populated 0") {
			return nil
		}
		if err := pollAny(unix.PollFd{Fd: int32(wake), Events: unix.POLLIN},
			unix.PollFd{Fd: int32(kills.fd), Events: unix.POLLPRI}, unix.PollFd{Fd: int32(life.fd), Events: unix.POLLPRI}); err != nil {
			return fmt.Errorf("wait for %s and %s: %w", kills.file, life.file, err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// events is a file that tells of its changes.
type events struct {
	file, text string
	fd         int
}

func newEvents(file string) (*events, error) {
	fd, err := open(file, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	e := &events{file: file, fd: fd}
	if err := e.read(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return e, nil
}

func (e *events) read() error {
	var b [512]byte
	for {
		n, err := unix.Pread(e.fd, b[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", e.file, err)
		}
		e.text = string(b[:n])
		return nil
	}
}

func oomKills(events string) uint64 {
	for line := range strings.Lines(events) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			v, _ := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			return v
		}
	}
	return 0
}

// pollAny waits until something happens to one of the descriptors.
func pollAny(fds ...unix.PollFd) error {
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err
		}
	}
}
