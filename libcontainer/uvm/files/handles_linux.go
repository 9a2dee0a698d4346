package files

import (
	"sync"

	"golang.org/x/sys/unix"
)

// handle is a file or directory the guest has open.
type handle struct {
	node uint64
	fd   int

	// A directory's descriptor has one position, which requests take turns to use.
	directory bool
	reading   sync.Mutex
	position  int64

	// Guarded by handles.mu.
	released bool
	users    int
}

// handles is the table of what the guest has open.
type handles struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*handle
}

// add enters an open file, which it takes over, and returns its number.
func (t *handles) add(h *handle) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.open[t.last] = h
	return t.last
}

// use returns what is open under the number, which stays so until done is
// called. It must be what the request says it is.
func (t *handles) use(number, node uint64, directory bool) (*handle, unix.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.open[number]
	if h == nil || h.node != node || h.directory != directory {
		return nil, unix.EBADF
	}
	h.users++
	return h, 0
}

func (t *handles) done(h *handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.users--
	t.drop(h)
}

// release closes what is open under the number, once no request uses it.
func (t *handles) release(number, node uint64, directory bool) unix.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.open[number]
	if h == nil || h.node != node || h.directory != directory {
		return unix.EBADF
	}
	delete(t.open, number)
	h.released = true
	t.drop(h)
	return 0
}

// reset closes everything.
func (t *handles) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.open {
		h.released = true
		t.drop(h)
	}
	t.open = map[uint64]*handle{}
}

func (t *handles) drop(h *handle) {
	if h.released && h.users == 0 {
		unix.Close(h.fd)
	}
}
