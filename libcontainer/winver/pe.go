package winver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// This file reads an image's version off its ntdll.dll: the version resource of
// a PE file, a few reads of a few bytes, each bounded. The file comes with the
// image and may say anything.

// ImageVersion is the version of Windows in a base layer: that of ntdll.dll in
// Files\Windows\System32, as layers of Windows have it, or in
// Windows\System32. Neither there is the zero Version and no error: not all
// that runs is an image of Windows.
//
// The revision is that of the last update which replaced the file; the image's
// own can be later.
func ImageVersion(layer fs.FS) (Version, error) {
	for _, name := range []string{"Files/Windows/System32/ntdll.dll", "Windows/System32/ntdll.dll"} {
		v, err := fileVersion(layer, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Version{}, fmt.Errorf("read the image's version off %s: %w", name, err)
		}
		return v, nil
	}
	return Version{}, nil
}

func fileVersion(layer fs.FS, name string) (Version, error) {
	// A pipe or device in its place would hang the open.
	info, err := fs.Stat(layer, name)
	if err != nil {
		return Version{}, err
	}
	if !info.Mode().IsRegular() {
		return Version{}, errors.New("not a regular file")
	}
	f, err := layer.Open(name)
	if err != nil {
		return Version{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	r, ok := f.(io.ReaderAt)
	if !ok {
		return Version{}, errors.New("cannot be read at an offset")
	}
	return peVersion(r)
}

// Bounds: no honest file comes near them.
const (
	maxSections = 96 // the loader's own
	maxEntries  = 1024
	maxResource = 64 << 10
)

var errNoVersion = errors.New("it has no version resource")

// image is a PE file being read.
type image struct {
	r        io.ReaderAt
	sections []byte
}

func (p *image) at(off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := p.r.ReadAt(b, off); err != nil && !(errors.Is(err, io.EOF) && n == 0) {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("not a complete PE file: %d bytes at %d are missing", n, off)
		}
		return nil, err
	}
	return b, nil
}

func u16(b []byte, off int) uint16 { return binary.LittleEndian.Uint16(b[off:]) }
func u32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }

// peVersion walks headers, section table, resource directory and version
// resource.
func peVersion(r io.ReaderAt) (Version, error) {
	p := &image{r: r}
	dos, err := p.at(0, 64)
	if err != nil {
		return Version{}, err
	}
	if dos[0] != 'M' || dos[1] != 'Z' {
		return Version{}, errors.New("not a PE file: it does not begin with MZ")
	}
	pe := int64(u32(dos, 60))
	head, err := p.at(pe, 24)
	if err != nil {
		return Version{}, err
	}
	if string(head[:4]) != "PE\x00\x00" {
		return Version{}, errors.New("not a PE file: it has no PE signature")
	}
	sections, size := int(u16(head, 6)), int(u16(head, 20))
	if sections > maxSections {
		return Version{}, fmt.Errorf("not a PE file: %d sections", sections)
	}
	optional, err := p.at(pe+24, size)
	if err != nil {
		return Version{}, err
	}
	if p.sections, err = p.at(pe+24+int64(size), sections*40); err != nil {
		return Version{}, err
	}
	root, err := resources(optional)
	if err != nil {
		return Version{}, err
	}
	return p.version(root)
}

// resources is the address of the resource directory, number 2 of the optional
// header's data directories.
func resources(optional []byte) (uint32, error) {
	if len(optional) < 2 {
		return 0, errNoVersion
	}
	count := 92
	switch u16(optional, 0) {
	case 0x10b:
	case 0x20b:
		count = 108
	default:
		return 0, errors.New("not a PE file: unknown optional header")
	}
	const number = 2
	entry := count + 4 + number*8
	if len(optional) < entry+8 || u32(optional, count) <= number || u32(optional, entry) == 0 {
		return 0, errNoVersion
	}
	return u32(optional, entry), nil
}

// offset is where in the file the address lies.
func (p *image) offset(address uint32) (int64, error) {
	for s := p.sections; len(s) >= 40; s = s[40:] {
		start, size := u32(s, 12), u32(s, 16)
		if address >= start && address-start < size {
			return int64(u32(s, 20)) + int64(address-start), nil
		}
	}
	return 0, fmt.Errorf("not a PE file: no section has the address %#x", address)
}

// version: resources are a tree of three levels, type, name and language. Type
// 16 is the version; of names and languages the first will do.
func (p *image) version(root uint32) (Version, error) {
	base, err := p.offset(root)
	if err != nil {
		return Version{}, err
	}
	at := uint32(0)
	for level := range 3 {
		if at, err = p.child(base, at, level == 0); err != nil {
			return Version{}, err
		}
		if isTree := at&(1<<31) != 0; isTree != (level < 2) {
			return Version{}, errNoVersion
		}
		at &^= 1 << 31
	}
	entry, err := p.at(base+int64(at), 16)
	if err != nil {
		return Version{}, err
	}
	off, err := p.offset(u32(entry, 0))
	if err != nil {
		return Version{}, err
	}
	size := u32(entry, 4)
	if size > maxResource {
		return Version{}, fmt.Errorf("its version resource has %d bytes", size)
	}
	b, err := p.at(off, int(size))
	if err != nil {
		return Version{}, err
	}
	return fixedInfo(b)
}

// child is the entry of type 16, or the first, of the directory at base+at.
func (p *image) child(base int64, at uint32, isType bool) (uint32, error) {
	head, err := p.at(base+int64(at), 16)
	if err != nil {
		return 0, err
	}
	n := int(u16(head, 12)) + int(u16(head, 14))
	if n > maxEntries {
		return 0, fmt.Errorf("its resource directory has %d entries", n)
	}
	list, err := p.at(base+int64(at)+16, n*8)
	if err != nil {
		return 0, err
	}
	const versionType = 16
	for ; len(list) >= 8; list = list[8:] {
		if !isType || u32(list, 0) == versionType {
			return u32(list, 4), nil
		}
	}
	return 0, errNoVersion
}

// fixedInfo reads VS_VERSIONINFO: lengths and type in 6 bytes, the key
// "VS_VERSION_INFO" in UTF-16, padding to 40, then VS_FIXEDFILEINFO.
func fixedInfo(b []byte) (Version, error) {
	const start, signature = 40, 0xFEEF04BD
	if len(b) < start+52 || u32(b, start) != signature {
		return Version{}, errNoVersion
	}
	high, low := u32(b, start+8), u32(b, start+12)
	return Version{Major: high >> 16, Minor: high & 0xFFFF, Build: uint16(low >> 16), Revision: low & 0xFFFF}, nil
}
