package wine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A layer says in three ways that a file of the layers below is gone. An overlay
// knows its own: a device without number, an attribute of a directory. Layers of
// Windows have a list, tombstones.txt, and images that were unpacked by whoever does
// not know better have files named .wh.NAME (image-spec, "Whiteouts"). For the last
// two, folders with an overlay's own whiteouts are laid over and under the layer.
//
// They are in the scratch, made when it is first used with its layers: layers do
// not change while a scratch lies on them.

const (
	whiteoutsFolder = "Whiteouts"
	tombstonesFile  = "tombstones.txt"
	whiteoutPrefix  = ".wh."
	opaqueMarker    = ".wh..wh..opq"
	mostTombstones  = 64 << 20 // bytes
)

// covered is the layers with what covers and what underlies each.
type covered struct {
	Layers []string `json:"layers"` // for which it was made
	Lower  []string `json:"lower"`  // what the overlay gets, topmost first
}

// whiteouts returns dirs, which belong to the layers, with the folders that are
// needed between them. Its last element is the template's.
func (s *scratch) whiteouts(dirs []string) ([]string, error) {
	folder := filepath.Join(s.dir, whiteoutsFolder)
	index := filepath.Join(folder, "layers.json")
	if data, err := readPlain(index, 1<<20); err == nil {
		var c covered
		if json.Unmarshal(data, &c) == nil && slices.Equal(c.Layers, dirs) {
			return c.Lower, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	c := covered{Layers: dirs}
	made := false
	for i, dir := range dirs[:len(dirs)-1] {
		l := marks{dir: dir, below: dirs[i+1:]}
		if err := l.read(s.wants.Layers[i]); err != nil {
			return nil, fmt.Errorf("whiteouts of layer %s: %w", dir, err)
		}
		over, under := filepath.Join(folder, strconv.Itoa(i)+"-over"), filepath.Join(folder, strconv.Itoa(i)+"-under")
		for _, part := range []struct {
			dir   string
			names []string
			from  merged
		}{{over, l.hidden, merged{dir}}, {"", nil, nil}, {under, l.gone, l.below}} {
			switch {
			case part.dir == "":
				c.Lower = append(c.Lower, dir)
			case len(part.names) > 0 || part.dir == under && len(l.opaque) > 0:
				made = true
				if err := os.MkdirAll(part.dir, 0o755); err != nil {
					return nil, err
				}
				for _, name := range part.names {
					if err := whiteOut(part.dir, name, part.from); err != nil {
						return nil, err
					}
				}
				c.Lower = append(c.Lower, part.dir)
			}
		}
		for _, name := range l.opaque {
			if err := opaqueDir(under, name, l.below); err != nil {
				return nil, err
			}
		}
	}
	c.Lower = append(c.Lower, dirs[len(dirs)-1])
	if !made && len(dirs) == 1 {
		return c.Lower, nil
	}
	data, err := json.Marshal(c)
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(index, data, 0o600)
	}
	return c.Lower, err
}

// marks is what a layer says about the ones below.
type marks struct {
	dir    string
	below  merged
	gone   []string // paths of files below that are gone
	opaque []string // directories of which nothing below is seen
	hidden []string // the marks themselves
}

func (l *marks) read(layer string) error {
	if err := l.tombstones(layer); err != nil {
		return err
	}
	return filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(d.Name(), whiteoutPrefix) {
			return err
		}
		rel, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		l.hidden = append(l.hidden, rel)
		if d.Name() == opaqueMarker {
			l.opaque = append(l.opaque, filepath.Dir(rel))
		} else {
			l.gone = append(l.gone, filepath.Join(filepath.Dir(rel), strings.TrimPrefix(d.Name(), whiteoutPrefix)))
		}
		return nil
	})
}

// tombstones reads the list of a layer of Windows: a line with its version, then a
// path in each, from drive C:'s root.
func (l *marks) tombstones(layer string) error {
	data, err := readPlain(filepath.Join(layer, tombstonesFile), mostTombstones)
	if errors.Is(err, fs.ErrNotExist) || l.dir == layer { // a plain tree has no such list
		return nil
	}
	if err != nil {
		return err
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	if strings.TrimSpace(strings.TrimPrefix(head, "\ufeff")) != "Version 1.0" {
		return fmt.Errorf("%s begins with %q, not with Version 1.0", tombstonesFile, head)
	}
	for line := range strings.Lines(rest) {
		names, err := onDriveC(`C:\` + strings.TrimLeft(strings.TrimSpace(line), `\`))
		if err != nil {
			return fmt.Errorf("%s: %q %w", tombstonesFile, line, err)
		}
		if len(names) > 0 {
			l.gone = append(l.gone, strings.Join(names, "/"))
		}
	}
	return nil
}

// whiteOut puts an overlay's whiteout for name into dir, if there is such a file in
// from.
func whiteOut(dir, name string, from merged) error {
	spelled, file := from.find(strings.Split(name, "/"))
	if file == "" {
		return nil
	}
	if err := parents(dir, filepath.Dir(spelled), from); err != nil {
		return err
	}
	at := filepath.Join(dir, spelled)
	if err := unix.Mknod(at, unix.S_IFCHR, 0); err != nil && err != unix.EEXIST {
		return &fs.PathError{Op: "mknod", Path: at, Err: err}
	}
	return nil
}

// opaqueDir makes name a directory in dir through which nothing of from is seen.
func opaqueDir(dir, name string, from merged) error {
	spelled, file := from.find(strings.Split(name, "/"))
	if name != "." && file == "" {
		return nil
	}
	if err := parents(dir, spelled, from); err != nil {
		return err
	}
	at := filepath.Join(dir, spelled)
	if err := unix.Setxattr(at, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return &fs.PathError{Op: "setxattr", Path: at, Err: err}
	}
	return nil
}

// parents makes a directory and those above it, with the owners and modes that they
// have in from: of merged directories the topmost one's are seen.
func parents(dir, name string, from merged) error {
	if name == "." || name == "" {
		return nil
	}
	names := strings.Split(name, "/")
	for i := range names {
		spelled, file := from.find(names[:i+1])
		at := filepath.Join(dir, spelled)
		if err := os.Mkdir(at, 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		var st unix.Stat_t
		if unix.Lstat(file, &st) != nil {
			continue
		}
		if err := errors.Join(os.Lchown(at, int(st.Uid), int(st.Gid)), unix.Chmod(at, st.Mode&0o7777)); err != nil {
			return err
		}
	}
	return nil
}
