package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"wrun/libcontainer"
)

// logger writes wrun's log: one line a message, to the file of --log or to
// stderr, as text or as JSON. The file is opened when there is something to
// say, so that a call which goes well does not pay for it. A named pipe is
// opened at once and stays open: its server waits for one client.
//
// Engines read it: containerd takes the last line of level error, podman
// decodes the whole file as one object. A failure therefore leaves exactly one
// line in JSON; warnings wait until it is known how the call ends, and travel
// in that line if it fails.
type logger struct {
	path      string // "" is stderr
	json      bool
	debugging bool
	pipe      *os.File // of path, when that is one that could be opened
	held      []string // warnings not yet written
}

// entry is a log line in JSON. The first three keys are runc's.
type entry struct {
	Level    string   `json:"level"`
	Msg      string   `json:"msg"`
	Time     string   `json:"time"`
	Warnings []string `json:"warnings,omitempty"`
}

func (l *logger) debug(msg string) {
	if l.debugging {
		l.write("debug", msg, nil)
	}
}

func (l *logger) warn(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if l.json {
		l.held = append(l.held, msg)
		return
	}
	l.write("warning", msg, nil)
}

// flush writes what was held back: the call has done its work.
func (l *logger) flush() {
	for _, msg := range l.held {
		l.write("warning", msg, nil)
	}
	l.held = nil
}

// fail reports the error that ends the call. Where the log is a file, stderr
// gets the message too, as runc does it: conmon and people read that.
func (l *logger) fail(err error) {
	msg := err.Error()
	if hint := libcontainer.Hint(err); hint != "" {
		msg += " (" + hint + ")"
	}
	msg = plain(bounded(msg))
	if l.path == "" && !l.json {
		toStderr(msg)
		return
	}
	l.write("error", msg, l.held)
	l.held = nil
	if l.path != "" {
		toStderr(msg)
	}
}

// longest is how many bytes of a message are written: conmon reads 8191 of all
// that a runtime says, and the cause stands at the end.
const longest = 8000

// bounded takes the middle out of a message that is too long; a config.json may
// hold a program's name of any length.
func bounded(msg string) string {
	if len(msg) <= longest {
		return msg
	}
	const gap = " […] "
	half := (longest - len(gap)) / 2
	return strings.ToValidUTF8(msg[:half], "") + gap + strings.ToValidUTF8(msg[len(msg)-half:], "")
}

// plain escapes control characters: names in a config.json can hold any, and
// would start a line of their own or speak to the operator's terminal. A line
// indented by two spaces is the list of a configuration's problems.
func plain(msg string) string {
	control := func(i int) bool {
		c := msg[i]
		return c < ' ' && (c != '\n' || !strings.HasPrefix(msg[i+1:], "  ")) || c == 0x7f
	}
	var b []byte
	done := 0
	for i := range len(msg) {
		if control(i) {
			quoted := strconv.QuoteToASCII(msg[i : i+1])
			b = append(append(b, msg[done:i]...), quoted[1:len(quoted)-1]...)
			done = i + 1
		}
	}
	if done == 0 {
		return msg
	}
	return string(append(b, msg[done:]...))
}

func toStderr(msg string) {
	if !strings.HasPrefix(msg, "wrun: ") {
		msg = "wrun: " + msg
	}
	os.Stderr.WriteString(msg + "\n")
}

func (l *logger) write(level, msg string, warnings []string) {
	out := os.Stderr
	switch {
	case l.pipe != nil:
		out = l.pipe
	case l.path != "":
		f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			toStderr(fmt.Sprintf("log lines go to stderr: %v", err))
		} else {
			defer f.Close()
			out = f
		}
	}
	out.Write(l.line(level, msg, warnings, time.Now()))
}

// openPipe connects to the log's server. When that fails the lines go the way
// of a file that cannot be written.
func (l *logger) openPipe() {
	if isPipe(l.path) {
		if f, err := os.OpenFile(l.path, os.O_WRONLY, 0); err == nil {
			l.pipe = f
		}
	}
}

// line is one log line; its text form is the one of logfmt, as runc's.
func (l *logger) line(level, msg string, warnings []string, at time.Time) []byte {
	when := at.UTC().Format(time.RFC3339)
	if l.json {
		data, err := json.Marshal(entry{level, msg, when, warnings})
		if err == nil {
			return append(data, '\n')
		}
	}
	return []byte("time=" + strconv.Quote(when) + " level=" + level + " msg=" + strconv.Quote(msg) + "\n")
}
