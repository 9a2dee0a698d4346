package cgroup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Freeze stops every process of the group and returns once all have stopped.
// If they do not in time, all run again.
func (g *Group) Freeze(ctx context.Context) error {
	if d, ok := g.find("freezer"); ok {
		return freezeV1(ctx, g.dir(d))
	}
	d, ok := g.find("")
	if !ok {
		return fmt.Errorf("freeze cgroup %s: neither the freezer controller nor cgroup v2 is mounted", g.Path)
	}
	dir := g.dir(d)
	if err := write(dir+"/cgroup.freeze", "1"); err != nil {
		return err
	}
	done, err := awaitEvent(dir, "frozen 1", due(ctx))
	if err == nil && !done {
		err = fmt.Errorf("freeze cgroup %s: not all processes stopped in time", dir)
	}
	if err != nil {
		if undo := write(dir+"/cgroup.freeze", "0"); undo != nil && !gone(undo) {
			return fmt.Errorf("%w; and it could not be thawed: %w", err, undo)
		}
	}
	return err
}

// Thaw lets the processes run again; of a group that is not there or not frozen
// it changes nothing.
func (g *Group) Thaw(ctx context.Context) error {
	if d, ok := g.find("freezer"); ok {
		err := write(g.dir(d)+"/freezer.state", "THAWED")
		if gone(err) {
			return nil
		}
		return err
	}
	d, ok := g.find("")
	if !ok {
		return nil
	}
	dir := g.dir(d)
	if err := write(dir+"/cgroup.freeze", "0"); err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	done, err := awaitEvent(dir, "frozen 0", due(ctx))
	if err == nil && !done {
		err = fmt.Errorf("thaw cgroup %s: it is still frozen, by itself or by a parent", dir)
	}
	if gone(err) {
		return nil
	}
	return err
}

// Frozen says whether the group's processes are stopped, or on their way to be.
func (g *Group) Frozen() (bool, error) {
	if d, ok := g.find("freezer"); ok {
		return frozenDir(g.dir(d), false)
	}
	if d, ok := g.find(""); ok {
		return frozenDir(g.dir(d), true)
	}
	return false, nil
}

// frozenDir is Frozen for one directory; the root group cannot be frozen.
func frozenDir(dir string, v2 bool) (bool, error) {
	file, thawed := "/freezer.state", "THAWED"
	if v2 {
		file, thawed = "/cgroup.freeze", "0"
	}
	b, err := read(dir + file)
	if err != nil {
		if gone(err) {
			return false, nil
		}
		return false, err
	}
	return strings.TrimSpace(string(b)) != thawed, nil
}

// freezeV1 freezes by freezer.state. The kernel tells nobody when it is done, so
// this asks, ever more rarely; and since a process that was just forking or in
// vfork can keep the group FREEZING for ever, now and then it lets all run for
// an instant and starts again.
func freezeV1(ctx context.Context, dir string) error {
	file := dir + "/freezer.state"
	deadline := due(ctx)
	pause := 20 * time.Microsecond
	for try := 1; ; try++ {
		if err := write(file, "FROZEN"); err != nil {
			return err
		}
		b, err := read(file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(b), "FROZEN") {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		if try%25 == 0 {
			if err := write(file, "THAWED"); err != nil {
				return err
			}
		}
		time.Sleep(pause)
		if pause < 4*time.Millisecond {
			pause += pause / 4
		}
	}
	err := fmt.Errorf("freeze cgroup %s: not all processes stopped in time", dir)
	if undo := write(file, "THAWED"); undo != nil {
		return fmt.Errorf("%w; and it could not be thawed: %w", err, undo)
	}
	return err
}

// awaitEvent waits until the line stands in dir/cgroup.events, of whose changes
// the kernel tells by POLLPRI.
func awaitEvent(dir, line string, deadline time.Time) (bool, error) {
	file := dir + "/cgroup.events"
	fd, err := open(file, unix.O_RDONLY)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", file, err)
	}
	defer unix.Close(fd)
	var b [256]byte
	for {
		n, err := unix.Pread(fd, b[:], 0)
		if err != nil && err != unix.EINTR {
			return false, fmt.Errorf("read %s: %w", file, err)
		}
		if n > 0 && strings.Contains(string(b[:n]), line) {
			return true, nil
		}
		left := millis(deadline)
		if left == 0 {
			return false, nil
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, left); err != nil && err != unix.EINTR {
			return false, fmt.Errorf("poll %s: %w", file, err)
		}
	}
}
