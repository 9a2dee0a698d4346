package silo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/rootfs"
)

// mounts looks at what the list of mounts names, on the host and in the image.
func (f *Facts) mounts(root int, in *Input) error {
	if err := f.mountSources(in); err != nil {
		return err
	}
	f.danglingTargets(root, in)
	return f.covered(root, in)
}

// mountSources looks which sources of bind mounts are files, and reports the
// ones that are missing while the error can still name them plainly. What lies
// below an earlier mount of the list is seen by the child alone.
func (f *Facts) mountSources(in *Input) error {
	for i := range in.Spec.Mounts {
		m := &in.Spec.Mounts[i]
		o := optionsOf(m)
		if !o.bind || o.flags&msRemount != 0 {
			continue
		}
		source := in.source(m)
		if inside, ok := strings.CutPrefix(source, path.Clean(in.Spec.Root.Path)+"/"); ok && cover(in, i, "/"+inside) != nil {
			mark(&f.Unseen, source, true)
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(source, &st); err != nil {
			return fmt.Errorf("mounts[%d].source %s, to be bound at %s: %w", i, source, m.Destination, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			mark(&f.NotDir, source, true)
		}
		if !f.Privileged && o.flagGiven {
			if has, err := attributes(source); err == nil {
				mark(&f.Locked, source, has)
			}
		}
	}
	return nil
}

// cover finds the last of the mounts before the i-th that lies on the way to a
// path; nil is none.
func cover(in *Input, i int, inside string) *specs.Mount {
	for k := i - 1; k >= 0; k-- {
		m := &in.Spec.Mounts[k]
		if rest, ok := strings.CutPrefix(inside, in.destination(m)); ok && (rest == "" || rest[0] == '/') {
			return m
		}
	}
	return nil
}

// hides tells whether nothing of the image is seen below a mount: what is bound
// may be a part of it, and tmpcopyup copies one.
func hides(m *specs.Mount) bool {
	o := optionsOf(m)
	return !o.bind && !o.copyUp && o.flags&msRemount == 0
}

func mark[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// attributes are MOUNT_ATTR_* of the mount that a path lies on.
func attributes(at string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return 0, err
	}
	return statfsAttributes(st.Flags), nil
}

func statfsAttributes(flags int64) uint64 {
	var out uint64
	for _, f := range [...]struct {
		st   int64
		attr uint64
	}{
		{unix.ST_RDONLY, attrRdonly}, {unix.ST_NOSUID, attrNosuid}, {unix.ST_NODEV, attrNodev}, {unix.ST_NOEXEC, attrNoexec},
		{unix.ST_NOATIME, attrNoatime}, {unix.ST_NODIRATIME, attrNodiratime},
	} {
		if flags&f.st != 0 {
			out |= f.attr
		}
	}
	return out
}

// danglingTargets finds mount destinations that lead over a symbolic link to
// nowhere (an image's /etc/resolv.conf, usually) and where they point. The
// child makes what is missing there; it resolves the path anew, inside the
// root, so nothing depends on this reading staying true.
func (f *Facts) danglingTargets(root int, in *Input) {
	mounts := in.Spec.Mounts
	for i := range mounts {
		if mounts[i].Type == "proc" || mounts[i].Type == "sysfs" {
			continue // their mount points may not lead over links at all
		}
		dst := in.destination(&mounts[i])
		if over := cover(in, i, dst); over != nil && hides(over) || linkless(root, dst) {
			continue
		}
		if r := resolve(root, dst); r != dst {
			if f.Resolved == nil {
				f.Resolved = map[string]string{}
			}
			f.Resolved[dst] = r
		}
	}
}

// covered looks at the directories of the image that a tmpfs is mounted on: the
// tmpfs takes their mode, and for tmpcopyup what is in them. podman asks for
// that at /tmp and /run of every read-only container.
func (f *Facts) covered(root int, in *Input) error {
	for i := range in.Spec.Mounts {
		m := &in.Spec.Mounts[i]
		o := optionsOf(m)
		dst := in.destination(m)
		if m.Type != "tmpfs" || hasMode(o.data) && !o.copyUp || cover(in, i, dst) != nil {
			continue
		}
		if r, ok := f.Resolved[dst]; ok {
			dst = r
		}
		fd, err := rootfs.Open(root, dst, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			continue // it is made, or the mount itself says what is wrong with it
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil {
			mark(&f.Covered, dst, uint64(st.Mode)&0o7777)
		}
		var list []Entry
		if o.copyUp {
			list, err = entries(in, fd)
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("mounts[%d].destination %s: look what tmpcopyup has to copy: %w", i, dst, err)
		}
		if len(list) > 0 {
			mark(&f.CopyUp, dst, list)
		}
	}
	return nil
}

// entries lists a directory of the image with all that is below it. Whoever
// changes the image meanwhile cannot lead this reading out of the directory.
func entries(in *Input, dir int) ([]Entry, error) {
	at, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir))
	if err != nil {
		return nil, err
	}
	defer at.Close()
	var list []Entry
	err = fs.WalkDir(at.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if len(list) == maxCopied {
			return fmt.Errorf("there are more than %d files", maxCopied)
		}
		info, err := at.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("no stat")
		}
		e := Entry{Path: name, Mode: uint64(st.Mode), Size: st.Size, Device: int64(st.Rdev), UID: in.inner(st.Uid, in.linux().UIDMappings), GID: in.inner(st.Gid, in.linux().GIDMappings)}
		if e.Mode&sIFMT == sIFLNK {
			if e.Link, err = at.Readlink(name); err != nil {
				return err
			}
		}
		list = append(list, e)
		return nil
	})
	slices.SortStableFunc(list, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return list, err
}

// inner is what the container calls a user of the host's; -1 if it has no name
// for it.
func (in *Input) inner(id uint32, mappings []specs.LinuxIDMapping) int {
	if !in.userNamespace() {
		return int(id)
	}
	for _, m := range mappings {
		if id >= m.HostID && id-m.HostID < m.Size {
			return int(id - m.HostID + m.ContainerID)
		}
	}
	return -1
}

// linkless is true when dst exists or is missing without any link in between.
func linkless(root int, dst string) bool {
	fd, err := rootfs.Open(root, dst, unix.O_PATH)
	if err == nil {
		unix.Close(fd)
	}
	return err != unix.ENOENT
}

// maxLinks is the kernel's own bound on symbolic links in one path.
const maxLinks = 40

// resolve follows links inside root by name, keeping what does not exist.
func resolve(root int, dst string) string {
	done, rest := "/", strings.TrimPrefix(dst, "/")
	for links := 0; rest != ""; {
		name, tail, _ := strings.Cut(rest, "/")
		next := path.Join(done, name)
		var buf [unix.PathMax]byte
		n, err := readlinkInside(root, next, buf[:])
		switch {
		case err != nil:
			done, rest = next, tail
			continue
		case links == maxLinks:
			return dst
		}
		links++
		to := string(buf[:n])
		if !path.IsAbs(to) {
			to = path.Join(done, to)
		}
		done, rest = "/", strings.TrimPrefix(path.Clean(path.Join("/", to, tail)), "/")
	}
	return done
}

func readlinkInside(root int, name string, buf []byte) (int, error) {
	fd, err := rootfs.Open(root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Readlinkat(fd, "", buf)
}
