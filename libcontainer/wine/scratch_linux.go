package wine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"wrun/libcontainer"
)

// registered says what is written in a scratch's registry.
type registered struct {
	Version Version `json:"version"`
	User    User    `json:"user"`
}

// registeredFile is beside the registry.
const registeredFile = "wrun.json"

// scratch is a container's.
type scratch struct {
	dir   string
	wants *Wants
	from  *template
}

func (s *scratch) prefix() string { return filepath.Join(s.dir, registryFolder) }

// prepare makes what is not there yet. Each step leaves the scratch whole, so that
// whoever comes after a killed wrun finds nothing to repair.
func (s *scratch) prepare() error {
	for _, d := range []struct {
		name string
		mode fs.FileMode
	}{{workFolder, 0o700}, {filesFolder, 0o777 | fs.ModeSticky}} {
		dir := filepath.Join(s.dir, d.name)
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			if err := plain(dir); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		// It is drive C:'s own: an administrator's, and everybody may make folders.
		if err := errors.Join(os.Chown(dir, int(Administrator.ID), int(Administrator.ID)), os.Chmod(dir, d.mode)); err != nil {
			return err
		}
	}
	return s.registry()
}

// plain refuses a link where a folder of the scratch is to be: a container writes
// there, and the host's root follows.
func plain(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	return nil
}

// registry gives the container its registry: the scratch's own, else the topmost
// layer's that has one, else the template's.
func (s *scratch) registry() error {
	want := registered{s.wants.Version, s.wants.User}
	switch has, err := s.has(); {
	case err != nil:
		return err
	case has == nil:
	case *has == want:
		return nil
	default:
		return s.build(s.prefix(), *has, want)
	}
	for _, layer := range s.wants.Layers {
		dir := filepath.Join(layer, registryFolder)
		// In a plain tree such a folder is one of drive C:.
		if plain(filepath.Join(layer, filesFolder)) != nil || plain(dir) != nil || !exists(filepath.Join(dir, registryFiles[0])) {
			continue
		}
		has, err := readRegistered(dir)
		if err != nil || has == nil {
			return errors.Join(err, fmt.Errorf("%s has a registry that no container of wrun's left", layer))
		}
		return s.build(dir, *has, want)
	}
	return s.build(s.from.registry(), registered{defaultVersion, Administrator}, want)
}

// has is what the scratch's own registry says; nil if it has none.
func (s *scratch) has() (*registered, error) {
	if err := plain(s.prefix()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return readRegistered(s.prefix())
}

func readRegistered(dir string) (*registered, error) {
	data, err := readPlain(filepath.Join(dir, registeredFile), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(registered)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, registeredFile), err)
	}
	return r, nil
}

// mostRegistry bounds a registry file: Wine's own has 3 MB.
const mostRegistry = 512 << 20

// readPlain reads a file that a container may have put anything in the place of.
func readPlain(name string, most int64) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	case st.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes", name, st.Size())
	}
	data := make([]byte, st.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && n < len(data) {
		return nil, err
	}
	return data, nil
}

// build makes the registry folder anew, of one that is somewhere, and moves it into
// place: a reader sees the old one or the new one.
func (s *scratch) build(from string, has, want registered) error {
	building := filepath.Join(s.dir, registryFolder+".new")
	if err := os.RemoveAll(building); err != nil {
		return err
	}
	if err := os.Mkdir(building, 0o755); err != nil {
		return err
	}
	for _, name := range registryFiles {
		data, err := readPlain(filepath.Join(from, name), mostRegistry)
		if err != nil {
			return fmt.Errorf("copy the registry: %w", err)
		}
		if strings.HasSuffix(name, ".reg") {
			data = hand(data, has.User, want.User)
		}
		if name == "system.reg" && has.Version != want.Version {
			data = edit(data, want.Version.values())
		}
		if err := os.WriteFile(filepath.Join(building, name), data, 0o644); err != nil {
			return err
		}
	}
	data, err := json.Marshal(want)
	if err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(filepath.Join(building, registeredFile), data, 0o644), os.Mkdir(filepath.Join(building, "drive_c"), 0o755),
		dosDevices(building))
	if err != nil {
		return err
	}
	if err := giveAway(building, want.User); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, building, unix.AT_FDCWD, s.prefix(), unix.RENAME_EXCHANGE)
	if err == unix.ENOENT {
		return os.Rename(building, s.prefix())
	}
	if err != nil {
		return fmt.Errorf("exchange %s and %s: %w", building, s.prefix(), err)
	}
	return os.RemoveAll(building)
}

// owner says whose a scratch is: from its create to its delete, a container's whose
// state directory has a claim with the same nonce.
type owner struct {
	ID    string `json:"id"`
	Dir   string `json:"dir"`
	Nonce string `json:"nonce"`
}

const (
	ownerFile = "owner.json" // in the scratch, where no container sees it
	claimName = "wine-claim" // in the state directory
)

// claim makes the scratch the container's own. Two would write over each other's
// files and registry.
func (s *scratch) claim(ctx context.Context, c *libcontainer.Config, token string) error {
	if err := os.Mkdir(s.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fd, err := unix.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: s.dir, Err: err}
	}
	dir := os.NewFile(uintptr(fd), s.dir)
	defer dir.Close() // and with it the lock
	if err := flock(ctx, dir); err != nil {
		return err
	}
	file := filepath.Join(s.dir, ownerFile)
	data, err := readPlain(file, 1<<16)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var o owner
	if err == nil && json.Unmarshal(data, &o) == nil && o.Dir != c.Dir {
		claimed, err := readPlain(filepath.Join(o.Dir, claimName), 4096)
		if err == nil && string(claimed) == o.Nonce {
			return libcontainer.WithHint(fmt.Errorf("the scratch %s is in use by container %s", s.dir, o.ID),
				"the last entry of windows.layerFolders is one container's until that is deleted; delete it or name another folder")
		}
	}
	if data, err = json.Marshal(owner{c.ID, c.Dir, token}); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(c.Dir, claimName), []byte(token), 0o600), replace(file, data))
}

// replace writes a file so that readers see the old one or the new one.
func replace(file string, data []byte) error {
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// disk is the block device below a folder.
func disk(dir string) Disk {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil || unix.Major(st.Dev) == 0 {
		return Disk{}
	}
	return Disk{int64(unix.Major(st.Dev)), int64(unix.Minor(st.Dev))}
}
