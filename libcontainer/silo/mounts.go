package silo

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounts appends everything of config.json's mounts list, in its order
// (config.md, "mounts": "The runtime MUST mount entries in the listed order").
func (b *builder) mounts(in *Input) error {
	for i := range in.Spec.Mounts {
		m := &in.Spec.Mounts[i]
		if err := b.mount(in, i, m); err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
	}
	return nil
}

func (b *builder) mount(in *Input, i int, m *specs.Mount) error {
	o := optionsOf(m)
	dst := in.destination(m)
	if dst == "/" {
		return errors.New("the container's root itself cannot be a mount destination")
	}
	if r, ok := in.Facts.Resolved[dst]; ok {
		dst = r
	}
	why := "mounts[" + strconv.Itoa(i) + "] " + m.Destination
	switch {
	case o.flags&msRemount != 0:
		b.remount(why, dst, o)
	case o.bind:
		return b.bind(in, i, why, dst, m, o)
	case o.idmap || len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0:
		// mount_setattr(2) idmaps what is not attached yet; a new file system here
		// is attached at once, and mapped by its user namespace anyway.
		return errors.New("only a bind mount can be idmapped")
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return b.cgroup(in, i, why, dst, o)
	case o.copyUp && len(in.Facts.CopyUp[dst]) > 0:
		b.copyUp(in, why, dst, m, o)
	default:
		b.filesystem(in, why, dst, m, o)
	}
	return nil
}

// optionsOf reads a mount's options and the type's part in them.
func optionsOf(m *specs.Mount) mountOptions {
	o := parseOptions(m.Options)
	if m.Type == "bind" || m.Type == "rbind" {
		o.bind, o.recursive = true, o.recursive || m.Type == "rbind"
	}
	return o
}

// destination is where a mount goes, inside the root. One that is written with
// the root file system's own path on the host in front means the same, to runc
// and so to those who write such bundles.
func (in *Input) destination(m *specs.Mount) string {
	dst := path.Clean("/" + m.Destination)
	if in.Spec.Root == nil {
		return dst
	}
	root := path.Clean(in.Spec.Root.Path)
	if rest, ok := strings.CutPrefix(dst, root); ok && root != "/" && strings.HasPrefix(rest, "/") {
		return rest
	}
	return dst
}

// filesystem mounts a new file system. mount(2) on "." rather than fsopen(2):
// the option string reaches the file system unchanged, as with other runtimes,
// and the mount point is pinned all the same.
func (b *builder) filesystem(in *Input, why, dst string, m *specs.Mount, o mountOptions) {
	var resolve uint64
	if m.Type == "proc" || m.Type == "sysfs" {
		// An image that makes /proc a symlink would have later writes to
		// /proc/… land in files of its own (CVE-2019-19921, CVE-2023-27561).
		resolve = resolveNoSymlinks
		why += ": must be mounted on ordinary directory"
	}
	if m.Type == "tmpfs" {
		o.data = in.tmpfsData(dst, o.data)
	}
	if dst == "/dev" && o.flags&msRdonly != 0 {
		// Not before it is filled.
		o.flags &^= msRdonly
		b.readonlyDev = why
	}
	s := b.target(why, dst, false, resolve)
	b.enter(why, s)
	b.call(why, "mount", Str(m.Source), Str("."), Str(m.Type), Flags(o.flags), data(o.data))
	if o.recSet|o.recClear != 0 || len(o.propagation) > 0 {
		t := b.save(why, "openat2", b.root, Str(dst), inside(oPath, 0), Int(sizeofHow))
		if o.recSet|o.recClear != 0 {
			b.setattr(why, t, atRecursive, o.recSet, o.recClear, 0)
		}
		b.propagation(why, t, o.propagation)
	}
}

// data is mount(2)'s last argument: NULL when there is nothing to say.
func data(s string) Arg {
	if s == "" {
		return Int(0)
	}
	return Str(s)
}

// remount changes a mount made before (by an earlier entry of the list).
func (b *builder) remount(why, dst string, o mountOptions) {
	t := b.save(why, "openat2", b.root, Str(dst), inside(oPath, 0), Int(sizeofHow))
	if o.bind {
		set, clear := o.remountAttributes()
		b.setattr(why, t, 0, set, clear, 0)
	} else {
		b.enter(why, t)
		b.call(why, "mount", Int(0), Str("."), Int(0), Flags(o.flags), data(o.data))
	}
	b.propagation(why, t, o.propagation)
}

// tmpfsData completes a tmpfs' options: without a mode of its own it has that
// of the directory it covers, as with runc.
func (in *Input) tmpfsData(dst, options string) string {
	mode, ok := in.Facts.Covered[dst]
	if !ok || hasMode(options) {
		return options
	}
	if options != "" {
		options += ","
	}
	return options + "mode=" + strconv.FormatUint(mode, 8)
}

func hasMode(options string) bool {
	return strings.HasPrefix(options, "mode=") || strings.Contains(options, ",mode=")
}

// cgroup shows the container its own cgroup. With a cgroup namespace the file
// system itself does that; without one the container's directories are bound.
func (b *builder) cgroup(in *Input, i int, why, dst string, o mountOptions) error {
	o.flags |= msNosuid | msNodev | msNoexec
	namespaced := in.hasNamespace(specs.CgroupNamespace)
	if in.Facts.Unified {
		b.settle(in)
		if namespaced {
			b.filesystem(in, why, dst, &specs.Mount{Source: "cgroup", Type: "cgroup2"}, o)
			return nil
		}
		if len(in.Facts.Cgroups) == 0 {
			return errors.New("the container has no cgroup that could be shown: an ordinary user has one only where it was delegated to them")
		}
		m := in.Facts.Cgroups[0]
		sub := bindOf(o)
		t := b.save(why+": bind of "+m.Source, "open_tree", Int(atFdcwd), Str(m.Source), Flags(openTreeClone|oCloexec|atRecursive))
		b.setattr(why, t, 0, sub.attrSet, sub.attrClear, 0)
		b.finish(why, t, b.target(why, dst, false, 0), sub)
		return nil
	}
	if b.show != nil {
		b.settle(in) // there is a mount of this type already
	}
	// cgroup v1: a small tmpfs that carries one directory for each hierarchy.
	tmp := o
	tmp.flags &^= msRdonly
	tmp.data = "mode=755,size=65536"
	b.filesystem(in, why, dst, &specs.Mount{Source: "tmpfs", Type: "tmpfs"}, tmp)
	dir := b.slot()
	b.open(why, dir, dst, 0)
	at := make([]Slot, len(in.Facts.Cgroups))
	for k, m := range in.Facts.Cgroups {
		// Nobody but us has seen this tmpfs: no need to look what is there.
		b.call(why, "mkdirat", dir, Str(m.Name), Int(0o755))
		at[k] = b.save(why, "openat2", dir, Str(m.Name), inside(oPath, resolveNoSymlinks), Int(sizeofHow))
		for _, link := range m.Aliases {
			b.call(why, "symlinkat", Str(m.Name), dir, Str(link))
		}
	}
	b.show = func() {
		for k, m := range in.Facts.Cgroups {
			if namespaced {
				b.enter(why, at[k])
				b.call(why, "mount", Str("cgroup"), Str("."), Str(m.Type), Flags(o.flags), data(m.Data))
				continue
			}
			sub := bindOf(o)
			t := b.save(why+": bind of "+m.Source, "open_tree", Int(atFdcwd), Str(m.Source), Flags(openTreeClone|oCloexec|atRecursive))
			b.setattr(why, t, 0, sub.attrSet, sub.attrClear, 0)
			b.finish(why, t, at[k], sub)
		}
		if o.flags&msRdonly != 0 {
			b.setattr(why, dir, 0, attrRdonly, 0, 0)
		}
	}
	if b.owned || !in.alone(i, dst) {
		b.settle(in)
	}
	return nil
}

func bindOf(o mountOptions) mountOptions {
	return mountOptions{
		bind: true, recursive: true, propagation: o.propagation,
		attrSet: o.attrSet | attrNosuid | attrNodev | attrNoexec, attrClear: o.attrClear,
	}
}

// masked hides paths: config-linux.md, "maskedPaths … will mask over the
// provided paths inside the container so that they cannot be read".
//
// All directories get the same empty tmpfs, the first the mount itself and the
// others clones of it: making a superblock costs the kernel more than the rest.
func (b *builder) masked(paths []string) {
	if len(paths) == 0 {
		return
	}
	empty := b.slot()
	b.call("linux.maskedPaths: no directory is hidden yet", callLet, Int(-1)).Save = empty
	for i, p := range paths {
		if slices.Contains(paths[:i], p) {
			continue // it is hidden already
		}
		why := "linux.maskedPaths[" + strconv.Itoa(i) + "] " + p
		s := b.slot()
		// "/." makes the kernel say whether it is a directory.
		directory := strings.TrimSuffix(p, "/") + "/."
		b.call(why, "openat2", b.root, Str(directory), inside(oPath, 0), Int(sizeofHow)).Save = s
		first := b.here() - 1
		t := b.save(why, "open_tree", empty, Str(""), Flags(openTreeClone|oCloexec|atEmptyPath))
		clone := b.here() - 1
		b.attach(why, t, s)
		attached := b.here() - 1
		b.step(clone).Rescue = []Rescue{{Errno: eBADF, Skip: b.skipFrom(clone)}}
		b.enter(why, s)
		b.call(why, "mount", Str("tmpfs"), Str("."), Str("tmpfs"), Flags(msRdonly|msNosuid|msNodev|msNoexec), Str("nr_blocks=1,nr_inodes=1"))
		b.call(why, "openat2", b.root, Str(directory), inside(oPath, 0), Int(sizeofHow)).Save = empty
		mounted := b.here() - 1
		b.step(first).Rescue = []Rescue{{Errno: eNOTDIR, Skip: b.skipFrom(first)}}
		b.call(why, "openat2", b.root, Str(p), inside(oPath, 0), Int(sizeofHow)).Save = s
		file := b.here() - 1
		// A clone for each path, of the host's own /dev/null, which no image
		// can have replaced (CVE-2025-31133).
		t = b.save(why, "open_tree", Int(atFdcwd), Str("/dev/null"), Flags(openTreeClone|oCloexec))
		b.attach(why, t, s)
		b.step(attached).Skip = b.skipFrom(attached)
		b.step(mounted).Skip = b.skipFrom(mounted)
		b.step(file).Rescue = []Rescue{
			{Errno: eNOENT, Skip: b.skipFrom(file)},
			{Errno: eNOTDIR, Skip: b.skipFrom(file)},
		}
		b.step(first).Rescue = append(b.step(first).Rescue,
			Rescue{Errno: eNOENT, Skip: b.skipFrom(first)})
	}
}

// readonly binds each path onto itself, read-only. One that does not exist is
// passed over, as other runtimes do.
func (b *builder) readonly(paths []string) {
	for i, p := range paths {
		why := "linux.readonlyPaths[" + strconv.Itoa(i) + "] " + p
		s := b.save(why, "openat2", b.root, Str(p), inside(oPath, 0), Int(sizeofHow))
		first := b.here() - 1
		t := b.save(why, "open_tree", s, Str(""), Flags(openTreeClone|oCloexec|atEmptyPath|atRecursive))
		b.setattr(why, t, atRecursive, attrRdonly, 0, 0)
		b.attach(why, t, s)
		b.step(first).Rescue = []Rescue{
			{Errno: eNOENT, Skip: b.skipFrom(first)},
			{Errno: eNOTDIR, Skip: b.skipFrom(first)},
		}
	}
}
