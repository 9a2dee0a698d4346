package hcs

import (
	"encoding/json"
	"errors"
	"fmt"

	"wrun/tests/hcsemu/wire"
)

// This file has the numbers that calls fail with, and the error documents.

// Result is an HRESULT that a call fails with; the v2 form where there are two.
type Result uint32

// The results that the emulated service gives (DOC: HCS HRESULT).
const (
	ok                    Result = 0
	terminatedDuringStart Result = 0x80370100
	invalidState          Result = 0x80370105
	unexpectedExit        Result = 0x80370106
	connectFailed         Result = 0x80370108
	invalidJSON           Result = 0x8037010D
	systemNotFound        Result = 0x8037010E
	systemExists          Result = 0x8037010F
	systemStopped         Result = 0x80370110
	serviceNotAvailable   Result = 0x80370114
	operationPending      Result = 0x80370117
	operationTimeout      Result = 0x80370118
	ProcessStopped        Result = 0x8037011F
	pending               Result = 0xC0370103 // v1 only
	hcnNetworkNotFound    Result = 0x803B0001
	hcnEndpointNotFound   Result = 0x803B0002
	hcnEndpointAttached   Result = 0x803B0014
	hcnInvalidJSON        Result = 0x803B001B
	hcnHasReferences      Result = 0x803B002C
)

// Errors of Windows as HRESULTs (HRESULT_FROM_WIN32).
const (
	fileNotFound  = Result(0x80070002)
	pathNotFound  = Result(0x80070003)
	invalidHandle = Result(0x80070006)
	notReady      = Result(0x80070015)
	notSupported  = Result(0x80070032)
	invalidParam  = Result(0x80070057)
	alreadyExists = Result(0x800700B7)
	badDirectory  = Result(0x8007010B)
	notFound      = Result(0x80070490)
	notImpl       = Result(0x80004001)
)

// FromWin32 makes a result of an error number of Windows.
func FromWin32(errno uint32) Result { return 0x80070000 | Result(errno&0xffff) }

func (r Result) Error() string { return fmt.Sprintf("%#08x", uint32(r)) }

// v1 answers the form that vmcompute.dll gives: Win32 style for what it had
// before computecore.dll came (windows-hcs.md §1.4).
func (r Result) v1() Result {
	switch {
	case r == operationPending:
		return pending
	case r >= 0x80370100 && r <= 0x80370113:
		return r | 0x40000000
	}
	return r
}

// failure is a failed call: its result, and the words for the error document.
type failure struct {
	result Result
	text   string
	data   []string // what the text is about: a field, a path
}

func (f *failure) Error() string { return f.text + " (" + f.result.Error() + ")" }
func (f *failure) Unwrap() error { return f.result }

func fail(r Result, format string, args ...any) error {
	return &failure{result: r, text: fmt.Sprintf(format, args...)}
}

// resultOf answers the result of an error, and E_FAIL for one without.
func resultOf(err error) Result {
	var r Result
	if err == nil {
		return ok
	}
	if errors.As(err, &r) {
		return r
	}
	return 0x80004005
}

type errorEvent struct {
	Message    string
	StackTrace string
	Provider   string
	EventID    uint16 `json:"EventId"`
	Flags      uint32
	Source     string
	Data       []eventData
}

type eventData struct{ Type, Value string }

// provider is the emulator's own; nobody may depend on it.
const provider = "c6d5e7f8-0000-4e51-9c44-686373656d75"

// refusal is the answer of a failed call, with an error document as the real
// service gives (ResultError, §1.4).
func refusal(err error, v1 bool) *wire.Answer {
	r := resultOf(err)
	if v1 {
		r = r.v1()
	}
	event := errorEvent{Message: err.Error(), Provider: provider, EventID: 1, Source: "hcsemu", Data: []eventData{}}
	var f *failure
	if errors.As(err, &f) {
		event.Message = f.text
		for _, d := range f.data {
			event.Data = append(event.Data, eventData{"String", d})
		}
	}
	document, _ := json.Marshal(struct { //nolint:errchkjson // strings and numbers always marshal
		Error        int32
		ErrorMessage string
		ErrorEvents  []errorEvent
	}{int32(r), event.Message, []errorEvent{event}})
	text := string(document)
	return &wire.Answer{HR: uint32(r), Result: &text}
}
