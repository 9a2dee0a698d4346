package hcs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"wrun/libcontainer/hcs/computecore"
)

// This file owns the end of a container: what its monitor does about it, and
// how a compute system is ended, by whoever it is.

// finish writes down how the program ended, ends what it left, and returns the
// exit code.
func (k *keeper) finish(e ending) uint32 {
	err := writeRecord(k.dir, exitFile, e) // first of all: from now on it is stopped
	k.mu.Lock()
	busy, forced, p := k.busy, k.forced, k.process
	k.mu.Unlock()
	if k.vm != "" && forced {
		err = join(err, endMachine(k.vm)) // with all it hosts, also when it is paused or hangs
	}
	if !busy {
		k.work.Lock()
	} else if !lockWithin(&k.work, endWait) {
		// A start that hangs has the handle; its end needs another one.
		err = join(err, k.endOther())
		if !lockWithin(&k.work, terminateWait) {
			// What it works with is not ours to touch. What is left, delete ends.
			k.log("ending container %s: a call of the service does not come back: %v", k.System, err)
			return e.Code
		}
	}
	if k.system != nil {
		err = join(err, endSystem(k.system, k.exited, forced))
		if p != nil {
			p.close()
		}
		k.system.close()
	}
	if k.vm != "" && !forced {
		err = join(err, endMachine(k.vm))
	}
	if err == nil && k.system != nil {
		e.Gone = true // so that delete need not ask
		err = writeRecord(k.dir, exitFile, e)
	}
	if k.relay != nil {
		patience := readerWait
		if forced {
			patience = 0 // whoever killed it wants it gone
		}
		k.relay.wait(drainWait, patience, k.hurry)
	}
	if err != nil {
		k.log("ending container %s: %v", k.System, err)
	}
	// Who asked is owed the answer: the error of a start that failed, above all.
	k.work.Unlock()
	lockWithin(&k.answers, dialWait)
	return e.Code
}

// endMachine ends the container's own VM: there is nothing in it to keep.
func endMachine(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	return terminateByName(ctx, v2{}, id)
}

// endOther ends the compute system by a handle of its own.
func (k *keeper) endOther() error {
	ctx, cancel := context.WithTimeout(context.Background(), callWait)
	defer cancel()
	return terminateByName(ctx, serviceFor(k.API), k.System)
}

// lockWithin waits for a request that is under way, but not for ever: a
// monitor ends, and the service drops what its handles were doing.
func lockWithin(m sync.Locker, most time.Duration) bool {
	got := make(chan struct{})
	go func() {
		m.Lock()
		close(got)
	}()
	select {
	case <-got:
		return true
	case <-time.After(most):
		return false
	}
}

// endSystem ends a compute system: politely, unless the end was forced, for
// its services may have something to write; then not.
func endSystem(s computeSystem, exited *departure, forced bool) error {
	if !forced && ended(s.shutdown, exited, shutdownWait) == nil {
		return nil
	}
	return ended(s.terminate, exited, terminateWait)
}

// terminateByName ends the compute system id, if there is one.
func terminateByName(ctx context.Context, on service, id string) error {
	s, err := on.open(ctx, id)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	exited, err := s.watch(ctx)
	if err == nil {
		err = ended(s.terminate, exited, terminateWait)
	}
	if err == nil || gone(err) {
		return nil
	}
	// Whatever went wrong with the asking, what counts is whether it is there.
	if found, lost := find(ctx, on, id); lost == nil && found.ended() {
		return nil
	}
	return err
}

// ended asks for a compute system's end and waits until it has come.
func ended(how func(context.Context) error, exited *departure, most time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	if err := how(ctx); err != nil && !errors.Is(err, computecore.ErrPending) {
		if gone(err) {
			return nil
		}
		return err
	}
	select {
	case <-exited.done:
		return exited.err
	case <-ctx.Done():
		return fmt.Errorf("it has not ended after %v", most)
	}
}
