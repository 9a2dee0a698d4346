//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// subject is a runtime as a program with a state directory of its own.
type subject struct {
	name, path, version, root string
}

// bench is the measured machine: runtimes, the bundles that all share, and
// the containers that exist right now.
type bench struct {
	subjects []subject
	once     string // bundle of /bin/true
	lasting  string // bundle of /bin/sleep
	exec     string // process.json of /bin/true
	busybox  string
	null     *os.File
	stderr   *os.File // of the program measured, shown if it fails
	prefix   string   // of every container id
	count    int
	live     map[string]subject
}

// confine puts bundles and states on a tmpfs that ends with the namespace, and
// hides what crun 1.8.1 refuses: the v2 side of a hybrid cgroup layout.
func confine(private string) error {
	if err := syscall.Mount("tmpfs", private, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", private, err)
	}
	if _, err := os.Stat(cgroups + "/unified/cgroup.controllers"); err != nil {
		return nil
	}
	return plainV1(filepath.Join(private, "cgroup"))
}

const cgroups = "/sys/fs/cgroup"

// plainV1 replaces /sys/fs/cgroup by a tmpfs with the v1 hierarchies only.
// Unmounting the v2 one would bare a folder of the machine's own tmpfs, and
// runc fills that with folders that nobody sees or removes.
func plainV1(staging string) error {
	if err := os.Mkdir(staging, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", staging, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(cgroups, e.Name()), filepath.Join(staging, e.Name())
		switch {
		case e.Name() == "unified":
		case e.Type() == os.ModeSymlink:
			target, err := os.Readlink(from)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, to); err != nil {
				return err
			}
		default:
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
			if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
				return fmt.Errorf("bind %s: %w", from, err)
			}
		}
	}
	if err := syscall.Unmount(cgroups, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", cgroups, err)
	}
	if err := syscall.Mount(staging, cgroups, "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to %s: %w", staging, cgroups, err)
	}
	return nil
}

func makeBench(private string, names []string) (*bench, error) {
	b := &bench{
		once: filepath.Join(private, "once"), lasting: filepath.Join(private, "lasting"), exec: filepath.Join(private, "exec.json"),
		prefix: fmt.Sprintf("wrun-bench-%d-", os.Getpid()), live: map[string]subject{},
	}
	for _, name := range names {
		s := subject{name: name, root: filepath.Join(private, "root-"+name)}
		var err error
		if s.path, err = find(name); err != nil {
			return nil, err
		}
		version, err := exec.Command(s.path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", s.path, err)
		}
		s.version, _, _ = strings.Cut(string(version), "\n")
		if err := os.Mkdir(s.root, 0o700); err != nil {
			return nil, err
		}
		b.subjects = append(b.subjects, s)
	}
	var err error
	if b.busybox, err = exec.LookPath("busybox"); err != nil {
		return nil, fmt.Errorf("find busybox (tests/setup.sh installs it): %w", err)
	}
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if b.stderr, err = os.Create(filepath.Join(private, "stderr")); err != nil {
		return nil, err
	}
	return b, b.makeBundles()
}

// find is the program of a runtime: WRUN=, CRUN=, RUNC= name other builds.
func find(name string) (string, error) {
	given := os.Getenv(strings.ToUpper(name))
	if given == "" {
		given = name
	}
	path, err := exec.LookPath(given)
	if err != nil {
		return "", fmt.Errorf("find %s (%s= names another build; tests/setup.sh installs the peers): %w", name, strings.ToUpper(name), err)
	}
	return path, nil
}

// install copies the programs of all runtimes into dir, as packages are
// installed, and answers the environment that names the copies. How a file has
// come into the page cache makes a difference of 0.2 ms a call: one that the
// linker has just written lies there in single pages.
func install(names []string, dir string) ([]string, error) {
	var env []string
	for _, name := range names {
		program, err := find(name)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(program)
		if err != nil {
			return nil, err
		}
		copied := filepath.Join(dir, name)
		if err := os.WriteFile(copied, data, 0o755); err != nil {
			return nil, err
		}
		env = append(env, strings.ToUpper(name)+"="+copied)
	}
	return env, nil
}

// makeBundles makes one bundle of busybox and the other on the same root file
// system, with the config.json that `runc spec` writes.
func (b *bench) makeBundles() error {
	bin := filepath.Join(b.once, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "etc"} {
		if err := os.Mkdir(filepath.Join(b.once, "rootfs", dir), 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(b.busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), program, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"true", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	rootfs := filepath.Join(b.once, "rootfs")
	once, err := config(rootfs, "/bin/true")
	if err != nil {
		return err
	}
	lasting, err := config(rootfs, "/bin/sleep", "1000")
	if err != nil {
		return err
	}
	process, err := processOf(once)
	if err != nil {
		return err
	}
	return errors.Join(
		os.Mkdir(b.lasting, 0o755),
		os.WriteFile(filepath.Join(b.once, "config.json"), once, 0o644),
		os.WriteFile(filepath.Join(b.lasting, "config.json"), lasting, 0o644),
		os.WriteFile(b.exec, process, 0o644),
	)
}

// cleanUp deletes the containers of an interrupted loop and answers what is
// left all the same.
func (b *bench) cleanUp() error {
	for id, s := range b.live {
		if out, err := exec.Command(s.path, "--root", s.root, "delete", "--force", id).CombinedOutput(); err != nil {
			return fmt.Errorf("delete %s of %s: %w: %s", id, s.name, err, out)
		}
		delete(b.live, id)
	}
	left, err := filepath.Glob(cgroups + "/*/" + b.prefix + "*")
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("cgroups left behind: %s", strings.Join(left, " "))
	}
	return err
}
