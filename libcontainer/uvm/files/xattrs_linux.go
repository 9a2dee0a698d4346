package files

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// xattrServed tells whether the guest may have the extended attribute of the
// name. Of the security attributes it may have only the capabilities of a
// program, which are as good as a set-user-ID bit: labels are for the host to
// give. Access control lists the guest kernel would store without heeding them,
// and the mode it would then heed shows their mask for the rights of the group.
// What an overlay file system of the host writes into its layers stays its own.
func xattrServed(name []byte) bool {
	switch {
	case bytes.HasPrefix(name, []byte("trusted.overlay.")):
		return false
	case bytes.HasPrefix(name, []byte("user.")), bytes.HasPrefix(name, []byte("trusted.")):
		return true
	}
	return string(name) == "security.capability\x00"
}

// xattrs prepares for calls on the extended attributes of the request's file,
// and returns its name for them. The caller calls done on the inode.
func (w *worker) xattrs(r *request) (*inode, []byte, unix.Errno) {
	if r.opcode != opListxattr && !xattrServed(r.names[0]) {
		return nil, nil, unix.EOPNOTSUPP
	}
	i, errno := w.inodes.use(r.node)
	if errno != 0 {
		return nil, nil, errno
	}
	return i, descriptorName(&w.decimal, i.fd), 0
}

func (w *worker) setxattr(r *request) unix.Errno {
	ask := in[setxattrIn](r)
	if uint64(ask.size) != uint64(len(r.data)) {
		return unix.EINVAL
	}
	i, file, errno := w.xattrs(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	return setxattr(file, r.names[0], r.data, ask.flags)
}

func (w *worker) getxattr(r *request) unix.Errno {
	i, file, errno := w.xattrs(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	size := in[getxattrIn](r).size
	if size == 0 {
		n, errno := getxattr(file, r.names[0], nil)
		out[getxattrOut](w).size = uint32(n)
		return errno
	}
	n, errno := getxattr(file, r.names[0], w.payload()[:min(size, maxPayload)])
	w.replied = n
	return errno
}

func (w *worker) listxattr(r *request) unix.Errno {
	i, file, errno := w.xattrs(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	n, errno := listxattr(file, w.scratch[:])
	if errno != 0 {
		return errno
	}
	served := w.payload()[:0]
	for list := w.scratch[:n]; len(list) > 0; {
		end := bytes.IndexByte(list, 0) + 1
		if end == 0 {
			break
		}
		if xattrServed(list[:end]) {
			served = append(served, list[:end]...)
		}
		list = list[end:]
	}
	switch size := in[getxattrIn](r).size; {
	case size == 0:
		out[getxattrOut](w).size = uint32(len(served))
	case int(size) < len(served):
		return unix.ERANGE
	default:
		w.replied = len(served)
	}
	return 0
}

func (w *worker) removexattr(r *request) unix.Errno {
	i, file, errno := w.xattrs(r)
	if errno != 0 {
		return errno
	}
	defer w.inodes.done(i)
	return removexattr(file, r.names[0])
}
