package guest

import (
	"context"
	"sync"
	"time"

	"wrun/libcontainer"
	"wrun/libcontainer/uvm/wire"
)

// oomWait bounds an answer to the host, which asks again as long as somebody
// wants to know: one who has gone leaves no question behind for ever.
const oomWait = 20 * time.Second

// ooms counts the processes of one container that the kernel killed for want of
// memory.
type ooms struct {
	mu      sync.Mutex
	count   int64
	over    error         // the watch has ended: with the container, or why not
	changed chan struct{} // closed and replaced when either does
}

func (o *ooms) change(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *ooms) watch(w libcontainer.OOMWatcher) {
	err := w.WatchOOM(context.Background(), func() { o.change(func() { o.count++ }) })
	if err == nil {
		err = libcontainer.ErrNotRunning
	}
	o.change(func() { o.over = err })
}

// await returns the count when it is another than seen, or after oomWait.
func (o *ooms) await(seen int64) (int64, error) {
	late := time.After(oomWait)
	for {
		o.mu.Lock()
		count, over, changed := o.count, o.over, o.changed
		o.mu.Unlock()
		if count != seen {
			return count, nil
		}
		if over != nil {
			return 0, over
		}
		select {
		case <-changed:
		case <-late:
			return count, nil
		}
	}
}

// oom tells how many there have been since it was first asked.
func (a *agent) oom(w wire.OOM) (any, error) {
	t, err := a.find(w.ID)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	o := t.container.ooms
	if o == nil {
		watcher, ok := t.container.system.(libcontainer.OOMWatcher)
		if !ok {
			a.mu.Unlock()
			return nil, libcontainer.ErrUnsupported
		}
		o = &ooms{changed: make(chan struct{})}
		t.container.ooms = o
		go o.watch(watcher)
	}
	a.mu.Unlock()
	count, err := o.await(w.Seen)
	return wire.OOMs{Count: count}, err
}
