package main

import (
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/windows"
)

func TestRawMode(t *testing.T) {
	const usual = windows.ENABLE_ECHO_INPUT | windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT | windows.ENABLE_MOUSE_INPUT | windows.ENABLE_INSERT_MODE
	in := rawMode(usual, true)
	if in&(windows.ENABLE_ECHO_INPUT|windows.ENABLE_LINE_INPUT|windows.ENABLE_PROCESSED_INPUT|windows.ENABLE_MOUSE_INPUT) != 0 {
		t.Errorf("input mode %#x: a key would not arrive as it is", in)
	}
	if in&windows.ENABLE_VIRTUAL_TERMINAL_INPUT == 0 || in&windows.ENABLE_INSERT_MODE == 0 {
		t.Errorf("input mode %#x", in)
	}
	const wanted = windows.ENABLE_PROCESSED_OUTPUT | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING | windows.DISABLE_NEWLINE_AUTO_RETURN
	if out := rawMode(windows.ENABLE_WRAP_AT_EOL_OUTPUT, false); out != wanted|windows.ENABLE_WRAP_AT_EOL_OUTPUT {
		t.Errorf("output mode %#x", out)
	}
}

// TestTerminalWithoutConsole: streams that are no console stay as they are, and
// nothing is invented about a size. A test has no console.
func TestTerminalWithoutConsole(t *testing.T) {
	s := &streams{front: &foreground{}}
	p := &specs.Process{Terminal: true}
	io, err := s.open("windows", p)
	if err != nil || io.Console != nil || io.Attached != nil || s.front.system != "windows" {
		t.Errorf("%+v, %v", io, err)
	}
	if s.front.term == nil {
		t.Fatal("no terminal")
	}
	for _, m := range s.front.term.saved {
		t.Errorf("mode %#x of %v was changed", m.mode, m.console)
	}
	s.front.end()
	p.ConsoleSize = &specs.Box{Height: 3, Width: 4}
	if _, err := s.open("windows", p); err != nil || *p.ConsoleSize != (specs.Box{Height: 3, Width: 4}) {
		t.Errorf("the size of the process was replaced by %+v, %v", p.ConsoleSize, err)
	}
	// Detached, the streams are the terminal.
	if io, err = (&streams{}).open("windows", p); err != nil || io.Console != nil {
		t.Errorf("detached: %+v, %v", io, err)
	}
}

func TestWindowsRefuses(t *testing.T) {
	for _, tt := range []struct {
		streams streams
		want    string
	}{
		{streams{console: "c"}, "--console-socket is not supported on windows: its sockets cannot carry a console"},
		{streams{pidfd: "p"}, "--pidfd-socket is not supported on windows, which has no pidfds"},
		{streams{preserve: 1}, "--preserve-fds is not supported on windows: its handles have no numbers that a program could count on"},
	} {
		if _, err := tt.streams.open("windows", &specs.Process{Terminal: true}); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// TestRunhcsCalls: what hcsshim's pkg/go-runhcs sends, by its source.
func TestRunhcsCalls(t *testing.T) {
	const pipe = `\\.\pipe\ProtectedPrefix\Administrators\x`
	for _, tt := range []struct {
		line, command, operands string
		values                  map[string]string
	}{
		{`create --bundle C:\b --pid-file C:\p --shim-log ` + pipe + ` --vm-log C:\v --vm-console \\.\pipe\c ID`, "create", "ID",
			with(nil, "bundle", `C:\b`, "pid-file", `C:\p`, "shim-log", pipe, "vm-log", `C:\v`, "vm-console", `\\.\pipe\c`)},
		{"create --host pod ID", "create", "ID", with(nil, "host", "pod")},
		{"run --host pod --shim-log s -d ID", "run", "ID", with(nil, "host", "pod", "shim-log", "s", "detach", "true")},
		{"exec --process C:\\p --detach --pid-file p --shim-log " + pipe + " ID", "exec", "ID", with(nil, "process", `C:\p`, "shim-log", pipe, "detach", "true")},
	} {
		got := parse(t, tt.line)
		if got.command != tt.command || len(got.operands) != 1 || got.operands[0] != tt.operands {
			t.Errorf("%s: %s %q", tt.line, got.command, got.operands)
		}
		for name, want := range tt.values {
			if v := got.values(name); v != want {
				t.Errorf("%s: --%s is %q, want %q", tt.line, name, v, want)
			}
		}
	}
}

// TestTerminalOfConsole needs a console: `go test` gives it none, a person does,
// and so does script(1) under Wine.
func TestTerminalOfConsole(t *testing.T) {
	in, out := windows.Handle(os.Stdin.Fd()), windows.Handle(os.Stdout.Fd())
	var before, outBefore, now uint32
	if windows.GetConsoleMode(in, &before) != nil || windows.GetConsoleMode(out, &outBefore) != nil {
		t.Skip("the standard streams are no console")
	}
	p := &specs.Process{Terminal: true}
	s := &streams{front: &foreground{}}
	if _, err := s.open("windows", p); err != nil {
		t.Fatal(err)
	}
	if err := windows.GetConsoleMode(in, &now); err != nil || now&(windows.ENABLE_LINE_INPUT|windows.ENABLE_ECHO_INPUT|windows.ENABLE_PROCESSED_INPUT) != 0 {
		t.Errorf("input mode %#x, %v", now, err)
	}
	if p.ConsoleSize == nil || p.ConsoleSize.Width < 2 || p.ConsoleSize.Height < 2 {
		t.Errorf("console size %+v", p.ConsoleSize)
	}
	s.front.end()
	if err := windows.GetConsoleMode(in, &now); err != nil || now != before {
		t.Errorf("afterwards input mode %#x, %v; before %#x", now, err, before)
	}
	if err := windows.GetConsoleMode(out, &now); err != nil || now != outBefore {
		t.Errorf("afterwards output mode %#x, %v; before %#x", now, err, outBefore)
	}
	t.Logf("%dx%d, modes %#x %#x", p.ConsoleSize.Width, p.ConsoleSize.Height, before, outBefore)
}
