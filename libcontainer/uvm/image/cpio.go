package image

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// Entry is a file of an archive.
type Entry struct {
	Name         string      // from the root, with slashes, without a leading one; "." is the root
	Mode         fs.FileMode // type and permissions
	Data         []byte      // a file's contents, a symbolic link's target
	Major, Minor uint32      // of a device
}

// cpioBlock is what cpio pads an archive to. The kernel does not need it;
// tools that read tapes do.
const cpioBlock = 512

// WriteCPIO writes the entries as a cpio archive in "newc" form, the one the
// kernel unpacks into its root file system. The bytes depend on the entries
// only: these are sorted, belong to root, are from 1970, and their inode
// numbers count from 1.
//
// The kernel skips what it cannot unpack without a word, so an entry whose
// directory is missing, and a name that stands twice, are errors here.
func WriteCPIO(w io.Writer, entries []Entry) error {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	dirs := map[string]bool{".": true}
	out := &counter{w: w}
	for i, e := range entries {
		switch {
		case !fs.ValidPath(e.Name):
			return fmt.Errorf("archiving %q: the name is not a clean path from the root", e.Name)
		case i > 0 && entries[i-1].Name == e.Name:
			return fmt.Errorf("archiving %s: the name stands twice", e.Name)
		case !dirs[path.Dir(e.Name)]:
			return fmt.Errorf("archiving %s: %s is no directory of the archive", e.Name, path.Dir(e.Name))
		case uint64(len(e.Data)) > math.MaxUint32:
			return fmt.Errorf("archiving %s: its %d bytes are more than the format can say", e.Name, len(e.Data))
		}
		mode, err := unixMode(e.Mode)
		if err != nil {
			return fmt.Errorf("archiving %s: %w", e.Name, err)
		}
		links := uint32(1)
		if e.Mode.IsDir() {
			dirs[e.Name], links = true, 2
		}
		if err := out.entry(uint32(i+1), mode, links, e); err != nil {
			return fmt.Errorf("archiving %s: %w", e.Name, err)
		}
	}
	if err := out.entry(0, 0, 1, Entry{Name: "TRAILER!!!"}); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	if err := out.pad(cpioBlock); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return nil
}

// unixMode is a mode as Linux has it in st_mode.
func unixMode(m fs.FileMode) (uint32, error) {
	mode := uint32(m.Perm())
	for _, bit := range []struct {
		goes fs.FileMode
		unix uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&bit.goes != 0 {
			mode |= bit.unix
		}
	}
	switch m.Type() {
	case 0:
		return mode | 0o100000, nil
	case fs.ModeDir:
		return mode | 0o040000, nil
	case fs.ModeSymlink:
		return mode | 0o120000, nil
	case fs.ModeDevice | fs.ModeCharDevice:
		return mode | 0o020000, nil
	case fs.ModeDevice:
		return mode | 0o060000, nil
	case fs.ModeNamedPipe:
		return mode | 0o010000, nil
	}
	return 0, fmt.Errorf("mode %v is of no kind that the archive can hold", m)
}

// counter knows how far the archive is, for the padding.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) entry(ino, mode, links uint32, e Entry) error {
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, the device it is on
	// (major, minor), the device it is (major, minor), namesize, check
	if _, err := fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, mode, 0, 0, links, 0, len(e.Data), 0, 0, e.Major, e.Minor, len(e.Name)+1, 0, e.Name); err != nil {
		return err
	}
	if err := c.pad(4); err != nil {
		return err
	}
	if _, err := c.Write(e.Data); err != nil {
		return err
	}
	return c.pad(4)
}

func (c *counter) pad(to int64) error {
	_, err := c.Write(bytes.Repeat([]byte{0}, int((to-c.n%to)%to)))
	return err
}
