package files

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFlags are the ones of the guest's that mean something to the host's file.
// Not O_APPEND: which write appends, each says itself. Not O_DIRECT: it aligns
// to the guest's pages, not to the host's disk.
const openFlags = unix.O_ACCMODE | unix.O_TRUNC | unix.O_SYNC | unix.O_DSYNC | unix.O_NOATIME

// guarded is for everything opened: a regular file ignores it, and anything else
// that came to be in its place neither blocks nor becomes a terminal.
const guarded = unix.O_NONBLOCK | unix.O_NOCTTY

// longestCopy bounds what one request copies within the host, so that it does not
// keep a worker for minutes. The guest asks for the rest.
const longestCopy = 64 << 20

func (w *worker) open(r *request) unix.Errno {
	ask := in[openIn](r)
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	fd, errno := w.openInode(i, ask.flags, ask.openFlags)
	if errno != 0 {
		return errno
	}
	w.replyOpen(out[openOut](w), i.node, fd, ask.flags)
	return 0
}

// openInode opens a regular file for its contents.
func (w *worker) openInode(i *inode, flags, openMode uint32) (int, unix.Errno) {
	switch i.kind {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return -1, unix.EISDIR
	case unix.S_IFLNK:
		return -1, unix.ELOOP
	default:
		return -1, unix.ENXIO
	}
	if flags&unix.O_TRUNC != 0 && openMode&openKillSUID != 0 {
		w.credentials.humble()
		defer w.credentials.proud()
	}
	return openat(w.descriptors, descriptorName(&w.decimal, i.fd), int(flags&openFlags)|guarded, 0)
}

// replyOpen hands the open file to the guest, which may keep what it has of the
// contents: it drops them when it sees the size or the time of change differ.
// Otherwise every start of a program would read it anew.
func (w *worker) replyOpen(reply *openOut, node uint64, fd int, flags uint32) {
	reply.openFlags = openKeepCache
	if flags&unix.O_ACCMODE == unix.O_RDONLY || !writesAtClose(fd) {
		reply.openFlags |= openNoFlush
	}
	reply.handle = w.handles.add(&handle{node: node, fd: fd})
}

// writesAtClose tells whether closing the file may still fail to write it. Where
// it may not the guest need not ask, and a close costs no round trip.
func writesAtClose(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return true
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return false
	}
	return true
}

// create makes a file and opens it. If there is one by now it is not opened by
// its name, which might be a device's: it is found like any other.
func (w *worker) create(r *request) unix.Errno {
	ask := in[createIn](r)
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	if errno := w.credentials.become(r.uid, r.gid); errno != 0 {
		return errno
	}
	fd, errno := openat(dir.fd, r.names[0], int(ask.flags&openFlags)|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|guarded, ask.mode&0o7777)
	w.credentials.restore()
	var i *inode
	switch {
	case errno == 0:
		i, errno = w.enterOpened(fd)
	case errno == unix.EEXIST && ask.flags&unix.O_EXCL == 0:
		i, fd, errno = w.openExisting(dir.fd, r)
	}
	if errno != 0 {
		return errno
	}
	reply := out[createOut](w)
	w.describe(&reply.entry, i)
	w.replyOpen(&reply.open, reply.entry.node, fd, ask.flags)
	return 0
}

// enterOpened adds an open file to what the guest knows.
func (w *worker) enterOpened(fd int) (*inode, unix.Errno) {
	path, errno := openat(w.descriptors, descriptorName(&w.decimal, fd), unix.O_PATH, 0)
	if errno == 0 {
		var i *inode
		if i, errno = w.enter(path); errno == 0 {
			return i, 0
		}
	}
	unix.Close(fd)
	return nil, errno
}

func (w *worker) openExisting(dir int, r *request) (*inode, int, unix.Errno) {
	ask := in[createIn](r)
	i, errno := w.find(dir, r.names[0])
	if errno != 0 {
		return nil, -1, errno
	}
	node := i.node
	// Finding it counted it as told; that alone does not hold it, as the guest may
	// make up that it forgot it.
	i, errno = w.inodes.use(node)
	if errno != 0 {
		return nil, -1, errno
	}
	defer w.inodes.done(i)
	fd, errno := w.openInode(i, ask.flags, ask.openFlags)
	if errno == 0 {
		errno = stat(fd, self, &w.stat)
		if errno != 0 {
			unix.Close(fd)
		}
	}
	if errno != 0 {
		w.inodes.forget(node, 1)
	}
	return i, fd, errno
}

func (w *worker) read(r *request) unix.Errno {
	ask := in[transferIn](r)
	if ask.size > maxPayload || ask.offset > math.MaxInt64-maxPayload {
		return unix.EINVAL
	}
	h, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	for buf := w.payload()[:ask.size]; w.replied < len(buf); {
		n, err := unix.Pread(h.fd, buf[w.replied:], int64(ask.offset)+int64(w.replied))
		if err == unix.EINTR {
			continue
		}
		if err != nil && w.replied == 0 {
			return number(err)
		}
		if n <= 0 {
			break
		}
		w.replied += n
	}
	return 0
}

func (w *worker) write(r *request) unix.Errno {
	ask := in[transferIn](r)
	if uint64(ask.size) != uint64(len(r.data)) || ask.size > maxPayload || ask.offset > math.MaxInt64-maxPayload {
		return unix.EINVAL
	}
	h, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	if ask.how&writeKillSUID != 0 {
		w.credentials.humble()
		defer w.credentials.proud()
	}
	// Pages a process changed in memory go where they lie, whichever of the open
	// files the guest kernel chose to send them through.
	appends := ask.flags&unix.O_APPEND != 0 && ask.how&writeFromCache == 0
	done := 0
	for done < len(r.data) {
		var n int
		var err error
		if offset := int64(ask.offset) + int64(done); appends {
			n, err = unix.Pwritev2(h.fd, [][]byte{r.data[done:]}, offset, unix.RWF_APPEND)
		} else {
			n, err = unix.Pwrite(h.fd, r.data[done:], offset)
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil && done == 0 {
			return number(err)
		}
		if n <= 0 {
			break
		}
		done += n
	}
	out[writeOut](w).size = uint32(done)
	return 0
}

// flush closes a duplicate, as a process closes its file: that is when a network
// file system says whether the contents arrived.
func (w *worker) flush(r *request) unix.Errno {
	h, errno := w.handles.use(in[releaseIn](r).handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return number(err)
	}
	return number(unix.Close(fd))
}

func (w *worker) fsync(r *request, directory bool) unix.Errno {
	ask := in[fsyncIn](r)
	h, errno := w.handles.use(ask.handle, r.node, directory)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	if ask.flags&fsyncDataOnly != 0 {
		return number(unix.Fdatasync(h.fd))
	}
	return number(unix.Fsync(h.fd))
}

func (w *worker) fallocate(r *request) unix.Errno {
	ask := in[fallocateIn](r)
	if ask.mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		return unix.EOPNOTSUPP
	}
	if ask.offset > math.MaxInt64 || ask.length > math.MaxInt64 {
		return unix.EINVAL
	}
	h, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	return number(unix.Fallocate(h.fd, ask.mode, int64(ask.offset), int64(ask.length)))
}

// lseek finds data and holes; positions the guest keeps itself.
func (w *worker) lseek(r *request) unix.Errno {
	ask := in[lseekIn](r)
	if ask.whence != unix.SEEK_DATA && ask.whence != unix.SEEK_HOLE || ask.offset > math.MaxInt64 {
		return unix.EINVAL
	}
	h, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	at, err := unix.Seek(h.fd, int64(ask.offset), int(ask.whence))
	out[lseekOut](w).offset = uint64(at)
	return number(err)
}

func (w *worker) copyFileRange(r *request) unix.Errno {
	ask := in[copyIn](r)
	if ask.offset > math.MaxInt64 || ask.outOffset > math.MaxInt64 || ask.flags != 0 {
		return unix.EINVAL
	}
	from, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(from)
	to, errno := w.handles.use(ask.outHandle, ask.outNode, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(to)
	at, outAt := int64(ask.offset), int64(ask.outOffset)
	n, err := unix.CopyFileRange(from.fd, &at, to.fd, &outAt, int(min(ask.length, longestCopy)), 0)
	out[writeOut](w).size = uint32(max(n, 0))
	return number(err)
}
