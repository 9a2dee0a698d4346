package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Remove removes the directories that Create made, with the sub-groups the
// container made in them, and waits for processes that are about to end. A
// directory that was there before stays. It is idempotent; what cannot be
// removed does not keep the rest from being removed.
func (g *Group) Remove(ctx context.Context) error {
	return g.removeFirst(ctx, len(g.Dirs))
}

// removeFirst removes what was made in the first n hierarchies.
func (g *Group) removeFirst(ctx context.Context, n int) error {
	deadline := due(ctx)
	var failed error
	for i := range n {
		d := &g.Dirs[i]
		if d.Made == 0 {
			continue
		}
		dir := g.dir(d)
		if err := removeDir(dir, d.Controllers == "", deadline); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for range d.Made - 1 {
			dir = path.Dir(dir)
			if unix.Rmdir(dir) != nil {
				break // somebody else uses it now, or has removed it
			}
		}
	}
	return failed
}

// removeDir removes dir, its sub-groups first.
func removeDir(dir string, v2 bool, deadline time.Time) error {
	pause := 50 * time.Microsecond
	for {
		err := unix.Rmdir(dir)
		switch err {
		case nil, unix.ENOENT:
			return nil
		case unix.EINTR:
			continue
		case unix.EBUSY, unix.ENOTEMPTY:
		default:
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		subs, err := subgroups(dir)
		if err != nil {
			return err
		}
		for _, s := range subs {
			if err := removeDir(s, v2, deadline); err != nil {
				return err
			}
		}
		if len(subs) > 0 && time.Now().Before(deadline) {
			continue
		}
		pids, err := processes(nil, dir)
		if err != nil {
			return err
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("remove cgroup %s: still busy with %d process(es)", dir, len(pids))
		}
		switch {
		case v2:
			_, err = awaitEvent(dir, "populated 0", deadline)
		case len(pids) > 0:
			err = awaitExit(pids, deadline)
		}
		if err != nil && !gone(err) {
			return err
		}
		// A process leaves its group a moment after its pidfd told of its end,
		// and v1 tells of that nowhere.
		if err := unix.Rmdir(dir); err != unix.EBUSY {
			continue
		}
		time.Sleep(pause)
		if pause < 5*time.Millisecond {
			pause *= 2
		}
	}
}
