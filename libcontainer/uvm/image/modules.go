package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is a module as the VM loads it.
type Module struct {
	Name string // "pvpanic_mmio", as /proc/modules has it
	File string // "pvpanic-mmio.ko"
	Data []byte // the ELF file, unpacked and slim
}

// Modules are the modules of one kernel, below lib/modules/RELEASE.
//
// Dependencies come from the modules themselves. modules.dep has the same, but
// only after depmod ran, which a package does when it is installed, and ours
// never is.
type Modules struct {
	dir        fs.FS
	decompress Decompress
	files      map[string]string // path of a module, by name
	builtIn    map[string]bool
}

// OpenModules reads which modules there are. dir is what the kernel's `make
// modules_install` made in lib/modules/RELEASE.
func OpenModules(dir fs.FS, decompress Decompress) (*Modules, error) {
	m := &Modules{dir: dir, decompress: decompress, files: map[string]string{}, builtIn: map[string]bool{}}
	list, err := fs.ReadFile(dir, "modules.builtin")
	if err != nil {
		return nil, fmt.Errorf("reading which modules are built in (is this lib/modules/RELEASE of an installed kernel?): %w", err)
	}
	for line := range strings.Lines(string(list)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			m.builtIn[name] = true
		}
	}
	// Links are not followed: `build` and `source` lead out of the directory.
	err = fs.WalkDir(dir, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, ok := moduleName(p)
		if !ok || !d.Type().IsRegular() {
			return nil
		}
		if other, twice := m.files[name]; twice {
			return fmt.Errorf("%s and %s are the same module", other, p)
		}
		m.files[name] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for modules: %w", err)
	}
	return m, nil
}

// canonical is a module's name for the kernel, to which - and _ are the same.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// moduleName is the module's name in the path of its file.
func moduleName(file string) (name string, ok bool) {
	name, packed, ok := strings.Cut(path.Base(file), ".ko")
	if !ok || packed != "" && !slices.Contains([]string{".gz", ".xz", ".zst"}, packed) {
		return "", false
	}
	return canonical(name), true
}

// Has says that the module can be loaded or is built in.
func (m *Modules) Has(name string) bool {
	name = canonical(name)
	return m.builtIn[name] || m.files[name] != ""
}

// BuiltIn says that the module is part of the kernel.
func (m *Modules) BuiltIn(name string) bool { return m.builtIn[canonical(name)] }

// Resolve answers the named modules and all they need, in the order in which
// they load. What is built in is left out; what is neither there nor built in
// is an error that names it and is fs.ErrNotExist. Every module must be for
// the kernel of this release, since it would not load into another.
func (m *Modules) Resolve(release string, names ...string) ([]Module, error) {
	var order []Module
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(name, neededBy string) error
	visit = func(name, neededBy string) error {
		name = canonical(name)
		switch {
		case m.builtIn[name] || state[name] == done:
			return nil
		case state[name] == open:
			return fmt.Errorf("module %s needs itself, through %s", name, neededBy)
		case m.files[name] == "" && neededBy != "":
			return fmt.Errorf("module %s, which %s needs, is neither there nor built in: %w", name, neededBy, fs.ErrNotExist)
		case m.files[name] == "":
			return fmt.Errorf("module %s is neither there nor built in: %w", name, fs.ErrNotExist)
		}
		state[name] = open
		module, info, err := m.read(name)
		if err != nil {
			return fmt.Errorf("reading module %s: %w", m.files[name], err)
		}
		if info.release != release {
			return fmt.Errorf("module %s is for kernel %q, and the kernel is %q", m.files[name], info.release, release)
		}
		for _, d := range info.depends {
			if err := visit(d, name); err != nil {
				return err
			}
		}
		state[name] = done
		order = append(order, module)
		return nil
	}
	for _, name := range names {
		if err := visit(name, ""); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func (m *Modules) read(name string) (Module, modinfo, error) {
	file := m.files[name]
	data, err := fs.ReadFile(m.dir, file)
	if err != nil {
		return Module{}, modinfo{}, err
	}
	// The initrd has them unpacked: not every kernel can unpack them itself.
	if format := formatOf(data); format != "" {
		if data, err = unpack(format, data, m.decompress); err != nil {
			return Module{}, modinfo{}, err
		}
	}
	info, err := readModinfo(data)
	if err != nil {
		return Module{}, modinfo{}, err
	}
	if canonical(info.name) != name {
		return Module{}, modinfo{}, fmt.Errorf("it calls itself %q", info.name)
	}
	if data, err = slim(data); err != nil {
		return Module{}, modinfo{}, err
	}
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return Module{Name: name, File: base + ".ko", Data: data}, info, nil
}

// modinfo is what a module says of itself.
type modinfo struct {
	name    string
	release string // of the kernel that it is for
	depends []string
}

// readModinfo reads a module's section .modinfo, which is strings key=value,
// each ended by a zero byte.
func readModinfo(module []byte) (modinfo, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return modinfo{}, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return modinfo{}, errors.New("it has no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return modinfo{}, fmt.Errorf("section .modinfo: %w", err)
	}
	var info modinfo
	for pair := range strings.SplitSeq(string(data), "\x00") {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "name":
			info.name = value
		case "vermagic":
			info.release, _, _ = strings.Cut(value, " ")
		case "depends":
			info.depends = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		}
	}
	return info, nil
}
