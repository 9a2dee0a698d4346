package uvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// This file is what QEMU gets to see of the host. A guest that breaks out of it
// finds a process of a user that owns nothing, in a root of its program and
// libraries, read-only, with no network, no other process and no way to make
// one (its seccomp sandbox), and a few sockets to the monitor and file server.

// qemuUser is nobody, as a user and as a group.
const qemuUser = 65534

// confined makes a root directory for QEMU at dir, in the monitor's own mount
// namespace, and returns the groups that its process needs there.
func (m *Machine) confined(dir, program string) ([]uint32, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for _, top := range []string{"/usr", "/lib", "/lib64", "/etc/ld.so.cache"} {
		if err := showReadOnly(top, filepath.Join(dir, top)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if home := filepath.Dir(program); !within(home, "/usr") {
		if err := showReadOnly(home, filepath.Join(dir, home)); err != nil {
			return nil, err
		}
	}
	for at, file := range map[string]string{kernelInside: m.Kernel, initrdInside: m.Initrd} {
		if err := showReadOnly(file, filepath.Join(dir, at)); err != nil {
			return nil, err
		}
	}
	groups := []uint32{}
	if m.Accel == KVM {
		const device = "/dev/kvm"
		st, err := os.Stat(device)
		if err == nil {
			err = bind(device, filepath.Join(dir, device), 0)
		}
		if err != nil {
			return nil, err
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			groups = append(groups, s.Gid)
		}
	}
	return groups, nil
}

func within(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// showReadOnly makes at the same as what, and unchangeable. A link stays one: it
// leads to what is there, too.
func showReadOnly(what, at string) error {
	st, err := os.Lstat(what)
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		if st.IsDir() || within(what, "/lib") || within(what, "/lib64") {
			to, err := os.Readlink(what)
			if err != nil {
				return err
			}
			return os.Symlink(to, at)
		}
		if what, err = filepath.EvalSymlinks(what); err != nil {
			return err
		}
	}
	return bind(what, at, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}

// bind mounts what at a new place, with all below it.
func bind(what, at string, attributes uint64) error {
	st, err := os.Stat(what)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if st.IsDir() {
		err = os.Mkdir(at, 0o755)
	} else {
		err = os.WriteFile(at, nil, 0o600)
	}
	if err != nil {
		return err
	}
	// It has its attributes before it has its place: what it is propagated to gets
	// them, too.
	tree, err := unix.OpenTree(unix.AT_FDCWD, what, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("mount %s at %s: %w", what, at, err)
	}
	defer unix.Close(tree)
	if attributes != 0 {
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes}); err != nil {
			return fmt.Errorf("make %s read-only: %w", at, err)
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s at %s: %w", what, at, err)
	}
	return nil
}
