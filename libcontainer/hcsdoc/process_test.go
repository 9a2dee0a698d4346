package hcsdoc

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestProcess(t *testing.T) {
	all := Streams{true, true, true}
	for _, c := range []struct {
		name  string
		p     specs.Process
		stdio Streams
		want  string
	}{
		{"args", specs.Process{Args: []string{"cmd", "/c", "echo a b"}, Cwd: `C:\`}, all,
			`{"CommandLine":"cmd /c \"echo a b\"","WorkingDirectory":"C:\\","CreateStdInPipe":true,"CreateStdOutPipe":true,"CreateStdErrPipe":true}`},
		{"commandLine wins", specs.Process{CommandLine: `cmd /c "exit 7"`, Args: []string{"ignored"}}, Streams{},
			`{"CommandLine":"cmd /c \"exit 7\""}`},
		{"user", specs.Process{CommandLine: "x", User: specs.User{Username: "ContainerUser"}}, Streams{Out: true},
			`{"CommandLine":"x","User":"ContainerUser","CreateStdOutPipe":true}`},
		{"terminal", specs.Process{CommandLine: "x", Terminal: true, ConsoleSize: &specs.Box{Height: 24, Width: 80}}, all,
			`{"CommandLine":"x","EmulateConsole":true,"CreateStdInPipe":true,"CreateStdOutPipe":true,"ConsoleSize":[24,80]}`},
		{"no terminal, no size", specs.Process{CommandLine: "x", ConsoleSize: &specs.Box{Height: 24, Width: 80}}, all,
			`{"CommandLine":"x","CreateStdInPipe":true,"CreateStdOutPipe":true,"CreateStdErrPipe":true}`},
		{"unknown size", specs.Process{CommandLine: "x", Terminal: true, ConsoleSize: &specs.Box{}}, Streams{},
			`{"CommandLine":"x","EmulateConsole":true}`},
		{"environment", specs.Process{CommandLine: "x", Env: []string{"B=2", "EMPTY=", "A=1=1", "path=old", "PATH=new", `=C:=C:\dir`, "a&b=<c>"}}, Streams{},
			`{"CommandLine":"x","Environment":{"=C:":"C:\\dir","A":"1=1","B":"2","EMPTY":"","PATH":"new","a&b":"<c>"}}`},
	} {
		got, err := Process(&c.p, c.stdio)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestRefusedProcess(t *testing.T) {
	for _, c := range []struct {
		p    *specs.Process
		want string
	}{
		{nil, "process: is missing"},
		{&specs.Process{}, "process.args: is empty"},
		{&specs.Process{Args: []string{`a"b`}}, "process.args[0]: "},
		{&specs.Process{CommandLine: "a\x00"}, "process.commandLine: "},
		{&specs.Process{CommandLine: "x", Cwd: "C:\x00"}, "process.cwd: "},
		{&specs.Process{CommandLine: "x", User: specs.User{Username: "\x00"}}, "process.user.username: "},
		{&specs.Process{CommandLine: "x", Env: []string{"A=1", "B"}}, `process.env[1]: "B" is not of the form`},
		{&specs.Process{CommandLine: "x", Env: []string{""}}, "process.env[0]: "},
		{&specs.Process{CommandLine: "x", Env: []string{"=x"}}, "process.env[0]: "},
		{&specs.Process{CommandLine: "x", Env: []string{"A=\x00"}}, "process.env[0]: "},
		{&specs.Process{CommandLine: "x", Terminal: true, ConsoleSize: &specs.Box{Height: 40000, Width: 1}}, "process.consoleSize.height: 40000"},
		{&specs.Process{CommandLine: "x", Terminal: true, ConsoleSize: &specs.Box{Height: 1, Width: 40000}}, "process.consoleSize.width: 40000"},
	} {
		doc, err := Process(c.p, Streams{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %s, %v; want %s", c.p, doc, err, c.want)
		}
	}
}

func TestLinuxProcess(t *testing.T) {
	p := &specs.Process{Args: []string{"sh", "-c", "true"}, Cwd: "/", Env: []string{"A="}}
	for _, c := range []struct {
		name string
		p    *specs.Process
		init bool
		want string
	}{
		{"exec", p, false, `{"OciProcess":{"user":{"uid":0,"gid":0},"args":["sh","-c","true"],"env":["A="],"cwd":"/"},"CreateStdInPipe":true,"CreateStdOutPipe":true,"CreateStdErrPipe":true}`},
		{"init", p, true, `{"CreateStdInPipe":true,"CreateStdOutPipe":true,"CreateStdErrPipe":true}`},
		{"terminal", &specs.Process{Terminal: true}, true, `{"CreateStdInPipe":true,"CreateStdOutPipe":true}`},
	} {
		got, err := LinuxProcess(c.p, Streams{true, true, true}, c.init)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
	if _, err := LinuxProcess(nil, Streams{}, true); err == nil {
		t.Error("no process, no error")
	}
	if _, err := LinuxProcess(&specs.Process{}, Streams{}, false); err == nil || !strings.HasPrefix(err.Error(), "process.args: ") {
		t.Errorf("no arguments: %v", err)
	}
}
