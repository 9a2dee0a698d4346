package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

func TestLogLine(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 19, 22, 5, time.FixedZone("", 3600))
	l := logger{json: true}
	if got, want := string(l.line("error", "a \"b\"\nc", nil, at)), `{"level":"error","msg":"a \"b\"\nc","time":"2026-11-23T11:19:22Z"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	l.json = false
	if got, want := string(l.line("error", "a \"b\"\nc", nil, at)), `time="2026-11-23T11:19:22Z" level=error msg="a \"b\"\nc"`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// TestWarningsInJSON: a failure is one object, warnings and hint in it; a
// success writes the warnings as lines of their own.
func TestWarningsInJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := logger{path: path, json: true}
	l.warn("left out %s", "x")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the warning was written before the end")
	}
	l.fail(libcontainer.WithHint(errors.New("no"), "try yes"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if e.Level != "error" || e.Msg != "no (try yes)" || len(e.Warnings) != 1 || e.Warnings[0] != "left out x" {
		t.Errorf("%+v", e)
	}
	l.warn("second")
	l.flush()
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(string(data), "\n"); len(lines) != 3 || !strings.Contains(lines[1], `"level":"warning","msg":"second"`) {
		t.Errorf("%q", lines)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"short":                           "short",
		"2 problems\n  one\n  two":        "2 problems\n  one\n  two",
		"a\nwrun: forged":                 `a\nwrun: forged`,
		"\x1b[2Jä\tb\x7f\n":               `\x1b[2Jä\tb\x7f\n`,
		"program \"a\\b\" stays as it is": "program \"a\\b\" stays as it is",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBounded(t *testing.T) {
	if got := bounded("short"); got != "short" {
		t.Errorf("%q", got)
	}
	got := bounded("begin " + strings.Repeat("ä", 1<<16) + " end")
	if len(got) > longest || !strings.HasPrefix(got, "begin ää") || !strings.HasSuffix(got, "ä end") || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %.20q", len(got), got)
	}
}

func TestEnd(t *testing.T) {
	discard := filepath.Join(t.TempDir(), "log")
	for _, tt := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{exitStatus(42), 42},
		{errors.New("x"), 1},
		{libcontainer.WithExitCode(errors.New("x"), 255), 255},
		{libcontainer.ErrNotExist, 1},
	} {
		in := &invocation{log: logger{path: discard}}
		if code := in.end(tt.err); code != tt.code {
			t.Errorf("end(%v) = %d, want %d", tt.err, code, tt.code)
		}
	}
}

func TestListenFDs(t *testing.T) {
	t.Setenv("LISTEN_FDS", "2")
	t.Setenv("LISTEN_PID", "7")
	if n, err := listenFDs(7); n != 2 || err != nil {
		t.Errorf("listenFDs(7) = %d, %v; want 2", n, err)
	}
	if n, err := listenFDs(8); n != 0 || err != nil {
		t.Errorf("descriptors of another process: %d, %v; want 0", n, err)
	}
	t.Setenv("LISTEN_FDS", "many")
	if _, err := listenFDs(7); err == nil {
		t.Error("LISTEN_FDS=many is no error")
	}
}

// TestStreamsRefuse: the two sentences that engines and runc's users know, and
// what a system does not have.
func TestStreamsRefuse(t *testing.T) {
	type refusal struct {
		streams  streams
		terminal bool
		want     string
	}
	tests := []refusal{
		{streams{console: "/c"}, false, "cannot use console socket if wrun will not detach or allocate tty"},
		{streams{console: "/c", front: &foreground{}}, true, "cannot use console socket if wrun will not detach or allocate tty"},
		{streams{console: "/c", front: &foreground{}}, false, "cannot use console socket if wrun will not detach or allocate tty"},
		{streams{preserve: -1}, false, "--preserve-fds -1: not a number of descriptors"},
	}
	if terminalsAreHandedOver {
		tests = append(tests, refusal{streams{}, true, "cannot allocate tty if wrun will detach without setting console socket"})
	}
	for _, tt := range tests {
		if _, err := tt.streams.open("linux", &specs.Process{Terminal: tt.terminal}); err == nil || err.Error() != tt.want {
			t.Errorf("%+v, terminal %v: %v, want %s", tt.streams, tt.terminal, err, tt.want)
		}
	}
	io, err := (&streams{}).open("linux", new(specs.Process))
	if err != nil || io.In != os.Stdin || io.Out != os.Stdout || io.Err != os.Stderr || io.Console != nil {
		t.Errorf("%+v, %v", io, err)
	}
}
