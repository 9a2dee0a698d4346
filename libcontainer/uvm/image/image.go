// Package image makes what a utility VM boots: an ELF kernel out of a
// distribution's package, and an initrd with wrun's agent as /init and the modules
// that the VM needs. Values in, bytes out, the same bytes for the same values,
// on any operating system; only Tools runs a program. The command make, below,
// fetches the package and writes the files.
//
// It runs when wrun is built and is never linked into wrun.
package image

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Wanted are the modules without which a VM cannot do what wrun promises, on
// QEMU's machine microvm.
func Wanted() []string {
	return []string{
		"virtio_ring", "virtio", "virtio_mmio", "virtio_console", // the agent's port
		"fuse", "overlay", // root file systems
		"failover", "net_failover", "virtio_net",
	}
}

// Optional are modules that a VM runs without: a crash of its kernel is then
// known only by the agent's silence, and memory it freed stays with QEMU. All
// are in Debian's kernel; one that somebody built may do without.
func Optional() []string {
	return []string{"pvpanic", "pvpanic-mmio", "virtio_balloon"}
}

// Input is what an image is made of.
type Input struct {
	Kernel  []byte // a bzImage or an ELF kernel
	Modules fs.FS  // lib/modules/RELEASE of that kernel; nil for a kernel that has all it needs built in
	Init    []byte // the agent, a static program for x86-64

	// Where the kernel is from, for the manifest; may be empty.
	Package, PackageVersion string

	Wanted, Optional []string   // names of modules; - and _ are the same
	Decompress       Decompress // nil is Tools
}

// Result is an image.
type Result struct {
	Kernel   []byte // ELF, x86-64, with a PVH entry point
	Initrd   []byte // cpio, not compressed: that boots fastest
	Manifest Manifest
}

// Manifest says what an image is. The sums are SHA-256, in hexadecimal.
type Manifest struct {
	Release        string `json:"release"` // of the kernel: "6.1.0-56-cloud-amd64"
	Package        string `json:"package,omitempty"`
	PackageVersion string `json:"packageVersion,omitempty"`
	KernelSum      string `json:"kernelSHA256"`
	InitrdSum      string `json:"initrdSHA256"`
	InitSum        string `json:"initSHA256"`

	Modules []string `json:"modules"` // names as in /proc/modules, in load order
	BuiltIn []string `json:"builtIn"` // asked for and part of the kernel
	Missing []string `json:"missing"` // optional, and this kernel has none
}

// FromPackage finds a kernel and its modules in the unpacked package of a
// Debian kernel.
func FromPackage(dir fs.FS) (kernel []byte, modules fs.FS, err error) {
	one := func(patterns ...string) (string, error) {
		var found []string
		for _, p := range patterns {
			matches, err := fs.Glob(dir, p)
			if err != nil {
				return "", err
			}
			found = append(found, matches...)
		}
		if len(found) != 1 {
			return "", fmt.Errorf("looking for %s in the package: found %d (%s), want one",
				strings.Join(patterns, " or "), len(found), strings.Join(found, " "))
		}
		return found[0], nil
	}
	image, err := one("boot/vmlinuz-*")
	if err != nil {
		return nil, nil, err
	}
	tree, err := one("lib/modules/*", "usr/lib/modules/*") // the second since Debian 13
	if err != nil {
		return nil, nil, err
	}
	if kernel, err = fs.ReadFile(dir, image); err != nil {
		return nil, nil, fmt.Errorf("reading the kernel: %w", err)
	}
	if modules, err = fs.Sub(dir, tree); err != nil {
		return nil, nil, fmt.Errorf("opening the modules: %w", err)
	}
	return kernel, modules, nil
}

// Build makes an image. The initrd has:
//
//	/init                  the agent
//	/dev/console /dev/null all that a program needs before devtmpfs is mounted
//	/lib/modules/NAME.ko   the modules
//	/lib/modules/load      their file names, one a line, in the order to load them
//	/etc /proc /run /sys /tmp, empty
func Build(in Input) (*Result, error) {
	if err := checkInit(in.Init); err != nil {
		return nil, fmt.Errorf("checking the program that becomes /init: %w", err)
	}
	kernel, err := Vmlinux(in.Kernel, in.Decompress)
	if err != nil {
		return nil, err
	}
	manifest := Manifest{
		Package: in.Package, PackageVersion: in.PackageVersion,
		KernelSum: sum(kernel), InitSum: sum(in.Init),
		Modules: []string{}, BuiltIn: []string{}, Missing: []string{}, // [] in JSON, not null
	}
	if manifest.Release, err = release(kernel); err != nil {
		return nil, err
	}
	modules, err := choose(in, &manifest)
	if err != nil {
		return nil, err
	}
	var initrd bytes.Buffer
	if err := WriteCPIO(&initrd, layout(in.Init, modules)); err != nil {
		return nil, fmt.Errorf("writing the initrd: %w", err)
	}
	manifest.InitrdSum = sum(initrd.Bytes())
	return &Result{Kernel: kernel, Initrd: initrd.Bytes(), Manifest: manifest}, nil
}

// choose finds the modules to load, and tells the manifest of each that was
// asked for.
func choose(in Input, manifest *Manifest) ([]Module, error) {
	if in.Modules == nil {
		return nil, nil
	}
	tree, err := OpenModules(in.Modules, in.Decompress)
	if err != nil {
		return nil, err
	}
	var load []string
	for i, name := range append(append([]string{}, in.Wanted...), in.Optional...) {
		switch {
		case tree.BuiltIn(name):
			manifest.BuiltIn = append(manifest.BuiltIn, canonical(name))
		case i >= len(in.Wanted) && !tree.Has(name):
			manifest.Missing = append(manifest.Missing, canonical(name))
		default:
			load = append(load, name)
		}
	}
	modules, err := tree.Resolve(manifest.Release, load...)
	if err != nil {
		return nil, fmt.Errorf("finding the modules of the VM: %w", err)
	}
	for _, m := range modules {
		manifest.Modules = append(manifest.Modules, m.Name)
	}
	return modules, nil
}

func layout(init []byte, modules []Module) []Entry {
	const device = fs.ModeDevice | fs.ModeCharDevice
	entries := []Entry{
		{Name: ".", Mode: fs.ModeDir | 0o755}, // anybody could write to it as the kernel makes it
		{Name: "init", Mode: 0o755, Data: init},
		{Name: "dev", Mode: fs.ModeDir | 0o755},
		{Name: "dev/console", Mode: device | 0o600, Major: 5, Minor: 1},
		{Name: "dev/null", Mode: device | 0o666, Major: 1, Minor: 3},
		{Name: "etc", Mode: fs.ModeDir | 0o755},
		{Name: "lib", Mode: fs.ModeDir | 0o755},
		{Name: "lib/modules", Mode: fs.ModeDir | 0o755},
		{Name: "proc", Mode: fs.ModeDir | 0o555},
		{Name: "run", Mode: fs.ModeDir | 0o755},
		{Name: "sys", Mode: fs.ModeDir | 0o555},
		{Name: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
	var load strings.Builder
	for _, m := range modules {
		entries = append(entries, Entry{Name: "lib/modules/" + m.File, Mode: 0o644, Data: m.Data})
		fmt.Fprintln(&load, m.File)
	}
	return append(entries, Entry{Name: "lib/modules/load", Mode: 0o644, Data: []byte(load.String())})
}

// checkInit refuses what the kernel would not start. All that the user would
// see of it is a VM that ends at once.
func checkInit(program []byte) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("reading it as ELF: %w", err)
	}
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("it is for %v, not for x86-64 (build it with GOARCH=amd64)", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("it is not static, and the VM has no libraries (build it with CGO_ENABLED=0)")
		}
	}
	return nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
