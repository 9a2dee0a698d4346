package files

import (
	"golang.org/x/sys/unix"
)

// pathOnly opens the file itself, be it a link, without any access to it.
const pathOnly = unix.O_PATH | unix.O_NOFOLLOW

// directory begins a request that is about a name in a directory: the request's
// node and first name. The caller calls done on the inode.
func (w *worker) directory(r *request) (*inode, unix.Errno) {
	if !component(r.names[0]) {
		return nil, unix.EINVAL
	}
	return w.directoryAt(r.node)
}

func (w *worker) directoryAt(node uint64) (*inode, unix.Errno) {
	i, errno := w.inodes.use(node)
	if errno != 0 {
		return nil, errno
	}
	if i.kind != unix.S_IFDIR {
		w.inodes.done(i)
		return nil, unix.ENOTDIR
	}
	return i, 0
}

// find returns the file of the name, counted as told to the guest, and leaves
// its attributes in w.stat.
func (w *worker) find(dir int, name []byte) (*inode, unix.Errno) {
	if errno := stat(dir, name, &w.stat); errno != 0 {
		return nil, errno
	}
	// What the guest knows is held open, so its ID means it and nothing newer.
	if i := w.inodes.known(identify(&w.stat)); i != nil {
		return i, 0
	}
	fd, errno := openat(dir, name, pathOnly, 0)
	if errno != 0 {
		return nil, errno
	}
	return w.enter(fd)
}

// enter adds the file of an O_PATH descriptor to what the guest knows.
func (w *worker) enter(fd int) (*inode, unix.Errno) {
	// By now the name may be another file's than when it was looked at.
	if errno := stat(fd, self, &w.stat); errno != 0 {
		unix.Close(fd)
		return nil, errno
	}
	return w.inodes.add(fd, &w.stat), 0
}

// describe fills in what the guest is told of a file found or made. It reads
// nothing of the inode that forgetting it changes.
func (w *worker) describe(e *entryOut, i *inode) {
	e.node = i.node
	e.entryValid, e.attrValid = cacheSeconds, cacheSeconds
	e.attr.fill(&w.stat, i.base)
}

// replyEntry answers with the file of the name.
func (w *worker) replyEntry(dir int, name []byte) unix.Errno {
	i, errno := w.find(dir, name)
	if errno != 0 {
		return errno
	}
	w.describe(out[entryOut](w), i)
	return 0
}

func (w *worker) lookup(r *request) unix.Errno {
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	return w.replyEntry(dir.fd, r.names[0])
}

func (w *worker) readlink(r *request) unix.Errno {
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	if i.kind != unix.S_IFLNK {
		return unix.EINVAL
	}
	n, errno := readlinkat(i.fd, self, w.payload()[:unix.PathMax])
	w.replied = n
	return errno
}

// make runs a call that makes a file of the request's name, as the user who
// asks, and answers with the file.
func (w *worker) make(r *request, call func(dir int) unix.Errno) unix.Errno {
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	if errno := w.credentials.become(r.uid, r.gid); errno != 0 {
		return errno
	}
	errno = call(dir.fd)
	w.credentials.restore()
	if errno != 0 {
		return errno
	}
	return w.replyEntry(dir.fd, r.names[0])
}

func (w *worker) mknod(r *request) unix.Errno {
	ask := in[mknodIn](r)
	switch ask.mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK:
	default:
		return unix.EINVAL
	}
	return w.make(r, func(dir int) unix.Errno {
		return mknodat(dir, r.names[0], ask.mode&(unix.S_IFMT|0o7777), ask.rdev)
	})
}

func (w *worker) mkdir(r *request) unix.Errno {
	return w.make(r, func(dir int) unix.Errno {
		return mkdirat(dir, r.names[0], in[mkdirIn](r).mode&0o7777)
	})
}

func (w *worker) symlink(r *request) unix.Errno {
	return w.make(r, func(dir int) unix.Errno {
		return symlinkat(r.names[1], dir, r.names[0])
	})
}

// link gives a file one more name. The file is reached by its descriptor: by any
// of its names it might be another by now.
func (w *worker) link(r *request) unix.Errno {
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	i, errno := w.inodes.use(in[linkIn](r).node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	from := descriptorName(&w.decimal, i.fd)
	if errno := linkat(w.descriptors, from, dir.fd, r.names[0], unix.AT_SYMLINK_FOLLOW); errno != 0 {
		return errno
	}
	return w.replyEntry(dir.fd, r.names[0])
}

func (w *worker) unlink(r *request, flags int) unix.Errno {
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	return unlinkat(dir.fd, r.names[0], flags)
}

func (w *worker) rename(r *request, to uint64, flags uint32) unix.Errno {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE|unix.RENAME_WHITEOUT) != 0 || !component(r.names[1]) {
		return unix.EINVAL
	}
	dir, errno := w.directory(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(dir)
	newDir, errno := w.directoryAt(to)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(newDir)
	return renameat(dir.fd, r.names[0], newDir.fd, r.names[1], flags)
}
