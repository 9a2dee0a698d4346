package uvm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/uvm/files"
)

// This file is what the monitor shows of the host's files: a tree of bind mounts
// in its own mount namespace, which ends with it, and the process that serves
// this tree to the VM.

// filesCommand is the operand with which the program is the file server.
const filesCommand = "files"

// The file server's descriptors.
const (
	serverConn = 3
	serverRoot = 4
)

// machineDir is a file system of the monitor's own, mounted in the container's
// state directory. The VM is served servedDir in it, QEMU gets qemuDir for a root.
const (
	machineDir = "vm"
	filesDir   = machineDir + "/files"
	// servedDir is filesDir, but that itself it is read-only: the guest can change
	// what is shared, and not the places where the monitor mounts that.
	servedDir = machineDir + "/served"
	qemuDir   = machineDir + "/qemu"
	// templateDir is the root of a QEMU that makes a template.
	templateDir = machineDir + "/template"
	// probeDir is the root of one that tries an accelerator.
	probeDir = machineDir + "/probe"
)

// mountShares makes the tree: a directory for the container, with its shares.
func mountShares(dir, id string, shares []Share) error {
	// The host's later mounts still come in, and nothing goes out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("part from the host's mounts: %w", err)
	}
	top := filepath.Join(dir, machineDir)
	if err := os.Mkdir(top, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("wrun", top, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mount a directory for the VM's files: %w", err)
	}
	if err := layOut(filepath.Join(dir, filesDir), filepath.Join(dir, servedDir)); err != nil {
		return fmt.Errorf("lay out the VM's files: %w", err)
	}
	for _, s := range shares {
		if err := s.mount(filepath.Join(dir, filesDir, id)); err != nil {
			return err
		}
	}
	return nil
}

// layOut makes the directory that the monitor mounts in, and its read-only twin,
// in which each of these mounts appears.
func layOut(files, served string) error {
	for _, d := range []string{files, served} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		source, target string
		flags          uintptr
	}{
		{files, files, unix.MS_BIND},
		{"", files, unix.MS_SHARED},
		{files, served, unix.MS_BIND},
	} {
		if err := unix.Mount(m.source, m.target, "", m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return unix.MountSetattr(-1, served, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

func (s *Share) mount(dir string) error {
	var attributes uint64
	if s.ReadOnly {
		// What the guest's kernel holds read-only for the container, the host holds
		// so for the guest's kernel.
		attributes = unix.MOUNT_ATTR_RDONLY
	}
	if err := bind(s.Source, filepath.Join(dir, s.Name), attributes); err != nil {
		return fmt.Errorf("share with the utility VM: %w", err)
	}
	return nil
}

// serveFiles starts the file server at its end of the connection with QEMU, and
// closes this process's copy.
func serveFiles(dir string, end link) error {
	conn := os.NewFile(uintptr(end), "files")
	defer conn.Close()
	root, err := os.Open(filepath.Join(dir, servedDir))
	if err != nil {
		return err
	}
	defer root.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	// It ends with the monitor, whose pid namespace it is in, or with QEMU.
	_, err = os.StartProcess(self, []string{"wrun", MonitorCommand, filesCommand},
		&os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, conn, root}})
	if err != nil {
		return fmt.Errorf("start the file server: %w", err)
	}
	return nil
}

// fileServer is the whole life of the file server's process.
func fileServer() int {
	unix.Umask(0)
	if err := files.Serve(serverConn, serverRoot); err != nil && !errors.Is(err, unix.ECONNRESET) {
		return 1
	}
	return 0
}
