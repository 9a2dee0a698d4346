package rig

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"wrun/tests/hcsemu/hcs"
)

// Calls are entries of the journal, in the order in which they were answered.
type Calls []hcs.Entry

// Since makes f and answers what it asked the service for. What was answered
// later, to a monitor for example, is not among it, nor is what was asked before
// and hung until now.
func (t *Test) Since(f func()) Calls {
	t.Helper()
	before, err := os.Stat(t.emu.journal)
	t.Must(err)
	begin := time.Now()
	f()
	return slices.DeleteFunc(t.journal(before.Size()), func(e hcs.Entry) bool {
		asked, err := time.Parse(time.RFC3339Nano, e.Time)
		return err == nil && asked.Before(begin)
	})
}

// Journal is everything that was ever asked about one compute system.
func (t *Test) Journal(system string) Calls {
	t.Helper()
	return t.journal(0).About(system)
}

func (t *Test) journal(from int64) Calls {
	t.Helper()
	data, err := os.ReadFile(t.emu.journal)
	t.Must(err)
	var all Calls
	for line := range bytes.Lines(data[from:]) {
		var e hcs.Entry
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("the journal: %v in %s", err, line)
		}
		all = append(all, e)
	}
	return all
}

// About are the calls that name one system or go by a handle of it.
func (c Calls) About(system string) Calls {
	return slices.DeleteFunc(slices.Clone(c), func(e hcs.Entry) bool { return !strings.EqualFold(e.System, system) })
}

// HCS are the calls of the Host Compute Service itself, without layers,
// networks and dropped connections.
func (c Calls) HCS() Calls {
	return slices.DeleteFunc(slices.Clone(c), func(e hcs.Entry) bool { return !strings.HasPrefix(e.Op, "Hcs") })
}

// Named are the calls of any of the functions.
func (c Calls) Named(ops ...string) Calls {
	return slices.DeleteFunc(slices.Clone(c), func(e hcs.Entry) bool { return !slices.Contains(ops, e.Op) })
}

// Good are the calls that did, or in v1 began, what they were asked to.
func (c Calls) Good() Calls {
	const begun = "0xc0370103" // HCS_E_OPERATION_PENDING
	return slices.DeleteFunc(slices.Clone(c), func(e hcs.Entry) bool { return e.HResult != "0x00000000" && e.HResult != begun })
}

// Names are the functions in order.
func (c Calls) Names() []string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].Op
	}
	return names
}

func (c Calls) String() string { return strings.Join(c.Names(), " ") }

// Document is the only document that op was called with.
func (t *Test) Document(c Calls, op string) string {
	t.Helper()
	found := c.Named(op)
	if len(found) != 1 {
		t.Fatalf("%d calls of %s among: %s", len(found), op, c)
	}
	return found[0].Document
}
