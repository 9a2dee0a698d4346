package uvm

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A template is a VM that has booted and whose agent waits for its host: its
// memory, and what QEMU has to know of its devices. A VM is restored from it in
// a tenth of the time of a boot, over memory that is copied where it is written.
//
// Templates end with the machine's boot, as all state does, and are root's only:
// QEMU gets descriptors of them.

// templatesDir is where they are, each in a directory of its own.
const templatesDir = "/run/wrun-uvm"

// The files of a template.
const (
	aboutFile  = "about" // what it is of: all that shapes it
	memoryFile = "memory"
	devices    = "devices"
)

// mostTemplates bounds how many there are: the oldest goes.
const mostTemplates = 8

type template struct {
	memory *os.File // open for reading
	state  *os.File
}

// about is all that a template depends on; it is compared whole.
func (m *Machine) about() ([]byte, error) {
	program, err := exec.LookPath(m.QEMU)
	if err != nil {
		return nil, err
	}
	type identity struct {
		Path               string
		Dev, Ino           uint64
		Size, Sec, Nanosec int64
	}
	var list []identity
	for _, path := range []string{program, m.Kernel, m.Initrd} {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return nil, &os.PathError{Op: "stat", Path: path, Err: err}
		}
		list = append(list, identity{path, st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec})
	}
	return json.Marshal(map[string]any{"files": list, "arguments": m.Arguments(templateMemory)})
}

// template opens the template of m, and makes it when there is none. scratch is
// the container's state directory, in the monitor's own mount namespace.
func (m *Machine) template(scratch string) (*template, error) {
	about, err := m.about()
	if err != nil {
		return nil, err
	}
	name := fnv.New64a()
	name.Write(about)
	dir := filepath.Join(templatesDir, fmt.Sprintf("%016x", name.Sum64()))
	if t, err := openTemplate(dir, about); err == nil {
		return t, nil
	}
	if err := os.MkdirAll(templatesDir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // and with that the lock
	if err := flockWithin(lock, bootWait); err != nil {
		return nil, fmt.Errorf("wait for the template of the utility VM: %w", err)
	}
	if t, err := openTemplate(dir, about); err == nil {
		return t, nil // somebody else has made it
	}
	if err := m.makeTemplate(dir, about, scratch); err != nil {
		return nil, fmt.Errorf("make a template of the utility VM: %w", err)
	}
	dropOld(dir)
	return openTemplate(dir, about)
}

// lockWithin takes the lock, but does not wait for ever for who has it.
func flockWithin(f *os.File, most time.Duration) error {
	got := make(chan error, 1)
	go func() {
		for {
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
				got <- err
				return
			}
		}
	}()
	select {
	case err := <-got:
		return err
	case <-time.After(most):
		return unix.ETIMEDOUT
	}
}

func openTemplate(dir string, about []byte) (*template, error) {
	is, err := os.ReadFile(filepath.Join(dir, aboutFile))
	if err != nil {
		return nil, err
	}
	if string(is) != string(about) {
		return nil, errors.New("it is of another machine")
	}
	t := &template{}
	if t.memory, err = os.Open(filepath.Join(dir, memoryFile)); err != nil {
		return nil, err
	}
	if t.state, err = os.Open(filepath.Join(dir, devices)); err != nil {
		t.memory.Close()
		return nil, err
	}
	return t, nil
}

// makeTemplate boots a VM and saves it. The directory gets its name when it is
// complete.
func (m *Machine) makeTemplate(dir string, about []byte, scratch string) (err error) {
	fresh := dir + ".new"
	for _, d := range []string{fresh, dir} { // left by one who died, or of another machine
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(fresh))
		}
	}()
	memory, err := os.OpenFile(filepath.Join(fresh, memoryFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := memory.Truncate(int64(m.Memory) << 20); err != nil {
		memory.Close()
		return err
	}
	state, err := os.OpenFile(filepath.Join(fresh, devices), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		memory.Close()
		return err
	}
	defer state.Close()
	nobody, theirs, err := newLink() // no files are served to a template
	if err != nil {
		memory.Close()
		return err
	}
	defer nobody.close()
	v, err := m.start(filepath.Join(scratch, templateDir), int(theirs), source{kind: templateMemory, memory: memory})
	if err != nil {
		return err
	}
	defer v.kill()
	if err := v.ready(bootWait); err != nil {
		return err
	}
	if err := v.save(state); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(fresh, aboutFile), about, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

// capabilities of a migration: its events are told, and memory that is a file's
// is left out.
func (v *vm) capabilities() error {
	type capability struct {
		Name string `json:"capability"`
		On   bool   `json:"state"`
	}
	return v.qmp.do("migrate-set-capabilities", map[string]any{"capabilities": []capability{{"events", true}, {"x-ignore-shared", true}}}, nil)
}

// save writes the devices' state; the VM does not go on.
func (v *vm) save(state *os.File) error {
	if err := v.qmp.do("stop", nil, nil); err != nil {
		return err
	}
	if err := v.capabilities(); err != nil {
		return err
	}
	if err := v.qmp.give(devices, int(state.Fd())); err != nil {
		return err
	}
	if err := v.qmp.do("migrate", map[string]string{"uri": "fd:" + devices}, nil); err != nil {
		return err
	}
	return v.migrated("save the utility VM")
}

// restore has a VM that was started for it go on where its template stopped.
func (v *vm) restore() error {
	if err := v.qmp.do("qmp_capabilities", nil, nil); err != nil {
		return v.failed("restore the utility VM", err)
	}
	if err := v.capabilities(); err != nil {
		return err
	}
	if err := v.qmp.do("migrate-incoming", map[string]string{"uri": fmt.Sprintf("fd:%d", stateFD)}, nil); err != nil {
		return v.failed("restore the utility VM", err)
	}
	if err := v.migrated("restore the utility VM"); err != nil {
		return err
	}
	return v.qmp.do("cont", nil, nil)
}

// migrated waits for the end of a save or restore, which takes 10 ms.
func (v *vm) migrated(what string) error {
	late := time.NewTimer(callWait)
	defer late.Stop()
	for {
		select {
		case status := <-v.changed:
			switch status {
			case "completed":
				return nil
			case "failed", "cancelled":
				return v.failed(what, errors.New("QEMU says that it "+status))
			}
		case <-v.gone:
			return v.failed(what, errVMGone)
		case <-late.C:
			return v.failed(what, fmt.Errorf("it is not done after %v", callWait))
		}
	}
}

// dropOld removes the templates that were made longest ago, beyond a number. Their
// locks stay: somebody may hold one.
func dropOld(keep string) {
	entries, err := os.ReadDir(templatesDir)
	if err != nil {
		return // it is only tidying
	}
	type aged struct {
		dir string
		at  time.Time
	}
	var all []aged
	for _, e := range entries {
		dir := filepath.Join(templatesDir, e.Name())
		st, err := e.Info()
		if err != nil || !st.IsDir() || filepath.Ext(dir) != "" || dir == keep {
			continue
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			all = append(all, aged{dir, time.Unix(s.Ctim.Unix())})
		}
	}
	for len(all) >= mostTemplates {
		oldest := 0
		for i := range all {
			if all[i].at.Before(all[oldest].at) {
				oldest = i
			}
		}
		if err := os.RemoveAll(all[oldest].dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		all = append(all[:oldest], all[oldest+1:]...)
	}
}
