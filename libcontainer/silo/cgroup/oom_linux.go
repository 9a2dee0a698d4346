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
		if err := pollEither(event, wake, unix.POLLIN); err != nil {
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

// watchV2: cgroup-v2.rst, "memory.events": a change is told by POLLPRI.
func watchV2(ctx context.Context, dir string, wake int, oom func()) error {
	file := dir + "/memory.events"
	fd, err := open(file, unix.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(fd)
	var last uint64
	for first := true; ; first = false {
		var b [512]byte
		n, err := unix.Pread(fd, b[:], 0)
		if gone(err) {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if kills := oomKills(string(b[:max(n, 0)])); kills != last {
			last = kills
			if !first {
				oom()
			}
		}
		if err := pollEither(fd, wake, unix.POLLPRI); err != nil {
			return fmt.Errorf("wait for %s: %w", file, err)
		}
		if ctx.Err() != nil {
			return nil
		}
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

// pollEither waits until something happens to one of two descriptors.
func pollEither(fd, wake int, events int16) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err
		}
	}
}
