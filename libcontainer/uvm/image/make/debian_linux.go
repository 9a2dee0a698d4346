package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How long the programs of Debian may take. A mirror can be slow.
const (
	localWait   = 2 * time.Minute
	networkWait = 10 * time.Minute
)

// deb is a package as apt knows it.
type deb struct {
	Name, Version, Arch string
	Depends             []string // names, the first of each alternative
	SHA256              string   // of its file; "" if apt does not say
}

// file is the name that `apt-get download` gives the package. A colon in a
// version would be a port to a mirror.
func (d deb) file() string {
	return d.Name + "_" + strings.ReplaceAll(d.Version, ":", "%3a") + "_" + d.Arch + ".deb"
}

// unpacked is a temporary directory with the contents of the kernel's package.
// The caller removes it.
func unpacked(ctx context.Context, o options) (dir string, pkg deb, err error) {
	for _, tool := range []string{"apt-cache", "apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", deb{}, fmt.Errorf("the kernel comes in a Debian package, and this is no Debian: %w (give a kernel with -kernel and its modules with -modules)", err)
		}
	}
	cache, err := cacheDir(o)
	if err != nil {
		return "", deb{}, err
	}
	unlock, err := lock(ctx, cache)
	if err != nil {
		return "", deb{}, err
	}
	defer unlock()

	file, err := fetched(ctx, cache, o.pkg)
	if err != nil {
		return "", deb{}, err
	}
	if dir, err = os.MkdirTemp("", "wrun-uvm-"); err != nil {
		return "", deb{}, fmt.Errorf("making a directory to unpack %s in: %w", file, err)
	}
	if _, err = tool(ctx, "", localWait, "dpkg-deb", "-x", file, dir); err == nil {
		pkg, err = readDeb(ctx, file)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", deb{}, err
	}
	return dir, pkg, nil
}

// fetched is the file of the kernel's package in the cache. What a package
// that depends on the kernel's led to is kept there as a link: an answer for
// when apt knows nothing and there is no network to ask.
func fetched(ctx context.Context, cache, name string) (string, error) {
	last := filepath.Join(cache, name)
	pkg, err := resolve(ctx, name)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("looking for the kernel's package: %w", ctx.Err())
	case err != nil:
		if file, linkErr := filepath.EvalSymlinks(last); linkErr == nil {
			fmt.Printf("using %s of an earlier run: %v\n", file, err)
			return file, nil
		}
		return "", err
	}
	file := filepath.Join(cache, pkg.file())
	if !intact(file, pkg.SHA256) {
		if err := download(ctx, cache, pkg); err != nil {
			return "", err
		}
	}
	next := last + ".new"
	os.Remove(next) // of a run that was killed
	if err := errors.Join(os.Symlink(pkg.file(), next), os.Rename(next, last)); err != nil {
		return "", fmt.Errorf("noting where %s led: %w", name, err)
	}
	return file, nil
}

// resolve asks apt for a package, and follows a metapackage to the kernel.
func resolve(ctx context.Context, name string) (deb, error) {
	pkg, err := show(ctx, name)
	switch {
	case ctx.Err() != nil:
		return deb{}, err
	case err != nil:
		fmt.Printf("apt does not know %s: apt-get update\n", name)
		if _, err := tool(ctx, "", networkWait, "apt-get", "-qq", "update"); err != nil {
			return deb{}, fmt.Errorf("asking the mirrors for %s (as root, with a network; or give a kernel with -kernel): %w", name, err)
		}
		if pkg, err = show(ctx, name); err != nil {
			return deb{}, fmt.Errorf("looking for the kernel (is %s a package of this distribution? name another with -package, or give a kernel with -kernel): %w", name, err)
		}
	}
	kernel, ok := kernelOf(pkg)
	switch {
	case !ok:
		return deb{}, fmt.Errorf("package %s is no kernel and depends on none (name another with -package)", name)
	case kernel == pkg.Name:
		return pkg, nil
	}
	return show(ctx, kernel)
}

// kernelOf is the package with the kernel: that itself, or the linux-image it
// depends on. The kernel's own name goes on with its version.
func kernelOf(pkg deb) (string, bool) {
	version := func(name string) bool {
		rest, ok := strings.CutPrefix(name, "linux-image-")
		return ok && rest != "" && '0' <= rest[0] && rest[0] <= '9'
	}
	if version(pkg.Name) {
		return pkg.Name, true
	}
	for _, d := range pkg.Depends {
		if version(d) {
			return d, true
		}
	}
	return "", false
}

// show is what apt would install.
func show(ctx context.Context, name string) (deb, error) {
	out, err := tool(ctx, "", localWait, "apt-cache", "show", "--no-all-versions", "--", name)
	if err != nil {
		return deb{}, err
	}
	return parse(out)
}

func readDeb(ctx context.Context, file string) (deb, error) {
	out, err := tool(ctx, "", localWait, "dpkg-deb", "-f", file)
	if err != nil {
		return deb{}, err
	}
	return parse(out)
}

// parse reads the first paragraph of a control file.
func parse(control string) (deb, error) {
	var d deb
	for line := range strings.Lines(control) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Package":
			d.Name = value
		case "Version":
			d.Version = value
		case "Architecture":
			d.Arch = value
		case "SHA256":
			d.SHA256 = value
		case "Depends":
			for dependency := range strings.SplitSeq(value, ",") {
				if words := strings.Fields(dependency); len(words) > 0 {
					d.Depends = append(d.Depends, words[0])
				}
			}
		}
	}
	// They become names of files.
	if d.Name == "" || d.Version == "" || d.Arch == "" || strings.Contains(d.Name+d.Version+d.Arch, "/") {
		return deb{}, fmt.Errorf("reading a package's description: no name, version and architecture in %q", control)
	}
	return d, nil
}

// download fetches into a directory of its own and moves the file when it is
// whole, so that the cache never has half a package.
func download(ctx context.Context, cache string, pkg deb) error {
	tmp, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return fmt.Errorf("making a directory to download to: %w", err)
	}
	defer os.RemoveAll(tmp)
	fmt.Printf("downloading %s %s\n", pkg.Name, pkg.Version)
	if _, err := tool(ctx, tmp, networkWait, "apt-get", "-qq", "download", pkg.Name+"="+pkg.Version); err != nil {
		return fmt.Errorf("downloading the kernel (is there a network? old lists name packages that are gone: apt-get update): %w", err)
	}
	if file := filepath.Join(tmp, pkg.file()); !intact(file, pkg.SHA256) {
		return fmt.Errorf("downloading the kernel: apt-get left no %s with SHA-256 %s", pkg.file(), pkg.SHA256)
	}
	if err := os.Rename(filepath.Join(tmp, pkg.file()), filepath.Join(cache, pkg.file())); err != nil {
		return fmt.Errorf("keeping the kernel's package: %w", err)
	}
	return nil
}

// intact says that the file is there and is what apt says it is.
func intact(file, sum string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	if sum == "" {
		return true
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return false
	}
	return hex.EncodeToString(hash.Sum(nil)) == sum
}

// lock keeps other runs out of the cache. It ends with this process, however
// that ends.
func lock(ctx context.Context, cache string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return func() { f.Close() }, nil
	}
	fmt.Printf("waiting for another run that uses %s\n", cache)
	got := make(chan error, 1) // takes the answer even when nobody waits for it any more
	go func() { got <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }()
	ctx, cancel := context.WithTimeout(ctx, networkWait)
	defer cancel()
	select {
	case err := <-got:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		// f stays as it is, the other goroutine still waits with it: this process ends.
		return nil, fmt.Errorf("waiting for another run to leave %s (name another cache with -cache): %w", cache, ctx.Err())
	}
}

// tool runs one of Debian's programs and answers what it says. On failure its
// complaint is in the error; its chatter is nowhere.
func tool(ctx context.Context, dir string, wait time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// Asked, not killed: apt-get removes its lock files.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		if said := strings.TrimSpace(complaint.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return "", err
	}
	return out.String(), nil
}
