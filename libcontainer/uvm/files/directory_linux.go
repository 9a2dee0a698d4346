package files

import (
	"bytes"
	"math"

	"golang.org/x/sys/unix"
)

const (
	// hostEntryHead is what precedes the name in an entry of getdents64: inode
	// number, offset, length and kind.
	hostEntryHead = 8 + 8 + 2 + 1
	// longestHostEntry is one with a name of 255 bytes and its NUL, padded.
	longestHostEntry = (hostEntryHead + 256 + 7) &^ 7
)

func (w *worker) opendir(r *request) unix.Errno {
	i, errno := w.directoryAt(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	name := descriptorName(&w.decimal, i.fd)
	fd, errno := openat(w.descriptors, name, unix.O_RDONLY|unix.O_DIRECTORY|guarded, 0)
	if errno != 0 {
		return errno
	}
	// The guest does not keep the list: the time of change of a directory is too
	// coarse to tell that another entry came right after it was read.
	out[openOut](w).handle = w.handles.add(&handle{node: i.node, fd: fd, directory: true})
	return 0
}

// readdir answers with entries from the offset on; plus, with what lookup would
// answer for each of them too.
func (w *worker) readdir(r *request, plus bool) unix.Errno {
	ask := in[transferIn](r)
	if ask.offset > math.MaxInt64 {
		return unix.EINVAL
	}
	i, errno := w.directoryAt(r.node)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	h, errno := w.handles.use(ask.handle, r.node, true)
	if errno != 0 {
		return errno
	}
	defer w.handles.done(h)
	h.reading.Lock()
	defer h.reading.Unlock()

	offset := int64(ask.offset)
	if offset != h.position {
		h.position = -1 // unknown if any of this fails
		if _, err := unix.Seek(h.fd, offset, unix.SEEK_SET); err != nil {
			return number(err)
		}
	}
	room := w.payload()[:min(ask.size, maxPayload)]
	// Ask the host for about as much as the reply will hold. An entry of the
	// guest's takes at most 4/3 of the host's; with attributes, usually five times.
	share := len(room) * 3 / 4
	if plus {
		share = len(room) / 5
	}
	h.position = -1
	n, err := unix.Getdents(h.fd, w.scratch[:min(max(share, longestHostEntry), len(w.scratch))])
	if err != nil {
		return number(err)
	}
	h.position = offset
	for list := w.scratch[:n]; len(list) > hostEntryHead; {
		e, rest := hostEntry(list)
		if !w.appendEntry(room, i, e, plus) {
			// What is left over is read again, from behind the last one that fitted.
			h.position = -1
			break
		}
		h.position = e.offset
		list = rest
	}
	return 0
}

// entry is one of a directory, as the host lists it.
type entry struct {
	ino    uint64
	offset int64 // where to go on behind it
	kind   uint32
	name   []byte // ending in NUL
}

func hostEntry(list []byte) (entry, []byte) {
	length := int(*view[uint16](list[16:]))
	name := list[hostEntryHead:length]
	return entry{
		ino:    *view[uint64](list),
		offset: *view[int64](list[8:]),
		kind:   uint32(list[18]),
		name:   name[:bytes.IndexByte(name, 0)+1],
	}, list[length:]
}

// appendEntry adds an entry to the reply, and tells whether there was room.
func (w *worker) appendEntry(room []byte, dir *inode, e entry, plus bool) bool {
	name := e.name[:len(e.name)-1]
	size := sizeOf[direntHead]() + (len(name)+7)&^7
	if plus {
		size += sizeOf[entryOut]()
	}
	if w.replied+size > len(room) {
		return false
	}
	at := room[w.replied : w.replied+size]
	w.replied += size
	clear(at)
	if plus {
		w.lookupEntry(view[entryOut](at), dir, e)
		at = at[sizeOf[entryOut]():]
	}
	*view[direntHead](at) = direntHead{ino: e.ino + dir.base, offset: uint64(e.offset), nameLength: uint32(len(name)), kind: e.kind}
	copy(at[sizeOf[direntHead]():], name)
	return true
}

// lookupEntry tells the guest of the entry's file. Of those without a number,
// which are the two dots and what cannot be looked up, it takes but the name.
func (w *worker) lookupEntry(reply *entryOut, dir *inode, e entry) {
	if component(e.name) {
		if i, errno := w.find(dir.fd, e.name); errno == 0 {
			w.describe(reply, i)
			return
		}
	}
	reply.attr.ino = e.ino + dir.base
	reply.attr.mode = e.kind << 12
}
