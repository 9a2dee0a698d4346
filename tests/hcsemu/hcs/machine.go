package hcs

import "time"

// This file is what the state machine asks of a computer.

// Machine is the computer that the service runs on: what the state machine
// cannot do itself. The service's is Wine, the tests' is in memory.
type Machine interface {
	// NewRoom makes the place for a silo's processes: a job object with the
	// silo's name.
	NewRoom(system string) (Room, error)
	// Boot starts a utility VM and returns when its guest answers. died is
	// called once when the VM ends without Close. cancel ends the boot.
	Boot(system string, cancel <-chan struct{}, died func()) (VM, error)
	IsDir(path string) bool
	IsFile(path string) bool
	// WriteFile makes a file that is to be there and is never read.
	WriteFile(path string, data []byte) error
	RemoveAll(path string) error
	Processors() int
	MemoryMB() uint64
}

// VM is a utility VM whose guest answers.
type VM interface {
	NewRoom(system string) (Room, error)
	// Close ends the VM and its processes.
	Close() error
}

// Lost is the exit code of a process whose VM has gone with it.
const Lost = ^uint32(0)

// Room is where the processes of one system run.
type Room interface {
	// Launch starts a process; exited is called once, from any goroutine, when
	// it has ended. Errors are Results.
	Launch(p *Program, exited func(code uint32)) (Process, error)
	Processes() ([]ProcessDetails, error)
	Usage() (Usage, error)
	Suspend(suspend bool) error
	// Terminate ends all processes, and those that they started.
	Terminate(code uint32) error
	Close() error
}

// Process is one that the service launched.
type Process interface {
	PID() uint32
	Terminate(code uint32) error
	// Signal says whether the process has asked for the signal, and then it
	// has been told.
	Signal(name string) (bool, error)
	CloseStd(i int) error // 0 stdin, 1 stdout, 2 stderr
	// Duplicate gives the standard pipes to a client as handles of its own, 0
	// where there is none.
	Duplicate(client uint32) ([3]uint64, error)
}

// Program is what a process executes.
type Program struct {
	CommandLine string
	Args        []string // in place of CommandLine
	Directory   string
	Environment map[string]string
	Pipes       [3]bool // which of stdin, stdout, stderr are pipes
	Combined    bool    // stderr goes where stdout goes
	Linux       bool    // a program of a Linux guest
}

// ProcessDetails is an entry of a ProcessList, in the form that HCS documents.
type ProcessDetails struct {
	ProcessID                    uint32 `json:"ProcessId"`
	ImageName                    string
	CreateTimestamp              time.Time
	UserTime100ns                uint64
	KernelTime100ns              uint64
	MemoryCommitBytes            uint64
	MemoryWorkingSetPrivateBytes uint64
	MemoryWorkingSetSharedBytes  uint64
}

// Usage is what a room's processes have used since it was made.
type Usage struct {
	User100ns, Kernel100ns      uint64
	CommitBytes, CommitPeak     uint64
	WorkingSetBytes             uint64
	Reads, ReadBytes            uint64
	Writes, WriteBytes          uint64
	TotalProcesses, ActiveCount uint32
}
