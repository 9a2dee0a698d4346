package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"wrun/tests/hcsemu/build"
)

// Patience bounds every call: none of them may hang. A call takes 0.1 s, one
// that boots an emulated utility VM 1 s, on an idle machine.
const Patience = 90 * time.Second

// Call is a Windows program about to run in a prefix.
type Call struct {
	Program string   // C:\…, or a name that Windows finds
	Args    []string // as the program shall see them
	Dir     string   // working directory, "" is C:\
	Env     []string // added to the prefix's
	Stdin   string   // text, or with StdinFile the path of a file on the Linux side
	File    bool     // Stdin names a file
	Limit   time.Duration
}

// Result is how a call ended.
type Result struct {
	Code   int    // Linux sees eight bits of it; -1 when a signal ended the call
	Stdout string // what had been written when the call ended
	Stderr string
	Took   time.Duration

	end      string // the kernel's words for it: "signal: killed" where Code is -1
	wine     string // stderr as it was, if somebody else wrote to it, too
	out, err string // the files: a container keeps writing to them
}

// Later is what stands on stdout by now.
func (r *Result) Later() string { return readAll(r.out) }

// LaterErr is what stands on stderr by now.
func (r *Result) LaterErr() string { return withoutWine(readAll(r.err)) }

func (r Result) String() string {
	text := fmt.Sprintf("exit code %d (%s)\nstdout: %s\nstderr: %s", r.Code, r.end, r.Stdout, r.Stderr)
	if r.wine != "" {
		text += "\nall of stderr: " + r.wine
	}
	return text
}

func readAll(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

var callNumber atomic.Int64

// Run makes the call and waits for its end. Its standard streams are files in
// scratch, a directory of Linux: descriptor 2 of a Wine program stays with all
// that descend from it, and a pipe would be waited for as long as they live.
func (p *Prefix) Run(scratch string, c Call) (Result, error) {
	running, err := p.Start(scratch, c)
	if err != nil {
		return Result{}, err
	}
	return running.Wait()
}

// Running is a call that has not ended.
type Running struct {
	cmd    *exec.Cmd
	call   Call
	cancel context.CancelFunc
	ctx    context.Context
	begin  time.Time
	files  []*os.File
	result Result
}

// Start makes the call and does not wait.
func (p *Prefix) Start(scratch string, c Call) (*Running, error) {
	if c.Limit == 0 {
		c.Limit = Patience
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Limit)
	r := &Running{call: c, ctx: ctx, cancel: cancel, begin: time.Now()}
	base := filepath.Join(scratch, fmt.Sprintf("call-%d", callNumber.Add(1)))
	r.result.out, r.result.err = base+".out", base+".err"
	argv := build.Fixed(append([]string{"wine", c.Program}, c.Args...)...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(p.Environment(), c.Env...)
	cmd.Dir = filepath.Join(p.Dir, "drive_c")
	if c.Dir != "" {
		cmd.Dir = p.Unix(c.Dir)
	}
	var err error
	open := func(name string, flags int) (f *os.File) {
		if err == nil {
			if f, err = os.OpenFile(name, flags, 0o600); err == nil {
				r.files = append(r.files, f)
			}
		}
		return f
	}
	in := c.Stdin
	if !c.File {
		in = base + ".in"
		err = os.WriteFile(in, []byte(c.Stdin), 0o600)
	}
	cmd.Stdin = open(in, os.O_RDONLY)
	// Appending, as a shell's >>: several processes write to one file.
	cmd.Stdout = open(r.result.out, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	cmd.Stderr = open(r.result.err, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err == nil {
		err = cmd.Start()
	}
	r.cmd = cmd
	if err != nil {
		r.close()
		return nil, fmt.Errorf("%s %s: %w", c.Program, strings.Join(c.Args, " "), err)
	}
	return r, nil
}

func (r *Running) close() {
	r.cancel()
	for _, f := range r.files {
		f.Close()
	}
}

// Wait is to be called once. Its error says that the call was not made or took
// too long; whatever the program says and returns is in the Result.
func (r *Running) Wait() (Result, error) {
	err := r.cmd.Wait()
	late := r.ctx.Err() != nil
	r.close()
	r.result.Took = time.Since(r.begin)
	said := readAll(r.result.err)
	r.result.Stdout, r.result.Stderr = readAll(r.result.out), withoutWine(said)
	if said != r.result.Stderr {
		r.result.wine = said
	}
	r.result.Code, r.result.end = r.cmd.ProcessState.ExitCode(), r.cmd.ProcessState.String()
	if late {
		return r.result, fmt.Errorf("%s %s: still running after %v: %s", r.call.Program, strings.Join(r.call.Args, " "), r.call.Limit, r.result)
	}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		return r.result, err
	}
	return r.result, nil
}

// withoutWine drops what others than the program have to say on descriptor 2:
// Wine, when a process ends while another of its threads still asks the
// wineserver something, and Go's coverage counters, when two processes end at
// once.
func withoutWine(text string) string {
	var kept strings.Builder
	ended := false // the counters' words, at whose end may be an empty line
	for line := range strings.Lines(text) {
		switch coverage := strings.HasPrefix(line, "error: coverage "); {
		case coverage, strings.HasPrefix(line, "wine client error:"), ended && strings.TrimSpace(line) == "":
			ended = coverage
		default:
			ended = false
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// Kill ends the program as TerminateProcess does: Wine ends with its Linux
// process.
func (r *Running) Kill() { _ = r.cmd.Process.Kill() }
