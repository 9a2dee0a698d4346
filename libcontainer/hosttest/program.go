package hosttest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
)

// process is one program of a fake container: a goroutine that speaks
//
//	true | false | cat | sleep N | sh -c '<statement>; …'
//
// with the statements echo, exit, sleep, trap 'exit N' TERM, kill -N $$ and
// "while :; do …; done".
type process struct {
	sys   *system
	pid   int
	args  []string
	stdio libcontainer.Stdio

	mu   sync.Mutex
	trap int // exit code on TERM, -1 without a trap
	code int
	done chan struct{}
}

func (s *system) newProcess(pid int, p *specs.Process, io libcontainer.Stdio) *process {
	var args []string
	if p != nil {
		args = p.Args
	}
	return &process{sys: s, pid: pid, args: args, stdio: io, trap: -1, done: make(chan struct{})}
}

func (p *process) start() error {
	var script []string
	switch {
	case len(p.args) == 0:
		return fmt.Errorf("starting: no program")
	case p.args[0] == "sh" && len(p.args) == 3 && p.args[1] == "-c":
		script = strings.Split(p.args[2], ";")
	case slices.Contains([]string{"true", "false", "cat", "sleep"}, p.args[0]):
		script = []string{strings.Join(p.args, " ")}
	default:
		return fmt.Errorf("exec: %q: executable file not found in $PATH", p.args[0])
	}
	for i := range script {
		script[i] = strings.TrimSpace(script[i])
	}
	go func() { p.end(p.run(script)) }()
	return nil
}

// run executes statements until one ends the program, and returns its code.
func (p *process) run(script []string) int {
	code := 0
	for i := 0; i < len(script) && !p.ended(); i++ {
		p.thaw()
		switch word, rest, _ := strings.Cut(script[i], " "); word {
		case "true":
			code = 0
		case "false":
			code = 1
		case "exit":
			return number(rest)
		case "echo":
			if p.stdio.Out != nil {
				fmt.Fprintln(p.stdio.Out, rest)
			}
		case "cat":
			if p.stdio.In != nil && p.stdio.Out != nil {
				_, _ = io.Copy(p.stdio.Out, p.stdio.In)
			}
		case "sleep":
			seconds, _ := strconv.ParseFloat(rest, 64)
			select {
			case <-time.After(time.Duration(seconds * float64(time.Second))):
			case <-p.done:
			}
		case "trap": // trap 'exit N' TERM
			p.mu.Lock()
			p.trap = number(strings.Trim(strings.Fields(rest)[1], "'"))
			p.mu.Unlock()
		case "kill": // kill -N $$
			return 128 + number(strings.TrimPrefix(strings.Fields(rest)[0], "-"))
		case "while": // while :; do a; b; done
			body := slices.Clone(script[i+1 : slices.Index(script, "done")])
			body[0] = strings.TrimPrefix(body[0], "do ")
			for !p.ended() {
				code = p.run(body)
			}
		}
	}
	return code
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("hosttest: no number: " + s)
	}
	return n
}

// thaw returns when the container is not paused.
func (p *process) thaw() {
	p.sys.mu.Lock()
	pause := p.sys.pause
	p.sys.mu.Unlock()
	if pause == nil {
		return
	}
	select {
	case <-pause:
	case <-p.done:
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end is final at its first call.
func (p *process) end(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended() {
		p.code = code
		close(p.done)
	}
}

func (p *process) signal(sig int) error {
	if p == nil || p.ended() {
		return libcontainer.ErrNotRunning
	}
	p.mu.Lock()
	trap := p.trap
	p.mu.Unlock()
	switch {
	case sig == 0:
	case sig == 15 && trap >= 0:
		p.end(trap)
	default:
		p.end(128 + sig)
	}
	return nil
}

func (p *process) Pid() int             { return p.pid }
func (p *process) Signal(sig int) error { return p.signal(sig) }

func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
