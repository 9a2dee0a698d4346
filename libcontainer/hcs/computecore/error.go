// Package computecore calls the Host Compute Service (HCS) through
// computecore.dll: a bounded, synchronous Go API over HCS operations, and the
// table of what HCS's errors mean.
//
// It owns handles, operations, callbacks and error codes. It must not know what
// the documents say: JSON goes in and comes out as bytes, except for the three
// that every caller needs read (a failed operation's ResultError, the exit
// status of a system, the exit status of a process).
//
// The API is as documented in Microsoft's Virtualization-Documentation,
// virtualization/api/hcs, for Windows 10 1809 and Windows Server 2019 onwards.
// It has been run under Wine against wrun's emulated service, never on real
// Windows.
package computecore

// This file owns the error type: what was attempted on what, HCS's number and
// its name, and everything HCS had to say about it. It is pure.

import (
	"fmt"
	"strings"
)

// Code identifies an HRESULT without its severity bits: facility<<16 | code.
// The two families of HCS, 0x8037xxxx (computecore.dll) and 0xC037xxxx
// (vmcompute.dll, and still seen from computecore.dll), are one Code each, and
// 0x8007xxxx is the same Code as the plain Win32 number. The facility stays,
// because the low words collide: 0x8037010B is HCS_E_UNKNOWN_MESSAGE,
// 0x8007010B is ERROR_DIRECTORY, a bad working directory.
type Code uint32

// What callers decide on, for errors.Is. Some stand for more than one number,
// see class.
const (
	ErrFileNotFound          Code = 0x0007_0002
	ErrPathNotFound          Code = 0x0007_0003
	ErrAccessDenied          Code = 0x0037_011B // also Win32 5
	ErrInvalidHandle         Code = 0x0007_0006 // used after Close
	ErrSharingViolation      Code = 0x0007_0020
	ErrNotSupported          Code = 0x0007_0032 // also E_NOTIMPL and an export that this Windows lacks
	ErrInvalidParameter      Code = 0x0007_0057
	ErrNotFound              Code = 0x0007_0490 // the process, device or share is not there
	ErrTerminatedDuringStart Code = 0x0037_0100 // the system ended while it was starting
	ErrImageMismatch         Code = 0x0037_0101
	ErrHyperVNotInstalled    Code = 0x0037_0102
	ErrPending               Code = 0x0037_0117 // also ..0103
	ErrInvalidState          Code = 0x0037_0105
	ErrUnexpectedExit        Code = 0x0037_0106
	ErrInvalidJSON           Code = 0x0037_010D
	ErrSystemNotFound        Code = 0x0037_010E
	ErrSystemAlreadyExists   Code = 0x0037_010F
	ErrAlreadyStopped        Code = 0x0037_0110
	ErrServiceNotAvailable   Code = 0x0037_0114 // also: no DLL, service absent, disabled or not started
	ErrTimeout               Code = 0x0037_0118 // also ..0109, Win32 timeouts, and wrun's own deadline
	ErrCallbackAlreadySet    Code = 0x0037_0119
	ErrServiceDisconnect     Code = 0x0037_011E // also the RPC errors of a service that went away
	ErrProcessAlreadyExited  Code = 0x0037_011F
)

// ErrProcessAlreadyStopped is HCS's own word for ErrProcessAlreadyExited.
const ErrProcessAlreadyStopped = ErrProcessAlreadyExited

// CodeOf normalises an HRESULT, or a Win32 error number where HCS returns one
// unwrapped.
func CodeOf(hresult uint32) Code {
	if hresult < 0x1_0000 && hresult != 0 {
		return Code(0x0007_0000 | hresult)
	}
	// Bits 31 (severity), 30 (reserved; set in NTSTATUS's error class, which is
	// all that tells 0xC037 from 0x8037) and 29 (customer). An NTSTATUS of
	// another facility stays what it is: its numbers are not Win32's.
	if facility := hresult >> 16 & 0x1FFF; facility == 0x37 || hresult>>30 == 2 {
		return Code(hresult & 0x1FFF_FFFF)
	}
	return Code(hresult)
}

// Error is the code's name, for errors.Is chains that print it.
func (c Code) Error() string {
	if row, ok := lookup(c); ok {
		return row.Name
	}
	return fmt.Sprintf("HRESULT 0x%08X", uint32(c)|0x8000_0000)
}

// class maps the codes that ask for the same decision onto one of them.
func (c Code) class() Code {
	switch c {
	case 0x0037_0103:
		return ErrPending
	case 0x0037_0109, 0x0007_0079, 0x0007_0102, 0x0007_041D, 0x0007_05B4, 0x0007_071A:
		return ErrTimeout
	case 0x0007_0005:
		return ErrAccessDenied
	case 0x0000_4001, 0x0007_007F, 0x0007_0001:
		return ErrNotSupported
	case 0x0007_007E, 0x0007_0422, 0x0007_0424, 0x0007_0426, 0x0007_06BA:
		// RPC_S_SERVER_UNAVAILABLE says that nobody listens: whether the service
		// went away or never ran, the cure is to start it.
		return ErrServiceNotAvailable
	case 0x0007_06BE, 0x0007_06BF, 0x0001_0108:
		return ErrServiceDisconnect
	}
	return c
}

// Event is one of the ErrorEvents of HCS's ResultError: where inside HCS the
// failure came up.
type Event struct {
	Message    string
	StackTrace string
	Provider   string // GUID or name of the ETW provider
	EventID    uint16
	Flags      uint32
	Source     string
	Data       []Datum
}

// Datum is a named or bare value that belongs to an Event.
type Datum struct{ Name, Value string }

// String is the event in one line.
func (e Event) String() string {
	var b strings.Builder
	if m := oneLine(e.Message); m != "" {
		b.WriteString(m)
	} else {
		b.WriteString("no message")
	}
	detail := make([]string, 0, 5)
	if e.Provider != "" {
		detail = append(detail, "provider "+oneLine(e.Provider))
	}
	if e.EventID != 0 {
		detail = append(detail, fmt.Sprintf("event %d", e.EventID))
	}
	if e.Source != "" {
		detail = append(detail, "source "+oneLine(e.Source))
	}
	for _, d := range e.Data {
		if d.Name == "" {
			detail = append(detail, "data "+oneLine(d.Value))
		} else {
			detail = append(detail, oneLine(d.Name)+" "+oneLine(d.Value))
		}
	}
	if e.StackTrace != "" {
		detail = append(detail, "stack "+oneLine(e.StackTrace))
	}
	if len(detail) > 0 {
		b.WriteString(" (" + strings.Join(detail, ", ") + ")")
	}
	return b.String()
}

// Error is a failed call of HCS.
type Error struct {
	Op      string  // what was attempted: "create compute system"
	Object  string  // on what: its id, "c1 process 7", a path; "" for the service itself
	HRESULT uint32  // as HCS gave it, in whichever family
	Message string  // HCS's ErrorMessage, or wrun's own words where HCS has none
	Events  []Event // HCS's ErrorEvents, outermost first

	// InFlight: HCS has not answered and may still carry the call out. The
	// handles it uses are deliberately left open until it does, or for the rest
	// of this process: closing them under the call would crash computecore.dll.
	InFlight bool

	cause error // context.Canceled or context.DeadlineExceeded when wrun gave up
}

// Code is e's normalised number.
func (e *Error) Code() Code { return CodeOf(e.HRESULT) }

// Error names what was attempted on what, HCS's name and number, its message
// and each of its events.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(": ")
	name, cause, _, known := Describe(e.HRESULT)
	if known {
		fmt.Fprintf(&b, "%s (0x%08X)", name, e.HRESULT)
	} else {
		fmt.Fprintf(&b, "HRESULT 0x%08X", e.HRESULT)
	}
	switch {
	case e.Message != "":
		b.WriteString(": " + oneLine(e.Message))
	case known:
		b.WriteString(": " + cause)
	}
	for _, event := range e.Events {
		b.WriteString("; event: " + event.String())
	}
	if e.InFlight {
		b.WriteString("; the call is still in flight, its handles stay open")
	}
	return b.String()
}

// Is compares with a Code, both reduced to the decision they ask for.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code.class() == e.Code().class()
}

// Unwrap is the context's error when it was wrun that gave up.
func (e *Error) Unwrap() error { return e.cause }

// Hint is the cure, or "".
func (e *Error) Hint() string {
	_, _, cure, _ := Describe(e.HRESULT)
	return cure
}

// oneLine keeps what HCS says within wrun's one-line errors: its messages end
// in full stops and CR LF, and may hold several lines.
func oneLine(s string) string {
	return strings.TrimRight(strings.Join(strings.Fields(s), " "), ".")
}
