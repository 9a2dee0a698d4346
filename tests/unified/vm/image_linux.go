package vm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// modules are those that the machine needs beside a utility VM's: its file
// systems, its disk, and devices that containers are given.
const modules = "virtiofs,virtio_blk,veth,dummy,tun,loop,bfq"

// image is the folder with the machine's kernel and initrd, made once for each
// state of its first process.
func image(module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "wrun-uvm") // where the kernel's package is kept
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "unified.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with that the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	init := filepath.Join(cache, "unified-init")
	if err := Go(module, "build", "-trimpath", "-ldflags", "-s -w", "-o", init, "./tests/unified/init"); err != nil {
		return "", err
	}
	program, err := os.ReadFile(init)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(program, modules...))
	dir := filepath.Join(cache, fmt.Sprintf("unified-%x", sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil { // which is written last
		return dir, nil
	}
	return dir, Go(module, "run", "./libcontainer/uvm/image/make", "-init", init, "-add", modules, "-o", dir)
}

// Go runs the go command in dir, without cgo.
func Go(dir string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %q: %w: %s", args, err, out)
	}
	return nil
}
