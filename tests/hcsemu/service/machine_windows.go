package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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
	workers, err := newRoom()
	if err != nil {
		return nil, err
	}
	return &machine{template: template, vms: vms, workers: workers, running: map[*virtualMachine]bool{}}, nil
}

func (m *machine) NewRoom(string) (hcs.Room, error) { return newRoom() }

func (m *machine) IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (m *machine) IsFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func (m *machine) WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", path, result(err))
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, result(err))
	}
	return nil
}

func (m *machine) RemoveAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
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
