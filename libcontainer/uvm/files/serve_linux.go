package files

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

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

	pool
	surplus []byte // what the worker that has the turn received beyond its message
	ended   bool

	sending sync.Mutex
}

// worker serves one request at a time, in buffers of its own.
type worker struct {
	*server
	hasTurn     atomic.Bool
	late        *time.Timer // the request in service takes long
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
	s := &server{conn: conn, root: root, descriptors: descriptors, pool: pool{turn: make(chan struct{}, 1)}}
	s.turn <- struct{}{}
	var st unix.Statx_t
	if errno := stat(root, self, &st); errno != 0 {
		return fmt.Errorf("stat the root of the served tree: %w", errno)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("serve a tree: its root: %w", unix.ENOTDIR)
	}
	s.reset(&st)
	defer s.reset(&st)

	for range workers {
		s.hire()
	}
	s.all.Wait()
	return s.failure
}

// reset takes back everything from the guest but the root.
func (s *server) reset(st *unix.Statx_t) {
	s.initialised.Store(false)
	s.handles.reset()
	s.inodes.reset(s.root, st)
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
