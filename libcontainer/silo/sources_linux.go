package silo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What the parent does about mounts, because the child may not: user
// namespaces that idmapped mounts are mapped by, and mounts whose sources a
// user namespace cannot reach.

// mappings opens a user namespace for each idmapped mount. The container's own
// is not there yet; who uses it is told when the child asks (source).
func (b *birth) mappings() error {
	made := map[string]int{}
	for i := range b.in.Spec.Mounts {
		m := &b.in.Spec.Mounts[i]
		if len(m.UIDMappings) == 0 || len(m.GIDMappings) == 0 || !b.in.Facts.Privileged {
			continue // Compile says what is wrong, if anything is
		}
		key := string(mapText(m.UIDMappings)) + "/" + string(mapText(m.GIDMappings))
		fd, ok := made[key]
		if !ok {
			var err error
			if fd, err = userNamespace(m.UIDMappings, m.GIDMappings); err != nil {
				return fmt.Errorf("mounts[%d] %s: make a user namespace of its mappings: %w", i, m.Destination, err)
			}
			b.opened = append(b.opened, fd)
			made[key] = fd
		}
		b.files[MappingFile(i)] = fd
	}
	return nil
}

// userNamespace makes a user namespace that nobody is in: a child is born into
// it, gets the mappings written and ends when the namespace is open here.
func userNamespace(uids, gids []specs.LinuxIDMapping) (int, error) {
	files := map[File]int{}
	if err := converse(files); err != nil {
		return -1, err
	}
	p := &Plan{CloneFlags: cloneNewUser}
	b := &builder{plan: p}
	b.call("", callLet, fileSync)
	b.tell("born", codeBorn)
	b.call("", "close", fileParent)
	b.talk("open the user namespace", codeMap)
	b.call("", callFail, Int(eCANCELED))
	c, err := launch(p, files, -1)
	if err != nil {
		return -1, err
	}
	defer c.kill()
	code, _, said, err := c.next(context.Background())
	if err != nil {
		return -1, err
	}
	if !said || code != codeMap {
		return -1, errors.New("its first process did not come to life")
	}
	if err := writeMaps(c.pid, &specs.Linux{UIDMappings: uids, GIDMappings: gids}, true); err != nil {
		return -1, err
	}
	return openNamespace(c.pid, "user")
}

func openNamespace(pid int, kind string) (int, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/ns/" + kind
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", name, err)
	}
	return fd, nil
}

// source makes the mount that mounts[i] asks for and sends it to the child: one
// byte for a directory, two for anything else, and then the descriptor.
func (b *birth) source(c *child, i int) error {
	if i < 0 || i >= len(b.in.Spec.Mounts) {
		return fmt.Errorf("the container process asks for mounts[%d], which is not there", i)
	}
	m := &b.in.Spec.Mounts[i]
	o := optionsOf(m)
	users, err := b.users(c, i, m, o)
	if err != nil {
		return err
	}
	r := &request{pid: c.pid, source: b.in.source(m), options: o, users: users}
	// In a thread of its own, which ends with the mount namespace it has joined.
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- r.make()
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("unable to start container process: mounts[%d] %s: bind of %s: %w", i, m.Destination, r.source, err)
	}
	defer unix.Close(r.tree)
	kind := []byte{1, 1}
	if r.directory {
		kind = kind[:1]
	}
	if _, err := unix.Write(c.sync, kind); err != nil {
		return fmt.Errorf("answer the container process: %w", err)
	}
	if err := unix.Sendmsg(c.sync, []byte{1}, unix.UnixRights(r.tree), nil, 0); err != nil {
		return fmt.Errorf("send mounts[%d] to the container process: %w", i, err)
	}
	return nil
}

// users is the namespace by which the mount is mapped, or -1. config.md, idmap:
// without mappings of its own "the runtime MAY use the container's user
// namespace mapping".
func (b *birth) users(c *child, i int, m *specs.Mount, o mountOptions) (int, error) {
	if !o.idmap && len(m.UIDMappings) == 0 {
		return -1, nil
	}
	if fd, ok := b.files[MappingFile(i)]; ok {
		return fd, nil
	}
	if fd, ok := b.files[JoinFile(specs.UserNamespace)]; ok {
		return fd, nil
	}
	if fd, ok := b.files[fileUsers]; ok {
		return fd, nil
	}
	fd, err := openNamespace(c.pid, "user")
	if err == nil {
		b.keep(fileUsers, fd)
	}
	return fd, err
}

// fileUsers is the container's own new user namespace.
const fileUsers File = "users"

// request is one mount to be made in the child's mount namespace.
type request struct {
	pid     int
	source  string
	options mountOptions
	users   int

	tree      int
	directory bool
}

func (r *request) make() error {
	if err := enterMounts(r.pid); err != nil {
		return err
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if r.options.recursive {
		flags |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, r.source, flags)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	if err := r.shape(tree); err != nil {
		unix.Close(tree)
		return err
	}
	r.tree = tree
	return nil
}

// enterMounts takes this thread into the mount namespace of a process.
func enterMounts(pid int) error {
	fd, err := openNamespace(pid, "mnt")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("a working directory of its own: %w", err)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("join the container's mount namespace: %w", err)
	}
	return nil
}

// shape gives the detached tree its attributes.
func (r *request) shape(tree int) error {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	r.directory = st.Mode&unix.S_IFMT == unix.S_IFDIR
	o := &r.options
	if set, clear := o.bindAttributes(); set|clear != 0 {
		err := setattr(tree, 0, set, clear)
		if err == unix.EPERM && !o.atimeGiven {
			// What the host has locked stays locked in a user namespace
			// (mount_namespaces(7)); only who wants to take it away by name is
			// refused.
			var fs unix.Statfs_t
			if err := unix.Fstatfs(tree, &fs); err != nil {
				return fmt.Errorf("statfs: %w", err)
			}
			set, clear = keepLocked(set, clear, statfsAttributes(fs.Flags), o)
			err = setattr(tree, 0, set, clear)
		}
		if err != nil {
			return fmt.Errorf("mount_setattr: %w", err)
		}
	}
	if o.recSet|o.recClear != 0 {
		if err := setattr(tree, unix.AT_RECURSIVE, o.recSet, o.recClear); err != nil {
			return fmt.Errorf("mount_setattr of the whole tree: %w", err)
		}
	}
	if r.users < 0 {
		return nil
	}
	at := uint(unix.AT_EMPTY_PATH)
	if o.idmapTree {
		at |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(tree, "", at, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(r.users)}); err != nil {
		return fmt.Errorf("idmap: %w", err)
	}
	return nil
}

func setattr(tree int, at uint, set, clear uint64) error {
	return unix.MountSetattr(tree, "", at|unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: set, Attr_clr: clear})
}
