// Package order is what the host of tests/unified and the first process of its
// machine say to each other: JSON, one value each way, over a serial port.
package order

// Order is the one program that the machine runs, in the directory and the
// environment of whoever ordered it.
type Order struct {
	Argv []string
	Env  []string
	Dir  string
}

// Answer is how it ended. Error is what kept it from running.
type Answer struct {
	Code  int
	Error string `json:",omitempty"`
}

// Names of the machine's serial ports.
const (
	Control = "control" // the order, then the answer
	Stdout  = "stdout"
	Stderr  = "stderr"
)

// Root is the tag of the shared file system with the host's files.
const Root = "root"

// Scratch is where the machine mounts its disk, and the TMPDIR of its program.
const Scratch = "/var/tmp"
