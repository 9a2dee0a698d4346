package hcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The monitor and the commands share a few files in the container's state
// directory. Each is written once, whole, and read by anybody.
const (
	orderFile    = "monitor.json" // order: what the monitor is for
	documentFile = "system.json"  // the compute system's document, as the service got it
	gateFile     = "gate.json"    // monitor: who it is
	initFile     = "init.json"    // program: the init process was made
	exitFile     = "exit.json"    // ending: it has ended
)

// order is what a monitor needs to know, written before it is started.
type order struct {
	System  string          `json:"system"`
	API     string          `json:"api"`
	OS      string          `json:"os"`
	Pipe    string          `json:"pipe,omitempty"` // "" for a process of exec: nobody calls
	Process json.RawMessage `json:"process"`        // parameters as the service takes them
	Program string          `json:"program"`        // for messages
	Exec    bool            `json:"exec"`
	Log     string          `json:"log,omitempty"`
}

// program is the init process.
type program struct {
	Pid int `json:"pid"` // as the container's kernel counts
}

// ending is how the init process ended.
type ending struct {
	Gone bool   `json:"gone,omitempty"` // its compute system, and a VM of its own, have ended too
	Code uint32 `json:"code"`
	Why  string `json:"why,omitempty"` // where there was no exit code: the service's word
}

// lost is HCS_E_UNEXPECTED_EXIT: the container ended, and nobody knows how its
// program did.
const lost = 0x80370106

func writeRecord(dir, name string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a document goes to the service as it was made
	err := e.Encode(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	file := filepath.Join(dir, name)
	tmp := file + ".new"
	if err = os.WriteFile(tmp, b.Bytes(), 0o600); err == nil {
		err = rename(tmp, file)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// rename has patience: a virus scanner that looks at a new file is in the way for
// a moment, and nobody tells when it is not. An exit code is worth the wait.
func rename(from, to string) error {
	const rounds, pause = 50, 10 * time.Millisecond
	for i := 1; ; i++ {
		err := os.Rename(from, to)
		if err == nil || i == rounds || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		time.Sleep(pause)
	}
}

// readRecord answers false when there is no such record.
func readRecord(dir, name string, v any) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		if err = json.Unmarshal(data, v); err != nil {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
	}
	return true, nil
}

// errDamaged says that a record is there and cannot be read. Records are
// replaced whole but not flushed, so only the machine's own end damages one, and
// with it went all that the record spoke of.
var errDamaged = errors.New("damaged")

// readEnding answers false when the init process has not ended. A damaged
// record says no more than that it has.
func readEnding(dir string) (end ending, over bool, err error) {
	over, err = readRecord(dir, exitFile, &end)
	if errors.Is(err, errDamaged) {
		return ending{Code: lost, Why: err.Error()}, true, nil
	}
	return end, over, err
}

// readInit answers false when the init process was not made, or is long gone.
func readInit(dir string) (init program, started bool, err error) {
	started, err = readRecord(dir, initFile, &init)
	if errors.Is(err, errDamaged) {
		return program{}, false, nil
	}
	return init, started, err
}
