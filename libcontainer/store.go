package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The store is Root/<id>/ with
//
//	state.json   the facts; there is a container exactly as long as it is there
//	config.json  the bundle's, as create read it; no later command reads the bundle
//
// and whatever the host keeps beside them. The directory is locked while
// something changes the container. A directory without state.json is nothing:
// a create or delete that died there had made no side effect, or undone all.
const (
	stateFile  = "state.json"
	configFile = "config.json"
)

// lockWait bounds every wait for another wrun's lock.
const lockWait = 10 * time.Second

// errHeld says that somebody else holds the lock.
var errHeld = errors.New("locked by another process")

// validID follows runc: letters, digits, "_", "+", "-" and ".".
func validID(id string) error {
	if id == "" || id == "." || id == ".." || len(id) > 1024 {
		return ErrInvalidID
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '+', c == '-', c == '.':
		default:
			return ErrInvalidID
		}
	}
	return nil
}

// dir is the state directory of container id.
func (r *Runtime) dir(id string) (string, error) {
	if err := validID(id); err != nil {
		return "", err
	}
	return filepath.Join(r.Root, id), trustRoot(r.Root)
}

// reserve makes the state directory of a new container and locks it. What a
// dead create or delete left of nothing is taken over.
func reserve(ctx context.Context, dir string) (*lock, error) {
	// Each round that fails is one in which somebody else got ahead.
	for end := time.Now().Add(lockWait); time.Now().Before(end) && ctx.Err() == nil; {
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeRoot(filepath.Dir(dir)); err != nil {
				return nil, fmt.Errorf("making the state root: %w", err)
			}
			continue
		}
		fresh := err == nil
		if !fresh && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making the state directory: %w", err)
		}
		if !fresh && hasState(dir) {
			return nil, ErrExist
		}
		l, err := acquire(ctx, dir, exclusive, 0)
		switch {
		case errors.Is(err, errHeld):
			return nil, ErrExist // the other one was first
		case errors.Is(err, ErrNotExist):
			continue // a delete was between
		case err != nil:
			return nil, err
		}
		// Between mkdir and lock another one may have taken the directory for
		// left over, made its container and gone.
		if hasState(dir) {
			l.release()
			return nil, ErrExist
		}
		if !fresh {
			if err := empty(dir); err != nil {
				l.release()
				return nil, err
			}
		}
		return l, nil
	}
	return nil, errors.Join(fmt.Errorf("making the state directory %s: it keeps vanishing", dir), ctx.Err())
}

func hasState(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, stateFile))
	return err == nil
}

// empty removes what is in dir, except the lock.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clearing the state directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("clearing the state directory: %w", err)
		}
	}
	return nil
}

// load reads the facts of the container in dir: ErrNotExist when there is none.
func load(dir, id string) (*facts, error) {
	data, err := readFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state of container %s: %w", id, err)
	}
	f, err := parseFacts(data, id)
	if err != nil {
		return nil, fmt.Errorf("reading the state of container %s: %w", id, err)
	}
	return f, nil
}

// save replaces the facts in dir. The rename makes it all or nothing for
// readers and for a killed wrun. There is no fsync: nothing that the facts
// speak of survives the machine's end, so neither need they; should the root
// lie on a disk, a boot leaves an older, a void (facts.Boot) or a damaged
// file, and delete --force removes each.
//
// Preconditions: the lock is held exclusively.
func save(dir string, f *facts) error {
	name := filepath.Join(dir, stateFile)
	if err := replaceFile(name+".new", name, f.append(make([]byte, 0, 1024))); err != nil {
		return fmt.Errorf("saving the state of container %s: %w", f.ID, err)
	}
	return nil
}

// remove ends the container's existence and gives up the lock. state.json goes
// first: from then on the id is free, whatever happens to the rest.
//
// Preconditions: l is the exclusive lock on dir.
func remove(dir string, l *lock) error {
	err := removeFile(filepath.Join(dir, stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.release()
		return fmt.Errorf("removing the state directory: %w", err)
	}
	fault(FaultDeleteForgotten)
	if err := l.discard(dir); err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	return nil
}

// ids lists what lies under the root, whole or not.
func (r *Runtime) ids() ([]string, error) {
	if err := trustRoot(r.Root); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && validID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// writePidFile writes pid without a newline (go-runc reads it with Atoi) and
// in one step: conmon and the shims may watch for the file's appearance.
func writePidFile(name string, pid int) error {
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := replaceFile(tmp, name, fmt.Append(nil, pid)); err != nil {
		return fmt.Errorf("writing the pid file: %w", err)
	}
	return nil
}
