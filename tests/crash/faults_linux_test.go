package crash

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/tests/leftovers"
)

// TestFaultPoints kills wrun at every fault point of create, start, exec and
// delete, for each kind of container.
func TestFaultPoints(t *testing.T) {
	points := slices.Concat(libcontainer.FaultPoints[:], []string{
		libcontainer.FaultCreateRecorded + ":2", // the pid, for the hooks
		libcontainer.FaultDeleteLocked + " plain",
		libcontainer.FaultDeleteClosed + " plain",
	})
	for _, k := range kinds {
		for _, point := range points {
			name, _, _ := strings.Cut(point, ":")
			if !k.hooks && (name == libcontainer.FaultCreateNamespaces || name == libcontainer.FaultCreateHooked || name != point) {
				continue // passed only on the way to hooks
			}
			t.Run(k.name+"/"+point, func(t *testing.T) {
				l := newLife(t, k)
				l.until(point)
				l.answers(name, k)
				l.recover()
			})
		}
	}
}

// until lives until point.
func (l *life) until(point string) {
	l.Helper()
	point, plainDelete := strings.CutSuffix(point, " plain")
	operation, _, _ := strings.Cut(point, ".")
	calls := [][]string{
		append([]string{"create"}, l.create...),
		{"start", l.id},
		{"exec", "--detach", "--pid-file", l.files + "/exec", l.id, "sleep", "1000"},
	}
	if plainDelete {
		calls = append(calls, []string{"kill", l.id, "KILL"}, []string{"delete", l.id})
	} else {
		calls = append(calls, []string{"delete", "--force", l.id})
	}
	for _, args := range calls {
		if args[0] != operation {
			l.OK(l.T, args...)
			if args[0] == "kill" {
				for begin := time.Now(); l.State(l.T, l.id) != specs.StateStopped; time.Sleep(time.Millisecond) {
					if time.Since(begin) > leftovers.Settle {
						l.Fatal("the container survives SIGKILL")
					}
				}
			}
			continue
		}
		doomed := *l.Wrun
		doomed.Env = append(slices.Clone(l.Env), "WRUN_FAULT="+point)
		if r := doomed.Run(l.T, args...); r.Code != -1 {
			l.Fatalf("%s was not killed at %s: exit code %d, stderr %q", operation, point, r.Code, r.Stderr)
		}
		return
	}
	l.Fatalf("no operation passes %s", point)
}

// answers checks what state says after a death at point.
func (l *life) answers(point string, k kind) {
	l.Helper()
	if strings.HasPrefix(point, "create.") {
		// A child that its creator has not let go ends by itself when it finds
		// nobody to talk to, parked or not: nothing needs to be done about it.
		leftovers.Processes(l.T, "before any delete")
	}
	s := l.settled()
	var want specs.ContainerState
	switch point {
	case libcontainer.FaultCreateReserved, libcontainer.FaultDeleteForgotten:
		want = ""
	case libcontainer.FaultCreateCopied: // what is recorded waits for it only if it includes hooks
		want = specs.StateStopped
		if k.hooks {
			want = ""
		}
	case libcontainer.FaultStartLocked, libcontainer.FaultStartHooked:
		want = specs.StateCreated
	case libcontainer.FaultStartReleased, libcontainer.FaultStartPoststart, libcontainer.FaultDeleteLocked,
		libcontainer.FaultExecLocked, libcontainer.FaultExecStarted, libcontainer.FaultExecPidFile:
		want = specs.StateRunning
	default:
		want = specs.StateStopped
	}
	if strings.HasSuffix(l.Name(), "_plain") { // stopped before
		want = specs.StateStopped
	}
	if s != want {
		l.Errorf("killed at %s, the container is %q, want %q", point, s, want)
	}
}
