package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"wrun/tests/hcsemu/hcs"
)

// This file is the Machine of package hcs; rooms and VMs have their own.

// machine is Wine as the computer that the service runs on.
type machine struct {
	template, vms string // Unix paths, "" where there are no VMs

	workers *room // VMs' worker processes end with the service, whatever ends it

	mu      sync.Mutex
	running map[*virtualMachine]bool
}

func newMachine(template, vms string) (*machine, error) {
	workers, err := newRoom("")
	if err != nil {
		return nil, err
	}
	return &machine{template: template, vms: vms, workers: workers, running: map[*virtualMachine]bool{}}, nil
}

// NewRoom makes a silo's job under the name that HCS gives it (hcsshim,
// internal/hcs/system.go), by which runtimes open it.
func (m *machine) NewRoom(system string) (hcs.Room, error) { return newRoom(`\Container_` + system) }

// volumes is what Wine makes of drives where a final path is asked for by
// volume, followed by the drive's letter in hexadecimal; it opens no such path.
var volumes = regexp.MustCompile(`(?i)^\\\\\?\\Volume\{00000000-0000-0000-0000-0000000000([0-9a-f]{2})\}(\\.*)$`)

// onDrive gives a path on a volume of Wine its drive.
func onDrive(path string) string {
	m := volumes.FindStringSubmatch(path)
	if m == nil {
		return path
	}
	letter, err := strconv.ParseUint(m[1], 16, 8)
	if err != nil || letter < 'A' || letter > 'Z' {
		return path
	}
	return string(rune(letter)) + ":" + m[2]
}

func (m *machine) IsDir(path string) bool {
	info, err := os.Stat(onDrive(path))
	return err == nil && info.IsDir()
}

func (m *machine) IsFile(path string) bool {
	info, err := os.Stat(onDrive(path))
	return err == nil && !info.IsDir()
}

func (m *machine) WriteFile(path string, data []byte) error {
	path = onDrive(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", path, result(err))
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, result(err))
	}
	return nil
}

func (m *machine) RemoveAll(path string) error {
	if err := os.RemoveAll(onDrive(path)); err != nil {
		return fmt.Errorf("removing %s: %w", path, result(err))
	}
	return nil
}

func (m *machine) Processors() int  { return runtime.NumCPU() }
func (m *machine) MemoryMB() uint64 { return 16384 } // a host of decent size; nothing is allocated

// Machines answers the prefixes of the VMs that are there, and waits for those
// that are on their way out.
func (m *machine) Machines() []string {
	m.mu.Lock()
	var leaving []*virtualMachine
	for v := range m.running {
		if v.removing.Load() {
			leaving = append(leaving, v)
		}
	}
	m.mu.Unlock()
	for _, v := range leaving {
		<-v.watched
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []string{}
	for v := range m.running {
		list = append(list, v.prefix)
	}
	slices.Sort(list)
	return list
}
