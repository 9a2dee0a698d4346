package files

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// workers is how many requests are served at once. One that waits for a disk
// leaves the others to go on; more would wait for the same disk.
const workers = 4

// enoughDescriptors is what the server asks for: each file the guest knows costs
// one, and a guest with little memory knows some 200 000 at most.
const enoughDescriptors = 1 << 18

// scratchSize is the most that all names of a file's attributes take.
const scratchSize = 64 << 10

// server is one connection and what the guest holds on it.
type server struct {
	conn        int
	root        int
	descriptors int // /proc/self/fd
	inodes      inodes
	handles     handles
	initialised atomic.Bool

	// turn is held by the worker that receives; surplus is what it received beyond
	// its message.
	turn    sync.Mutex
	surplus []byte
	ended   bool
	busy    sync.WaitGroup // slow requests in service

	sending sync.Mutex
}

// worker serves one request at a time, in buffers of its own.
type worker struct {
	*server
	credentials credentials
	current     request
	request     []byte
	reply       []byte
	replied     int // bytes of the reply behind its header
	stat        unix.Statx_t
	decimal     [12]byte
	// scratch receives entries of a directory and names of attributes.
	scratch []byte
}

// Serve answers the FUSE requests that arrive on the stream socket conn with the
// directory tree below root, until the other end closes. It acts for each user
// of the guest, so it needs the rights of root, and it takes /proc to be mounted.
// It raises the process's limit of descriptors: each file the guest knows is one.
//
// Both descriptors remain the caller's. When Serve returns, everything the guest
// had open is closed.
func Serve(conn, root int) error {
	raiseDescriptorLimit()
	descriptors, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/self/fd: %w", err)
	}
	defer unix.Close(descriptors)
	s := &server{conn: conn, root: root, descriptors: descriptors}
	var st unix.Statx_t
	if errno := stat(root, self, &st); errno != 0 {
		return fmt.Errorf("stat the root of the served tree: %w", errno)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("serve a tree: its root: %w", unix.ENOTDIR)
	}
	s.reset(&st)
	defer s.reset(&st)

	ends := make(chan error, workers)
	for range workers {
		go func() { ends <- s.work() }()
	}
	var first error
	for range workers {
		if err := <-ends; err != nil && first == nil {
			first = err
			// Wakes the worker that waits for the next message, and whoever is stuck
			// with a reply.
			_ = unix.Shutdown(conn, unix.SHUT_RDWR)
		}
	}
	return first
}

// reset takes back everything from the guest but the root.
func (s *server) reset(st *unix.Statx_t) {
	s.initialised.Store(false)
	s.handles.reset()
	s.inodes.reset(s.root, st)
}

func (s *server) work() error {
	w := &worker{server: s, request: make([]byte, maxFrame), reply: make([]byte, maxFrame), scratch: make([]byte, scratchSize)}
	if err := w.prepareThread(); err != nil {
		return fmt.Errorf("prepare a thread to serve files: %w", err)
	}
	s.turn.Lock()
	defer s.turn.Unlock()
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
	switch {
	case r.opcode == opInit || r.opcode == opDestroy:
		// Behind their answer must come no other: on the same connection the guest
		// may count its requests from zero again.
		w.busy.Wait()
	case r.opcode < uint32(len(shapes)) && shapes[r.opcode].slow:
		w.busy.Add(1)
		w.turn.Unlock()
		defer func() {
			// In this order: who waits for the end of the busy has the turn.
			w.busy.Done()
			w.turn.Lock()
		}()
	}
	w.replied = 0
	errno := w.serve(r)
	if r.opcode == opForget || r.opcode == opBatchForget {
		return nil // nobody waits for an answer to these
	}
	return w.send(r.unique, errno)
}

// serve does what the request asks. The reply, but for its header, is in
// w.reply.
func (w *worker) serve(r *request) unix.Errno {
	if r.opcode != opInit && !w.initialised.Load() {
		return unix.ENOTCONN
	}
	switch r.opcode {
	case opLookup:
		return w.lookup(r)
	case opForget:
		w.inodes.forget(r.node, in[forgetIn](r).lookups)
		return 0
	case opBatchForget:
		return w.batchForget(r)
	case opGetattr:
		return w.getattr(r)
	case opSetattr:
		return w.setattr(r)
	case opReadlink:
		return w.readlink(r)
	case opSymlink:
		return w.symlink(r)
	case opMknod:
		return w.mknod(r)
	case opMkdir:
		return w.mkdir(r)
	case opUnlink:
		return w.unlink(r, 0)
	case opRmdir:
		return w.unlink(r, unix.AT_REMOVEDIR)
	case opRename:
		return w.rename(r, in[renameIn](r).directory, 0)
	case opRename2:
		return w.rename(r, in[rename2In](r).directory, in[rename2In](r).flags)
	case opLink:
		return w.link(r)
	case opOpen:
		return w.open(r)
	case opCreate:
		return w.create(r)
	case opRead:
		return w.read(r)
	case opWrite:
		return w.write(r)
	case opFlush:
		return w.flush(r)
	case opRelease:
		return w.handles.release(in[releaseIn](r).handle, r.node, false)
	case opFsync:
		return w.fsync(r, false)
	case opFallocate:
		return w.fallocate(r)
	case opLseek:
		return w.lseek(r)
	case opCopyFileRange:
		return w.copyFileRange(r)
	case opOpendir:
		return w.opendir(r)
	case opReaddir:
		return w.readdir(r, false)
	case opReaddirplus:
		return w.readdir(r, true)
	case opReleasedir:
		return w.handles.release(in[releaseIn](r).handle, r.node, true)
	case opFsyncdir:
		return w.fsync(r, true)
	case opStatfs:
		return w.statfs(r)
	case opSetxattr:
		return w.setxattr(r)
	case opGetxattr:
		return w.getxattr(r)
	case opListxattr:
		return w.listxattr(r)
	case opRemovexattr:
		return w.removexattr(r)
	case opInit:
		return w.initialise(r)
	case opDestroy:
		// The tree was unmounted in the guest, and may be mounted again.
		return w.restart()
	}
	// Of the rest the guest kernel takes note, and does not ask again: it checks
	// access itself, keeps locks to itself, and lets a process that is interrupted
	// wait for its answer.
	return unix.ENOSYS
}

// initialise agrees on the protocol. The guest's caches are what makes a tree on
// the far side of a serial port fast enough: see cacheSeconds, and open. A
// write-back cache is not among them, as it would hide writes from the host.
func (w *worker) initialise(r *request) unix.Errno {
	ask := in[initIn](r)
	reply := out[initOut](w)
	reply.major, reply.minor = protocolMajor, protocolMinor
	if ask.major > protocolMajor {
		return 0 // the guest asks again, in this version
	}
	if ask.major < protocolMajor || ask.minor < oldestMinor {
		return unix.EPROTO
	}
	const wanted = initAsyncRead | initAtomicTruncate | initBigWrites | initAutoInvalidate |
		initReaddirplus | initReaddirplusAuto | initParallelDirs | initMaxPages |
		initCacheSymlinks | initKillPrivV2
	reply.minor = min(ask.minor, protocolMinor)
	reply.flags = ask.flags & wanted
	reply.maxReadahead = min(ask.maxReadahead, maxPayload)
	reply.maxBackground = 4 * workers
	reply.congestionThreshold = 3 * workers
	reply.maxWrite = maxPayload
	reply.timeGranularity = 1
	reply.maxPages = uint16(max(maxPayload/unix.Getpagesize(), 1))
	errno := w.restart()
	w.initialised.Store(errno == 0)
	return errno
}

// restart closes everything the guest had. Requests that other workers are at
// finish with what they use.
func (w *worker) restart() unix.Errno {
	if errno := stat(w.root, self, &w.stat); errno != 0 {
		return errno
	}
	w.reset(&w.stat)
	return 0
}

func (w *worker) batchForget(r *request) unix.Errno {
	one := sizeOf[forgetOne]()
	for list := r.data; len(list) >= one; list = list[one:] {
		f := view[forgetOne](list)
		w.inodes.forget(f.node, f.lookups)
	}
	return 0
}

// raiseDescriptorLimit makes room for what the guest may know at once. Failing
// is no error: the guest is then told ENFILE earlier.
func raiseDescriptorLimit() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	enough := unix.Rlimit{Cur: enoughDescriptors, Max: max(limit.Max, enoughDescriptors)}
	if limit.Max >= enoughDescriptors || unix.Setrlimit(unix.RLIMIT_NOFILE, &enough) != nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}
