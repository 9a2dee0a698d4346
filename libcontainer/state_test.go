package libcontainer

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var statuses = [...]specs.ContainerState{
	specs.StateCreating, specs.StateCreated, specs.StateRunning, StatusPaused, specs.StateStopped,
}

// Every operation in every status, written out as an operator would: "" is
// allowed. The table in state.go is read by column, this one by operation.
func TestTransitions(t *testing.T) {
	const gone, thawed = "container not running", "container not paused"
	want := map[operation]map[specs.ContainerState]string{
		opStart: {
			"creating": "cannot start a container that is still being created",
			"running":  "cannot start an already running container",
			"paused":   "cannot start a container in the paused state",
			"stopped":  "cannot start a container that has stopped",
		},
		opKill:    {"creating": gone, "stopped": gone},
		opKillAll: {"creating": gone},
		opDelete: {
			"creating": "cannot delete container c1 that is not stopped: creating",
			"created":  "cannot delete container c1 that is not stopped: created",
			"running":  "cannot delete container c1 that is not stopped: running",
			"paused":   "cannot delete container c1 that is not stopped: paused",
		},
		opDeleteForce: {"creating": "cannot delete container c1 that is not stopped: creating"},
		opExec: {
			"creating": "cannot exec in a container that is still being created",
			"paused":   "cannot exec in a paused container (use --ignore-paused to override)",
			"stopped":  "cannot exec in a stopped container",
		},
		opExecIgnorePaused: {
			"creating": "cannot exec in a container that is still being created",
			"stopped":  "cannot exec in a stopped container",
		},
		opPause:  {"creating": gone, "paused": gone, "stopped": gone},
		opResume: {"creating": thawed, "created": thawed, "running": thawed, "stopped": thawed},
		opUpdate: {"creating": gone, "stopped": gone},
		opStats:  {"creating": gone, "stopped": gone},
		opResize: {"creating": gone, "created": gone, "stopped": gone},
	}
	if len(want) != int(operations) {
		t.Fatalf("%d operations here, %d in the table", len(want), operations)
	}
	for op := range operations {
		for _, s := range statuses {
			err := refuse(op, s, "c1")
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != want[op][s] {
				t.Errorf("operation %d, %s: %q, want %q", op, s, text, want[op][s])
			}
			// What engines' libraries test for must be the value, not the text alone.
			if text == gone != errors.Is(err, ErrNotRunning) || text == thawed != errors.Is(err, ErrNotPaused) {
				t.Errorf("operation %d, %s: %v is not the exported error", op, s, err)
			}
			if strings.ContainsRune(text, '%') {
				t.Errorf("operation %d, %s: unfilled text %q", op, s, text)
			}
		}
	}
}

func TestStatusOf(t *testing.T) {
	for i := range 32 {
		complete, creating := i&1 != 0, i&2 != 0
		l := Live{Exists: i&4 != 0, Started: i&8 != 0, Paused: i&16 != 0}
		var want specs.ContainerState
		switch {
		case !complete:
			want = specs.StateStopped
			if creating {
				want = specs.StateCreating
			}
		case !l.Exists:
			want = specs.StateStopped
		case l.Paused:
			want = StatusPaused
		case l.Started:
			want = specs.StateRunning
		default:
			want = specs.StateCreated
		}
		if got := statusOf(complete, creating, l); got != want {
			t.Errorf("complete %v, creating %v, %+v: %s, want %s", complete, creating, l, got, want)
		}
	}
}

func TestColumnPanicsOnNonsense(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a status that does not exist was looked up")
		}
	}()
	column("sleeping")
}
