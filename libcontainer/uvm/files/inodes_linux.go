package files

import (
	"sync"

	"golang.org/x/sys/unix"
)

// fileID is what makes two files the same one. The mount is part of it: through
// a read-only bind mount a file is another one than through its original.
type fileID struct {
	ino    uint64
	device uint64
	mount  uint64
}

func identify(st *unix.Statx_t) fileID {
	return fileID{ino: st.Ino, device: unix.Mkdev(st.Dev_major, st.Dev_minor), mount: st.Mnt_id}
}

// inode is a file the guest knows by a number. Its O_PATH descriptor keeps hold
// of the file itself, whatever becomes of its name, and so keeps its ID unique.
type inode struct {
	node uint64
	fd   int
	id   fileID
	kind uint32 // the S_IFMT part of its mode, which never changes
	// base is what sets its device's inode numbers apart (see inodes.base).
	base uint64

	// Guarded by inodes.mu.
	lookups uint64 // how often the guest was told the number, less what it forgot
	users   int    // requests in service
}

// inodes is the table of what the guest knows. Numbers are not used twice, so
// one forgotten, or made up, names nothing.
type inodes struct {
	mu      sync.Mutex
	last    uint64
	byNode  map[uint64]*inode
	byID    map[fileID]*inode
	devices map[uint64]uint64
}

// reset empties the table but for the root.
func (t *inodes) reset(root int, st *unix.Statx_t) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range t.byNode {
		if i.node != rootNode {
			i.lookups = 0
			t.drop(i)
		}
	}
	if t.last == 0 {
		t.last = rootNode
		t.devices = map[uint64]uint64{}
	}
	i := &inode{node: rootNode, fd: root, id: identify(st), kind: unix.S_IFDIR, lookups: 1}
	i.base = t.base(i.id.device)
	t.byNode = map[uint64]*inode{rootNode: i}
	t.byID = map[fileID]*inode{i.id: i}
}

// base returns the number to add to the inode numbers of a device. The guest
// sees the whole tree as one device, so the inodes of two would have the same
// number, and find would report a loop where a file system is mounted. The
// root's keep theirs.
func (t *inodes) base(device uint64) uint64 {
	index, ok := t.devices[device]
	if !ok {
		index = uint64(len(t.devices))
		t.devices[device] = index
	}
	return index << 48
}

// use returns the file of the number, which stays open until done is called.
func (t *inodes) use(node uint64) (*inode, unix.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byNode[node]
	if i == nil {
		return nil, unix.ESTALE
	}
	i.users++
	return i, 0
}

func (t *inodes) done(i *inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i.users--
	t.drop(i)
}

// known returns the file if the guest knows it already, counted once more.
func (t *inodes) known(id fileID) *inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byID[id]
	if i != nil {
		i.lookups++
	}
	return i
}

// add enters the file of an O_PATH descriptor, which it takes over.
func (t *inodes) add(fd int, st *unix.Statx_t) *inode {
	id := identify(st)
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.byID[id]; i != nil {
		unix.Close(fd)
		i.lookups++
		return i
	}
	t.last++
	i := &inode{node: t.last, fd: fd, id: id, kind: uint32(st.Mode) & unix.S_IFMT, base: t.base(id.device), lookups: 1}
	t.byNode[i.node] = i
	t.byID[id] = i
	return i
}

// forget takes back lookups of the guest's. It is answered nothing, so what does
// not add up is taken for all.
func (t *inodes) forget(node, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byNode[node]
	if i == nil || node == rootNode {
		return
	}
	i.lookups -= min(lookups, i.lookups)
	t.drop(i)
}

// drop lets go of the file when neither the guest nor a request needs it. The
// guest no longer reaches it from the moment it has forgotten it.
func (t *inodes) drop(i *inode) {
	if i.lookups > 0 {
		return
	}
	if t.byNode[i.node] == i {
		delete(t.byNode, i.node)
		delete(t.byID, i.id)
	}
	if i.users == 0 && i.node != rootNode {
		unix.Close(i.fd)
	}
}
