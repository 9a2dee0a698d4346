package wine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// lower are the directories that drive C: is made of, topmost first: the layers',
// and below them the template's.
func lower(layers []string, t *template) ([]string, error) {
	var dirs []string
	for i, layer := range layers {
		at := index("windows.layerFolders", i, "")
		dir := layer
		if files := filepath.Join(layer, filesFolder); plain(files) == nil {
			dir = files // as layers of Windows have it
		}
		if st, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		} else if !st.IsDir() {
			return nil, bad(at, "%q is no folder", layer)
		}
		dirs = append(dirs, dir)
	}
	dirs = append(dirs, t.drive())
	for i := range len(dirs) - 1 {
		if err := clash(dirs[i], dirs[i+1:]); err != nil {
			return nil, fmt.Errorf("%s: %w", index("windows.layerFolders", i, ""), err)
		}
	}
	return dirs, nil
}

// clash refuses names that Windows takes for one and Linux for two: a folder that
// a layer spells otherwise than the ones below would hide theirs.
func clash(dir string, below []string) error {
	var names [][]fs.DirEntry
	var kept []string
	for _, b := range below {
		entries, err := os.ReadDir(b)
		if err == nil {
			names, kept = append(names, entries), append(kept, b)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var same []string
		for i := range kept {
			for _, other := range names[i] {
				switch {
				case other.Name() == e.Name() && other.IsDir() && e.IsDir():
					same = append(same, filepath.Join(kept[i], e.Name()))
				case other.Name() != e.Name() && strings.EqualFold(other.Name(), e.Name()):
					return libcontainer.WithHint(fmt.Errorf("%s is spelled %s in %s: one name on Windows, two on Linux",
						filepath.Join(dir, e.Name()), other.Name(), kept[i]), "rename it as it is spelled below; Wine's own are windows/system32, users, Program Files and ProgramData")
				}
			}
		}
		if len(same) > 0 {
			if err := clash(filepath.Join(dir, e.Name()), same); err != nil {
				return err
			}
		}
	}
	return nil
}

// merged is drive C: as its parts make it, for looking at before it is mounted.
type merged []string // topmost first

// find is how a path is spelled on the drive, and where its last element lies on
// the host, "" for nowhere. What is not there stays spelled as it was asked for.
func (m merged) find(names []string) (spelled, file string) {
	parts := []string(m)
	var path []string
	for i, name := range names {
		found, next, whole := m.step(parts, name)
		if found == "" {
			return strings.Join(append(path, names[i:]...), "/"), ""
		}
		path = append(path, found)
		parts, file = next, whole
	}
	return strings.Join(path, "/"), file
}

// step looks for one name in directories that lie over each other.
func (m merged) step(parts []string, name string) (found string, next []string, file string) {
	for _, dir := range parts {
		entry := spelling(dir, name)
		if entry == "" {
			continue
		}
		full := filepath.Join(dir, entry)
		var st unix.Stat_t
		if unix.Lstat(full, &st) != nil {
			continue
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR: // a whiteout: what is below is gone
			return found, next, file
		case unix.S_IFDIR:
			if found == "" {
				found, file = entry, full
			}
			next = append(next, full)
			if opaque(full) {
				return found, next, file
			}
		default:
			if found == "" {
				found, file = entry, full
			}
			return found, next, file
		}
	}
	return found, next, file
}

// spelling is the entry of a directory that Windows takes for name; "" for none.
func spelling(dir, name string) string {
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		return name
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return ""
}

// opaque: an overlay shows nothing of what lies below such a directory.
func opaque(dir string) bool {
	var v [4]byte
	n, err := unix.Lgetxattr(dir, "trusted.overlay.opaque", v[:])
	return err == nil && n == 1 && v[0] == 'y'
}

// checkMounts looks for what the mounts are of, and how the drive spells where
// they go.
func (m merged) places(w *Wants) (map[string]string, error) {
	places := make(map[string]string, len(w.Mounts))
	for _, mount := range w.Mounts {
		source, err := os.Stat(mount.Source)
		if err != nil {
			return nil, fmt.Errorf("%s.source: %w", mount.at, err)
		}
		spelled, file := m.find(mount.Names)
		if file != "" {
			if st, err := os.Stat(file); err == nil && st.IsDir() != source.IsDir() {
				return nil, fmt.Errorf("%s: %s and C:\\%s: one is a folder, the other is none", mount.at, mount.Source, strings.ReplaceAll(spelled, "/", `\`))
			}
		}
		places[mount.at] = spelled
	}
	for _, p := range w.Pipes {
		st, err := os.Stat(p.Socket)
		if err == nil && st.Mode()&fs.ModeSocket == 0 {
			err = errors.New("is no unix socket")
		}
		if err != nil {
			return nil, fmt.Errorf("%s.source %s, for the pipe %s: %w", p.at, p.Socket, p.Name, err)
		}
	}
	return places, nil
}

// runnable reads the header of the program, where it is found without the PATH.
func (m merged) runnable(p *specs.Process) error {
	if p == nil {
		return nil
	}
	program := programOf(p.CommandLine, p.Args)
	for _, names := range searched(program, p.Cwd) {
		_, file := m.find(names)
		if file == "" {
			continue
		}
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // Windows says what is wrong with it
		}
		f := os.NewFile(uintptr(fd), file)
		machine, err := machineOf(f)
		f.Close()
		if err == nil {
			return checkMachine(program, machine)
		}
		return nil
	}
	return nil
}
