package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shareCommand is the hidden first argument of the process that becomes the
// file server: a program that runs machines gives it to Share.
const shareCommand = "share-the-root"

// servers is where distributions have virtiofsd.
var servers = []string{"/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"}

func server() (string, error) {
	for _, p := range servers {
		if _, err := exec.LookPath(p); err == nil {
			return p, nil
		}
	}
	return "", errors.New("there is no virtiofsd, which shares the host's files")
}

// Share ends the process if it was started to be a file server. To be called
// first of all in main.
func Share() {
	if len(os.Args) == 4 && os.Args[1] == shareCommand {
		fmt.Fprintln(os.Stderr, "share the host's files:", share(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
}

// share serves the host's root, all of its mounts with it, to who connects with
// the socket; read-only, whatever the machine does. dir is an empty folder.
func share(dir, socket string) error {
	runtime.LockOSThread()
	program, err := server()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("/", dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make it read-only: %w", err)
	}
	return syscall.Exec(program, []string{program, "--socket-path=" + socket, "-o", "source=" + dir, "-o", "cache=always,no_xattr,no_writeback"}, os.Environ())
}

// startServer starts the file server and waits until it listens.
func startServer(dir, socket string, log *os.File) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", shareCommand, dir, socket)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the file server: %w", err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // it tells nobody
		if _, err := os.Stat(socket); err == nil {
			return cmd, nil
		}
		if time.Now().After(end) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("the file server does not listen: %s", said)
		}
	}
}
