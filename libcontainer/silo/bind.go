package silo

import (
	"errors"
	"path"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// bind clones the source's tree, gives the clone its attributes while nobody
// can see it, and only then attaches it.
//
// In a user namespace the parent opens the source, as a user who may: one who
// is nobody on the host may not reach it, and cannot idmap it either.
func (b *builder) bind(in *Input, i int, why, dst string, m *specs.Mount, o mountOptions) error {
	mapped, err := in.mapping(i, m, o)
	if err != nil {
		return err
	}
	source := in.source(m)
	if in.reaches() {
		b.settle(in) // until then the parent's words mean something else
		m := b.foreign(in, i, why+": bind of "+source, dst, source)
		b.propagation(why, m, o.propagation)
		return nil
	}
	flags := uint64(openTreeClone | oCloexec)
	if o.recursive {
		flags |= atRecursive
	}
	t := b.save(why+": bind of "+source, "open_tree", Int(atFdcwd), Str(source), Flags(flags))
	set, clear := o.bindAttributes()
	if kept, ok := in.Facts.Locked[source]; ok {
		set, clear = keepLocked(set, clear, kept, &o)
	}
	if set|clear != 0 {
		b.setattr(why, t, 0, set, clear, 0)
	}
	if mapped != "" {
		at := uint64(atEmptyPath)
		if o.idmapTree {
			at |= atRecursive
		}
		b.call(why+": idmap", "mount_setattr", t, Str(""), Flags(at), MountAttr{attrIdmap, mapped}, Int(32))
	}
	if in.Facts.Unseen[source] {
		// What an earlier mount of the list brings, nobody could look at yet.
		s := b.slot()
		b.call(why+": a directory?", "faccessat2", t, Str("."), Int(0), Int(0))
		b.either(why, s, dst, func() {})
		b.finish(why, t, s, o)
		return nil
	}
	b.finish(why, t, b.target(why, dst, in.Facts.NotDir[source], 0), o)
	return nil
}

// either opens the mount point as a directory or, if the step before says
// ENOTDIR or gives another result than it wants, as a file; each time after
// what then appends.
func (b *builder) either(why string, s Slot, dst string, then func()) {
	first := b.here() - 1
	then()
	b.into(why, s, dst, false)
	b.call("", callLet, Int(0)).Save = b.slot()
	jump := b.here() - 1
	b.step(first).Rescue = []Rescue{
		{Errno: eNOTDIR, Skip: b.skipFrom(first)},
		{Errno: eCANCELED, Skip: b.skipFrom(first)},
	}
	then()
	b.into(why, s, dst, true)
	b.step(jump).Skip = b.skipFrom(jump)
}

// foreign attaches a mount that the parent makes.
func (b *builder) foreign(in *Input, i int, why, dst, source string) Slot {
	b.call(why+": by the parent", callTell, fileSync, Flags(codeSource), Int(i))
	m, s := b.slot(), b.slot()
	receive := func() {
		r := b.call(why+": by the parent", "recvmsg", fileSync, RecvFD{}, Flags(msgCmsgCloexec))
		r.Save = m
	}
	if in.Facts.Unseen[source] {
		b.call(why+": a directory?", "read", fileSync, make(Bytes, 2), Int(2)).Want = 1
		b.either(why, s, dst, receive)
	} else {
		b.call(why+": a directory?", "read", fileSync, make(Bytes, 2), Int(2))
		receive()
		b.into(why, s, dst, in.Facts.NotDir[source])
	}
	b.attach(why, m, s)
	return m
}

// reaches tells whether the parent opens sources for the child.
func (in *Input) reaches() bool { return in.Facts.Privileged && in.userNamespace() }

// source is a bind mount's source; a relative one is relative to the bundle
// (config.md, Mounts).
func (in *Input) source(m *specs.Mount) string {
	if path.IsAbs(m.Source) {
		return m.Source
	}
	return path.Join(in.Bundle, m.Source)
}

// MappingFile is the user namespace whose mappings mounts[i] gets.
func MappingFile(i int) File { return File("mapping of mounts " + strconv.Itoa(i)) }

// mapping names the user namespace a mount is mapped by; "" if it is not.
func (in *Input) mapping(i int, m *specs.Mount, o mountOptions) (File, error) {
	given := len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0
	switch {
	case !given && !o.idmap:
		return "", nil
	case given && (len(m.UIDMappings) == 0 || len(m.GIDMappings) == 0):
		return "", errors.New("uidMappings and gidMappings go together: an idmapped mount needs both")
	case !given && !in.userNamespace():
		return "", errors.New("idmap without uidMappings and gidMappings takes the container's, which has no user namespace")
	case !in.Facts.Privileged:
		return "", errIDMapRoot
	}
	return MappingFile(i), nil
}

var errIDMapRoot = errors.New("an idmapped mount needs root: the kernel wants CAP_SYS_ADMIN over the source's file system")

// keepLocked leaves the attributes of the source that a user namespace may not
// take away (mount_namespaces(7)), unless config.json says by name that they
// shall go; then the kernel refuses, and the error is the right one.
func keepLocked(set, clear, has uint64, o *mountOptions) (uint64, uint64) {
	const lockable = attrRdonly | attrNosuid | attrNodev | attrNoexec
	kept := has & lockable &^ o.attrClear
	set |= kept
	return set, clear &^ kept
}

// finish attaches t and does what applies to the tree as a whole.
func (b *builder) finish(why string, t, target Slot, o mountOptions) {
	b.attach(why, t, target)
	if o.recSet|o.recClear != 0 {
		b.setattr(why, t, atRecursive, o.recSet, o.recClear, 0)
	}
	b.propagation(why, t, o.propagation)
}

func (b *builder) propagation(why string, t Slot, flags []uint64) {
	for _, f := range flags {
		at := uint64(0)
		if f&msRec != 0 {
			at = atRecursive
		}
		b.setattr(why+": propagation", t, at, 0, 0, f&^msRec)
	}
}
