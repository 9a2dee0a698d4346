package wire

import (
	"errors"

	"wrun/libcontainer"
)

// Error is an error on its way: its text, its cure, and which of the errors it
// is that callers tell apart.
type Error struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	Code int    `json:"code,omitempty"` // exit code it stands for, 0: not said
	Is   string `json:"is,omitempty"`
}

// known are the errors that have to be the same at the other end.
var known = map[string]error{
	"notRunning":  libcontainer.ErrNotRunning,
	"notPaused":   libcontainer.ErrNotPaused,
	"unsupported": libcontainer.ErrUnsupported,
	"stopped":     ErrStopped,
}

// Pack makes err ready for its way; nil stays nil.
func Pack(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Text: err.Error(), Hint: libcontainer.Hint(err)}
	if code := libcontainer.ExitCode(err); code != 1 {
		e.Code = code
	}
	for name, is := range known {
		if errors.Is(err, is) {
			e.Is = name
		}
	}
	return e
}

// remote is an error of the other end.
type remote struct {
	text string
	is   error
}

func (r remote) Error() string { return r.text }
func (r remote) Unwrap() error { return r.is }

// Unpack is the error as it arrived, nil for nil.
func (e *Error) Unpack() error {
	if e == nil {
		return nil
	}
	var err error = remote{e.Text, known[e.Is]}
	if is := known[e.Is]; is != nil && is.Error() == e.Text {
		err = is
	}
	if e.Code > 0 && e.Code < 256 {
		err = libcontainer.WithExitCode(err, e.Code)
	}
	if e.Hint != "" {
		err = libcontainer.WithHint(err, e.Hint)
	}
	return err
}
