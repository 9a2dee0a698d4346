package libcontainer

import (
	"errors"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file is the whole state machine, and pure: what is known and what is
// observed go in, a status or a refusal comes out.

// statusOf derives the status; it is never stored, so it cannot be stale.
// complete says that create got to its end, creating that a living process is
// still at it, l is what the host observed.
//
// A create that nobody finishes any more is "stopped": its container never ran
// and never will, and delete is what its owner has to do.
func statusOf(complete, creating bool, l Live) specs.ContainerState {
	switch {
	case !complete && creating:
		return specs.StateCreating
	case !complete || !l.Exists:
		return specs.StateStopped
	case l.Paused: // before Started: a container paused before its start must be resumable
		return StatusPaused
	case !l.Started:
		return specs.StateCreated
	default:
		return specs.StateRunning
	}
}

// operation is what a caller wants of an existing container.
type operation int

const (
	opStart operation = iota
	opKill
	opKillAll
	opDelete
	opDeleteForce
	opExec
	opExecIgnorePaused
	opPause
	opResume
	opUpdate
	opStats
	opResize
	operations // how many there are
)

// The texts are runc's, where runc has one (engine-contract: B6).
const (
	yes        = ""
	notRunning = "container not running"
	notPaused  = "container not paused"

	startCreating = "cannot start a container that is still being created"
	startRunning  = "cannot start an already running container"
	startPaused   = "cannot start a container in the paused state"
	startStopped  = "cannot start a container that has stopped"

	execCreating = "cannot exec in a container that is still being created"
	execPaused   = "cannot exec in a paused container (use --ignore-paused to override)"
	execStopped  = "cannot exec in a stopped container"

	// runtime.md, "Delete": "Attempting to delete a container that is not
	// stopped MUST have no effect on the container and MUST generate an error."
	// runc deletes a created one; wrun keeps to the text.
	deleteAlive = "cannot delete container %id that is not stopped: %status"
)

// transitions has a row for each operation and a column for each status:
// creating, created, running, paused, stopped.
var transitions = [operations][5]string{
	opStart:            {startCreating, yes, startRunning, startPaused, startStopped},
	opKill:             {notRunning, yes, yes, yes, notRunning},
	opKillAll:          {notRunning, yes, yes, yes, yes}, // CRI and moby send it after the end of init, too
	opDelete:           {deleteAlive, deleteAlive, deleteAlive, deleteAlive, yes},
	opDeleteForce:      {deleteAlive, yes, yes, yes, yes}, // it waits for the creator first
	opExec:             {execCreating, yes, yes, execPaused, execStopped},
	opExecIgnorePaused: {execCreating, yes, yes, yes, execStopped},
	opPause:            {notRunning, yes, yes, notRunning, notRunning},
	opResume:           {notPaused, notPaused, notPaused, yes, notPaused},
	opUpdate:           {notRunning, yes, yes, yes, notRunning},
	opStats:            {notRunning, yes, yes, yes, notRunning},
	opResize:           {notRunning, notRunning, yes, yes, notRunning},
}

// refuse returns nil when op is allowed on container id in status s.
func refuse(op operation, s specs.ContainerState, id string) error {
	switch text := transitions[op][column(s)]; text {
	case yes:
		return nil
	case notRunning:
		return ErrNotRunning
	case notPaused:
		return ErrNotPaused
	default:
		return errors.New(strings.NewReplacer("%id", id, "%status", string(s)).Replace(text))
	}
}

// column panics on a status that statusOf never returns.
func column(s specs.ContainerState) int {
	switch s {
	case specs.StateCreating:
		return 0
	case specs.StateCreated:
		return 1
	case specs.StateRunning:
		return 2
	case StatusPaused:
		return 3
	case specs.StateStopped:
		return 4
	}
	panic("libcontainer: no such status: " + string(s))
}
