package hcs

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"wrun/tests/hcsemu/wire"
)

// This file writes what was asked and answered, for tests to read; it decides
// nothing.

// Entry is a line of the journal: one request and its answer.
type Entry struct {
	Time      string   `json:"time"` // RFC 3339, when the request came
	PID       uint32   `json:"pid"`  // the client's, of Windows
	DLL       string   `json:"dll,omitempty"`
	Op        string   `json:"op"` // the function; "dropped" for a handle whose client went
	System    string   `json:"system,omitempty"`
	Process   uint32   `json:"process,omitempty"`
	Document  string   `json:"document,omitempty"`  // as sent
	Arguments []string `json:"arguments,omitempty"` // all others
	Number    uint64   `json:"number,omitempty"`
	HResult   string   `json:"hresult,omitempty"` // 0x00000000
	Value     string   `json:"value,omitempty"`   // what was answered
	Result    string   `json:"result,omitempty"`  // the error document
	Dropped   bool     `json:"dropped,omitempty"` // the connection ended without an answer, or without a close
	Millis    float64  `json:"ms"`
}

type journal struct {
	mu sync.Mutex
	w  io.Writer
}

// documentAt says which argument is the document; the rest are names.
func documentAt(function string) int {
	switch function {
	case "HcsOpenComputeSystem", "HcsOpenProcess", "HcsGrantVmAccess", "HcsRevokeVmAccess", "HcsGrantVmGroupAccess", "HcsRevokeVmGroupAccess":
		return -1
	case "HcsCreateComputeSystem", "HcnCreateNetwork", "HcnCreateNamespace", "HcnCreateEndpoint":
		return 1
	case "HNSCall":
		return 2
	}
	if len(function) > 3 && (function[:3] == "Hcs" || function[:4] == "HcnE" || function[:4] == "HcnM" || function[:4] == "HcnQ") {
		return 0
	}
	return -1
}

func newEntry(r *wire.Request, at time.Time) *Entry {
	e := &Entry{Time: at.UTC().Format(time.RFC3339Nano), PID: r.PID, DLL: r.DLL, Op: r.Function, Number: r.Number}
	for i, arg := range r.Args {
		switch {
		case i == documentAt(r.Function):
			e.Document = r.Arg(i)
		case arg != nil:
			e.Arguments = append(e.Arguments, *arg)
		}
	}
	if r.Function == "HcsCreateComputeSystem" || r.Function == "HcsOpenComputeSystem" {
		e.System = r.Arg(0)
	}
	return e
}

func (e *Entry) answered(a *wire.Answer) {
	e.HResult = fmt.Sprintf("0x%08x", a.HR)
	if a.Value != nil {
		e.Value = *a.Value
	}
	if a.Result != nil {
		e.Result = *a.Result
	}
}

// write appends a line at once, so that a reader sees what was answered.
func (j *journal) write(e *Entry, since time.Time) {
	if e.Time == "" {
		e.Time = since.UTC().Format(time.RFC3339Nano)
	}
	e.Millis = float64(time.Since(since).Microseconds()) / 1000
	line, err := json.Marshal(e)
	if err != nil {
		return // strings and numbers always marshal
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.w.Write(append(line, '\n'))
}
