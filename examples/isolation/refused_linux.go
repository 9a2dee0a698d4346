package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// pipe: a socket of the host's is a named pipe in the container.
func (p *pair) pipe(ctx context.Context) error {
	const what = "named pipe of the host"
	socket := filepath.Join(p.shared, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	go echo(listener)
	asks := func(s *specs.Spec) {
		s.Process.CommandLine = `C:\probe.exe talk demo hello`
		s.Mounts = []specs.Mount{{Source: socket, Destination: `\\.\pipe\demo`}}
	}
	b, err := p.newBox(p.kind, "pipe", asks)
	if err != nil {
		return err
	}
	fmt.Printf("$ wrun run --bundle %s %s\n", filepath.Base(b.dir), b.id)
	with, _, err := p.output(ctx, "run", "--bundle", b.dir, b.id)
	if err != nil {
		return err
	}
	show(with)
	without, err := p.plain.exec(ctx, `C:\probe.exe`, "talk", "demo", "hello")
	if err != nil {
		return err
	}
	p.prove(p.kind, what, strings.TrimSpace(with) == "heard hello" && strings.HasPrefix(without, "open the pipe: error 2"), "answers when asked for, else absent")
	return nil
}

// echo serves the pipe's other end until the listener is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, 100)
		n, _ := c.Read(buf) // a program that asks nothing hears nothing
		_, _ = io.WriteString(c, "heard "+string(buf[:n]))
		c.Close()
	}
}

// refused: what neither Windows nor wrun lets through is an error before anything
// runs.
func (p *pair) refused(ctx context.Context) error {
	say("What cannot be shared is refused before anything runs.")
	object := func(name string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Source: p.shared, Destination: `\\?\GLOBALROOT\BaseNamedObjects\` + name}}
		}
	}
	for _, r := range []struct {
		what, name, word string
		edit             func(*specs.Spec)
	}{
		{"device class", "device", "windows.devices[0]", func(s *specs.Spec) {
			s.Windows.Devices = []specs.WindowsDevice{{ID: "5B45201D-F2F2-4F3B-85BB-30FF1F953599", IDType: "class"}}
		}},
		{"shared memory", "memory", "shared memory", object("memory")},
		{"shared events and mutexes", "event", "events", object("event")},
		{"processes of the host", "processes", "process namespaces cannot be shared", func(s *specs.Spec) {
			s.Annotations = map[string]string{"microsoft.com/hostprocess-container": "true"}
		}},
	} {
		if err := p.refuse(ctx, r.what, r.name, r.edit, r.word); err != nil {
			return err
		}
	}
	return nil
}

// refuse proves that a bundle is refused with a word of its reason, and nothing of it
// is left.
func (p *pair) refuse(ctx context.Context, what, name string, edit func(*specs.Spec), word string) error {
	b, err := p.newBox(p.kind, name, edit)
	if err != nil {
		return err
	}
	fmt.Printf("$ wrun create --bundle %s %s\n", filepath.Base(b.dir), b.id)
	out, code, err := p.output(ctx, "create", "--bundle", b.dir, b.id)
	if err != nil {
		return err
	}
	show(out)
	_, after, err := p.output(ctx, "state", b.id)
	if err != nil {
		return err
	}
	p.prove(p.kind, what, code != 0 && after != 0 && strings.Contains(out, word), "refused, with the reason")
	return nil
}
