package computecore

// This file reads the three documents of HCS that this package has to
// understand. It is pure, takes anything for input and never fails: a document
// that cannot be read is worth its text.

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Bounds on what a ResultError may make an error hold.
const (
	maxEvents    = 32
	maxData      = 16
	maxTextBytes = 4096
)

// resultError mirrors the ResultError of HCS's schema. Numbers are read
// tolerantly: HCS writes Error as a signed or an unsigned 32-bit number.
type resultError struct {
	Error        json.RawMessage
	ErrorMessage text
	ErrorEvents  []errorEvent
}

type errorEvent struct {
	Message, StackTrace, Provider, Source text
	EventID                               json.RawMessage `json:"EventId"`
	Flags                                 json.RawMessage
	Data                                  json.RawMessage
}

// text is a JSON string, or the JSON text of anything else.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	switch {
	case bytes.Equal(b, []byte("null")):
	case json.Unmarshal(b, &s) == nil:
		*t = text(clip(s))
	default:
		*t = text(clip(string(b)))
	}
	return nil
}

func clip(s string) string {
	if len(s) <= maxTextBytes {
		return s
	}
	return s[:maxTextBytes] + "…"
}

// parseResult reads HCS's error document: the HRESULT it names, 0 without one,
// its message and its events, at most maxEvents of them.
func parseResult(document []byte) (hresult uint32, message string, events []Event) {
	document = bytes.TrimSpace(document)
	if len(document) == 0 {
		return 0, "", nil
	}
	var r resultError
	if err := json.Unmarshal(document, &r); err != nil {
		return 0, clip(string(document)), nil
	}
	for i, e := range r.ErrorEvents {
		if i == maxEvents {
			events = append(events, Event{Message: strconv.Itoa(len(r.ErrorEvents)-maxEvents) + " more events"})
			break
		}
		events = append(events, Event{
			Message:    string(e.Message),
			StackTrace: string(e.StackTrace),
			Provider:   string(e.Provider),
			EventID:    uint16(number(e.EventID)),
			Flags:      number(e.Flags),
			Source:     string(e.Source),
			Data:       parseData(e.Data),
		})
	}
	return number(r.Error), string(r.ErrorMessage), events
}

// parseData reads an event's Data, which the schema calls an array of
// {"Type","Value"} and which has also been seen as bare values.
func parseData(raw json.RawMessage) []Datum {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		items = []json.RawMessage{raw}
	}
	var data []Datum
	for i, item := range items {
		if i == maxData {
			break
		}
		var pair struct{ Type, Name, Value text }
		if json.Unmarshal(item, &pair) == nil && (pair.Value != "" || pair.Type != "" || pair.Name != "") {
			name := pair.Name
			if name == "" {
				name = pair.Type
			}
			data = append(data, Datum{string(name), string(pair.Value)})
			continue
		}
		var t text
		if json.Unmarshal(item, &t) == nil && t != "" {
			data = append(data, Datum{"", string(t)})
		}
	}
	return data
}

// number reads a 32-bit number written signed, unsigned or as a string; 0 when
// it is none of these.
func number(raw json.RawMessage) uint32 {
	s := string(bytes.Trim(raw, `"`))
	if n, err := strconv.ParseInt(s, 0, 64); err == nil && n >= -1<<31 && n < 1<<32 {
		return uint32(n)
	}
	return 0
}

// processExit is the schema's ProcessStatus, which comes with the event
// ProcessExited and as the properties of a process.
type processExit struct {
	exited     bool
	code       uint32
	waitResult uint32 // an HRESULT: why HCS does not know the code, 0 when it does
}

// parseProcessExit reads a ProcessStatus; ok is false when it is none.
func parseProcessExit(document []byte) (exit processExit, ok bool) {
	var status struct {
		Exited                   bool
		ExitCode, LastWaitResult json.RawMessage
	}
	if json.Unmarshal(document, &status) != nil {
		return processExit{}, false
	}
	return processExit{status.Exited, number(status.ExitCode), number(status.LastWaitResult)}, len(status.ExitCode) > 0
}

// SystemExit is how a compute system ended.
type SystemExit struct {
	// Status is HCS's HRESULT, 0 for a shutdown that went as asked.
	Status uint32
	// Type is GracefulExit, ForcedExit, UnexpectedExit, Unknown or None, or ""
	// when the system had gone before it was watched.
	Type string
	// Crash is the last CrashReport of a utility VM, nil without one.
	Crash []byte
}

// parseSystemExit reads the schema's SystemExitStatus; what cannot be read is
// an exit of type Unknown, for it is an exit.
func parseSystemExit(document []byte) SystemExit {
	var status struct {
		Status   json.RawMessage
		ExitType text
	}
	if json.Unmarshal(document, &status) != nil {
		return SystemExit{Type: "Unknown"}
	}
	return SystemExit{Status: number(status.Status), Type: string(status.ExitType)}
}

// stoppedSystem tells from the properties of a system whether it has stopped,
// and how. Containers' documents say State; those of the first schema also say
// Stopped.
func stoppedSystem(properties []byte) (SystemExit, bool) {
	var p struct {
		State    text
		Stopped  bool
		ExitType text
	}
	if json.Unmarshal(properties, &p) != nil {
		return SystemExit{}, false
	}
	return SystemExit{Type: string(p.ExitType)}, p.Stopped || p.State == "Stopped"
}
