package silo

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Entry is a file that a tmpfs with tmpcopyup begins with.
type Entry struct {
	Path     string // below the mount point
	Mode     uint64 // S_IF* and permission bits
	UID, GID int    // in the container's terms; -1 unknown there
	Size     int64
	Device   int64
	Link     string
}

// maxCopied bounds what tmpcopyup copies: it is meant for a few small files.
const maxCopied = 10000

// copyUp mounts a tmpfs over a directory of the image with the same in it. The
// parent has read the names; the child opens each again, below the directory
// that was there before the tmpfs, so a name that has become a link meanwhile
// leads nowhere.
func (b *builder) copyUp(in *Input, why, dst string, m *specs.Mount, o mountOptions) {
	why += ": tmpcopyup"
	from := b.save(why, "openat2", b.root, Str(dst), inside(oPath, 0), Int(sizeofHow))
	readonly := o.flags&msRdonly != 0
	o.flags &^= msRdonly
	b.filesystem(in, why, dst, m, o)
	to := b.save(why, "openat2", b.root, Str(dst), inside(oPath, 0), Int(sizeofHow))
	for _, e := range in.Facts.CopyUp[dst] {
		b.copyEntry(why+": "+e.Path, from, to, &e)
	}
	if readonly {
		b.setattr(why, to, 0, attrRdonly, 0, 0)
	}
}

func (b *builder) copyEntry(why string, from, to Slot, e *Entry) {
	perm := e.Mode & 0o7777
	switch e.Mode & sIFMT {
	case sIFDIR:
		b.call(why, "mkdirat", to, Str(e.Path), Flags(perm))
	case sIFLNK:
		b.call(why, "symlinkat", Str(e.Link), to, Str(e.Path))
	case sIFREG:
		in := b.save(why, "openat2", from, Str(e.Path), How{Flags: oCloexec, Resolve: resolveBeneath | resolveNoSymlinks}, Int(sizeofHow))
		first := b.here() - 1
		out := b.save(why, "openat", to, Str(e.Path), Flags(oWronly|oCreat|oExcl|oCloexec), Flags(perm))
		if e.Size > 0 {
			// More than one call transfers fails as a file that has changed does.
			b.call(why, "sendfile", out, in, Int(0), Int(e.Size)).Want = int(e.Size)
		}
		b.call("", "close", in)
		b.call("", "close", out)
		b.owner(why, to, e, perm)
		b.step(first).Rescue = []Rescue{{Errno: eNOENT, Skip: b.skipFrom(first)}} // gone meanwhile
		return
	case sIFSOCK:
		return // nobody listens there
	default:
		b.call(why, "mknodat", to, Str(e.Path), Flags(e.Mode), Int(e.Device))
		made := b.here() - 1
		b.owner(why, to, e, perm)
		b.step(made).Rescue = []Rescue{{Errno: ePERM, Skip: b.skipFrom(made)}} // a user namespace
		return
	}
	b.owner(why, to, e, perm)
}

// owner gives the copy its user, and the bits that a change of user takes away.
func (b *builder) owner(why string, to Slot, e *Entry, perm uint64) {
	if e.UID <= 0 && e.GID <= 0 {
		return
	}
	b.call(why, "fchownat", to, Str(e.Path), Int(e.UID), Int(e.GID), Flags(atSymlinkNoFol))
	if perm&0o6000 != 0 && e.Mode&sIFMT != sIFLNK {
		b.call(why, "fchmodat", to, Str(e.Path), Flags(perm))
	}
}
