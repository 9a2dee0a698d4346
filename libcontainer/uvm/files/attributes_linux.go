package files

import (
	"math"

	"golang.org/x/sys/unix"
)

// cacheSeconds is for how long the guest may take a name and the attributes of a
// file for granted. A second spares it most questions, and is the longest that
// something changed on the host may go unseen.
const cacheSeconds = 1

// fill describes a file to the guest.
func (a *attributes) fill(st *unix.Statx_t, base uint64) {
	*a = attributes{
		ino:       st.Ino + base,
		size:      st.Size,
		blocks:    st.Blocks,
		atime:     uint64(st.Atime.Sec),
		mtime:     uint64(st.Mtime.Sec),
		ctime:     uint64(st.Ctime.Sec),
		atimensec: st.Atime.Nsec,
		mtimensec: st.Mtime.Nsec,
		ctimensec: st.Ctime.Nsec,
		mode:      uint32(st.Mode),
		nlink:     st.Nlink,
		uid:       st.Uid,
		gid:       st.Gid,
		rdev:      uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor)),
		blockSize: st.Blksize,
	}
}

func (w *worker) getattr(r *request) unix.Errno {
	ask := in[getattrIn](r)
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	fd := i.fd
	if ask.flags&getattrHandle != 0 {
		h, errno := w.handles.use(ask.handle, r.node, i.kind == unix.S_IFDIR)
		if errno != 0 {
			return errno
		}
		defer w.handles.done(h)
		fd = h.fd
	}
	return w.replyAttributes(fd, i.base)
}

func (w *worker) replyAttributes(fd int, base uint64) unix.Errno {
	if errno := stat(fd, self, &w.stat); errno != 0 {
		return errno
	}
	reply := out[attrOut](w)
	reply.valid = cacheSeconds
	reply.attr.fill(&w.stat, base)
	return 0
}

func (w *worker) setattr(r *request) unix.Errno {
	ask := in[setattrIn](r)
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	name := descriptorName(&w.decimal, i.fd)

	// The owner goes first, since changing it clears the set-ID bits.
	if ask.valid&(attrUID|attrGID) != 0 {
		uid, gid := noID, noID
		if ask.valid&attrUID != 0 {
			uid = ask.uid
		}
		if ask.valid&attrGID != 0 {
			gid = ask.gid
		}
		if errno := fchownat(i.fd, self, uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); errno != 0 {
			return errno
		}
	}
	if ask.valid&attrMode != 0 {
		if i.kind == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		if errno := fchmodat(w.descriptors, name, ask.mode&0o7777); errno != 0 {
			return errno
		}
	}
	if ask.valid&attrSize != 0 {
		if errno := w.resize(r, i); errno != 0 {
			return errno
		}
	}
	if ask.valid&(attrAtime|attrMtime) != 0 {
		times := [2]unix.Timespec{
			moment(ask.valid, attrAtime, attrAtimeNow, ask.atime, ask.atimensec),
			moment(ask.valid, attrMtime, attrMtimeNow, ask.mtime, ask.mtimensec),
		}
		if errno := utimensat(w.descriptors, name, &times); errno != 0 {
			return errno
		}
	}
	return w.replyAttributes(i.fd, i.base)
}

// resize sets the size: through the open file if the guest names one, which may
// be open for writing without the mode's allowing it.
func (w *worker) resize(r *request, i *inode) unix.Errno {
	ask := in[setattrIn](r)
	if i.kind != unix.S_IFREG || ask.size > math.MaxInt64 {
		return unix.EINVAL
	}
	if ask.valid&attrKillSUID != 0 {
		w.credentials.humble()
		defer w.credentials.proud()
	}
	if ask.valid&attrHandle == 0 {
		return truncate(descriptorName(&w.decimal, i.fd), ask.size)
	}
	h, errno := w.handles.use(ask.handle, r.node, false)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	return number(unix.Ftruncate(h.fd, int64(ask.size)))
}

// moment is a time to set, in the form utimensat takes.
func moment(valid, set, now uint32, sec uint64, nsec uint32) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
}

func (w *worker) statfs(r *request) unix.Errno {
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	var st unix.Statfs_t
	if err := unix.Fstatfs(i.fd, &st); err != nil {
		return number(err)
	}
	*out[statfsOut](w) = statfsOut{
		blocks:       st.Blocks,
		free:         st.Bfree,
		available:    st.Bavail,
		files:        st.Files,
		filesFree:    st.Ffree,
		blockSize:    uint32(st.Bsize),
		nameLength:   uint32(st.Namelen),
		fragmentSize: uint32(st.Frsize),
	}
	return 0
}
