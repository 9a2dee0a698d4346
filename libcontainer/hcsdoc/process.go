package hcsdoc

import (
	"math"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file makes ProcessParameters, what HcsCreateProcess takes.

// Streams says which standard streams a process gets pipes for.
type Streams struct{ In, Out, Err bool }

type processParameters struct {
	CommandLine      string            `json:",omitempty"`
	User             string            `json:",omitempty"`
	WorkingDirectory string            `json:",omitempty"`
	Environment      map[string]string `json:",omitempty"`
	EmulateConsole   bool              `json:",omitempty"`
	CreateStdInPipe  bool              `json:",omitempty"`
	CreateStdOutPipe bool              `json:",omitempty"`
	CreateStdErrPipe bool              `json:",omitempty"`
	ConsoleSize      []uint            `json:",omitempty"` // height, width
}

type linuxParameters struct {
	OciProcess       *specs.Process `json:",omitempty"`
	CreateStdInPipe  bool           `json:",omitempty"`
	CreateStdOutPipe bool           `json:",omitempty"`
	CreateStdErrPipe bool           `json:",omitempty"`
}

// Process is the ProcessParameters of a Windows process, the same in schema v1
// and v2. A console has no stderr of its own, so a terminal gets no pipe for it.
func Process(p *specs.Process, stdio Streams) ([]byte, error) {
	if p == nil {
		return nil, errNoProcess
	}
	out := &processParameters{
		CommandLine: p.CommandLine, User: p.User.Username, WorkingDirectory: p.Cwd,
		EmulateConsole:  p.Terminal,
		CreateStdInPipe: stdio.In, CreateStdOutPipe: stdio.Out, CreateStdErrPipe: stdio.Err && !p.Terminal,
	}
	var err error
	if out.CommandLine == "" {
		// "commandLine … takes precedence over args": config.md, Process.
		if len(p.Args) == 0 {
			return nil, bad("process.args", "is empty, and there is no process.commandLine")
		}
		if out.CommandLine, err = CommandLine(p.Args); err != nil {
			return nil, err
		}
	}
	for _, t := range []struct{ at, text string }{{"commandLine", p.CommandLine}, {"cwd", p.Cwd}, {"user.username", p.User.Username}} {
		if strings.IndexByte(t.text, 0) >= 0 {
			return nil, bad("process."+t.at, "%q has a zero byte", t.text)
		}
	}
	if out.Environment, err = environment(p.Env); err != nil {
		return nil, err
	}
	// "Runtimes MUST ignore consoleSize if terminal is false or unset".
	if out.ConsoleSize, err = consoleSize(p); err != nil {
		return nil, err
	}
	return encode(out)
}

func consoleSize(p *specs.Process) ([]uint, error) {
	if !p.Terminal || p.ConsoleSize == nil {
		return nil, nil
	}
	s := p.ConsoleSize
	switch {
	case s.Height > math.MaxInt16:
		return nil, bad("process.consoleSize.height", "%d is more than a console's %d", s.Height, math.MaxInt16)
	case s.Width > math.MaxInt16:
		return nil, bad("process.consoleSize.width", "%d is more than a console's %d", s.Width, math.MaxInt16)
	case s.Height == 0 || s.Width == 0:
		return nil, nil // containerd writes 0 by 0 where it knows no size
	}
	return []uint{s.Height, s.Width}, nil
}

// environment: names are the same whatever their case, and the last of several
// wins. An empty value is a value. Windows has names that begin with an equals
// sign, such as =C: for the current folder of a drive.
func environment(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	env := make(map[string]string, len(list))
	spelled := make(map[string]string, len(list))
	for i, e := range list {
		at := index("process.env", i, "")
		if strings.IndexByte(e, 0) >= 0 {
			return nil, bad(at, "%q has a zero byte", e)
		}
		eq := -1
		if e != "" {
			eq = strings.IndexByte(e[1:], '=') + 1
		}
		if eq < 1 {
			return nil, bad(at, "%q is not of the form NAME=value", e)
		}
		name := e[:eq]
		folded := strings.ToUpper(name)
		delete(env, spelled[folded])
		env[name], spelled[folded] = e[eq+1:], name
	}
	return env, nil
}

// LinuxProcess is what HcsCreateProcess takes for a process of a hosted Linux
// container. The guest has the first one's from the container's own document,
// so init sends pipes only.
func LinuxProcess(p *specs.Process, stdio Streams, init bool) ([]byte, error) {
	if p == nil {
		return nil, errNoProcess
	}
	out := &linuxParameters{CreateStdInPipe: stdio.In, CreateStdOutPipe: stdio.Out, CreateStdErrPipe: stdio.Err && !p.Terminal}
	if !init {
		if len(p.Args) == 0 {
			return nil, bad("process.args", "is empty")
		}
		out.OciProcess = p
	}
	return encode(out)
}
