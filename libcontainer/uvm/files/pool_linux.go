package files

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// workers is how many requests are served at once. One that waits for a disk
	// leaves the others to go on; more would wait for the same disk.
	workers = 4
	// mostWorkers is how many there may be when some are stuck, as on a network
	// file system whose server is gone. The guest can have more under way than that
	// and then waits with them.
	mostWorkers = 64
	// stuckAfter is how long a worker may serve a quick request before another one
	// receives in its place.
	stuckAfter = 20 * time.Millisecond
)

// pool is the workers of one connection. One of them has the turn to receive.
type pool struct {
	turn chan struct{}  // holds one thing when nobody has the turn
	free atomic.Int32   // workers that serve nothing at the moment
	busy sync.WaitGroup // requests in service without the turn

	all     sync.WaitGroup
	mu      sync.Mutex
	hired   int
	failure error // the first
}

// hire begins one more worker, unless there are enough.
func (s *server) hire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hired == mostWorkers {
		return
	}
	s.hired++
	s.free.Add(1)
	s.all.Go(func() {
		defer s.free.Add(-1)
		if err := s.work(); err != nil {
			s.mu.Lock()
			if s.failure == nil {
				s.failure = err
			}
			s.mu.Unlock()
			// Wakes the worker that waits for the next message, and whoever is stuck
			// with a reply.
			_ = unix.Shutdown(s.conn, unix.SHUT_RDWR)
		}
	})
}

func (s *server) work() error {
	w := &worker{server: s, request: make([]byte, maxFrame), reply: make([]byte, maxFrame), scratch: make([]byte, scratchSize)}
	if err := w.prepareThread(); err != nil {
		return fmt.Errorf("prepare a thread to serve files: %w", err)
	}
	w.late = time.AfterFunc(time.Hour, w.stuck)
	w.late.Stop()
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	for {
		frame, err := w.receive()
		if frame != nil {
			err = w.answer(frame)
		}
		if frame == nil || err != nil {
			s.ended = true
			if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
				// The other end may close at any time, as well before a reply.
				err = nil
			}
			return err
		}
	}
}

// answer serves one message and replies to it. The worker that received it
// serves it, and keeps the turn to receive if that is quicker done than handing
// the turn to another thread; so most messages cross no thread on their way.
func (w *worker) answer(frame []byte) error {
	r := &w.current
	if err := r.decode(frame); err != nil {
		return err
	}
	if r.opcode == opInit || r.opcode == opDestroy {
		// Behind their answer must come no other: on the same connection the guest
		// may count its requests from zero again.
		w.busy.Wait()
		return w.execute(r)
	}
	w.hasTurn.Store(true)
	if r.opcode < uint32(len(shapes)) && shapes[r.opcode].slow {
		w.giveTurn()
	}
	w.free.Add(-1)
	w.late.Reset(stuckAfter)
	err := w.execute(r)
	w.late.Stop()
	w.free.Add(1)
	if !w.hasTurn.CompareAndSwap(true, false) {
		// In this order: who waits for the end of the busy has the turn.
		w.busy.Done()
		<-w.turn
	}
	return err
}

// giveTurn lets another worker receive, unless this one does so already.
func (w *worker) giveTurn() {
	if w.hasTurn.CompareAndSwap(true, false) {
		w.busy.Add(1)
		w.turn <- struct{}{}
	}
}

// stuck sees to it that somebody receives while this worker waits for a file.
func (w *worker) stuck() {
	w.giveTurn()
	if w.free.Load() == 0 {
		w.hire()
	}
}

// execute serves the request and replies.
func (w *worker) execute(r *request) error {
	w.replied = 0
	errno := w.serve(r)
	if r.opcode == opForget || r.opcode == opBatchForget {
		return nil // nobody waits for an answer to these
	}
	return w.send(r.unique, errno)
}
