package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// patience is for one call of wrun; a start under translation takes 10 s.
const patience = 2 * time.Minute

// box is a container.
type box struct {
	e    *experiment
	id   string
	dir  string // bundle
	spec *specs.Spec
	outs int
}

// newBox is the bundle of all containers; what edit asks for is all that differs.
func (e *experiment) newBox(kind int, name string, edit func(*specs.Spec)) (*box, error) {
	b := &box{e: e, id: e.tag + "-" + strings.ReplaceAll(kinds[kind], " ", "-") + "-" + name}
	b.dir = filepath.Join(e.work, b.id)
	b.spec = &specs.Spec{
		Version:  specs.Version,
		Hostname: name,
		Root:     &specs.Root{},
		Process:  &specs.Process{Cwd: `C:\`, CommandLine: "ping -n 1000 localhost"},
		Windows:  &specs.Windows{LayerFolders: []string{e.layer, filepath.Join(b.dir, "scratch")}},
	}
	if kind == vm {
		b.spec.Windows.HyperV = &specs.WindowsHyperV{}
	}
	if edit != nil {
		edit(b.spec)
	}
	data, err := json.MarshalIndent(b.spec, "", " ")
	if err == nil {
		err = os.Mkdir(b.dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "config.json"), data, 0o644)
	}
	e.boxes = append(e.boxes, b)
	return b, err
}

// call runs wrun. What it and its program print goes to a file: a container keeps
// create's streams, and a pipe would be waited for.
func (e *experiment) call(ctx context.Context, out *os.File, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.wrun, append([]string{"--root", filepath.Join(e.work, "state"), "--log", filepath.Join(e.work, "log")}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// output is call with what was printed, without carriage returns. An exit code is
// part of the answer, not an error of the experiment's.
func (e *experiment) output(ctx context.Context, args ...string) (string, int, error) {
	f, err := os.CreateTemp(e.work, "out-")
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	err = e.call(ctx, f, args...)
	code := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		code, err = failed.ExitCode(), nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("wrun %q: %w", args, err)
	}
	data, err := os.ReadFile(f.Name())
	return strings.ReplaceAll(string(data), "\r\n", "\n"), code, err
}

// up creates and starts the container.
func (b *box) up(ctx context.Context) error {
	f, err := os.Create(filepath.Join(b.dir, "out"))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, args := range [][]string{{"create", "--bundle", b.dir, b.id}, {"start", b.id}} {
		if err := b.e.call(ctx, f, args...); err != nil {
			said, _ := os.ReadFile(f.Name())
			return fmt.Errorf("wrun %s %s: %w: %s", args[0], b.id, err, said)
		}
	}
	return nil
}

// exec runs a further program and returns what it says.
func (b *box) exec(ctx context.Context, args ...string) (string, error) {
	fmt.Printf("$ wrun exec %s %s\n", b.id, strings.Join(args, " "))
	out, _, err := b.e.output(ctx, append([]string{"exec", b.id}, args...)...)
	show(out)
	return out, err
}

// keep starts a further program that goes on running, and returns its first words.
func (b *box) keep(ctx context.Context, args ...string) (string, error) {
	fmt.Printf("$ wrun exec --detach %s %s\n", b.id, strings.Join(args, " "))
	b.outs++
	f, err := os.Create(filepath.Join(b.dir, "out"+strconv.Itoa(b.outs)))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := b.e.call(ctx, f, append([]string{"exec", "--detach", b.id}, args...)...); err != nil {
		said, _ := os.ReadFile(f.Name())
		return "", fmt.Errorf("wrun exec %q: %w: %s", args, err, said)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(f.Name())
		if err != nil || bytes.Contains(data, []byte("\n")) {
			show(string(data))
			return strings.TrimSpace(string(data)), err
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return "", fmt.Errorf("%q says nothing", args)
		}
	}
}

// pid is the host's process that stands for the container.
func (b *box) pid(ctx context.Context) (int, error) {
	out, _, err := b.e.output(ctx, "state", b.id)
	if err != nil {
		return 0, err
	}
	var s specs.State
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return 0, fmt.Errorf("state of %s: %w: %s", b.id, err, out)
	}
	return s.Pid, nil
}

// cleanUp leaves the machine as it was, and says what it could not remove.
func (e *experiment) cleanUp() error {
	// With a context of its own: the experiment's may have ended.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var all error
	for i := len(e.boxes) - 1; i >= 0; i-- { // a pod's sandbox last
		if out, code, err := e.output(ctx, "delete", "--force", e.boxes[i].id); err != nil {
			all = errors.Join(all, err)
		} else if code != 0 {
			all = errors.Join(all, fmt.Errorf("delete %s: %s", e.boxes[i].id, out))
		}
	}
	all = errors.Join(all, e.removeNetworks(ctx))
	left, err := os.ReadDir(filepath.Join(e.work, "state"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		all = errors.Join(all, err)
	}
	for _, f := range left {
		all = errors.Join(all, fmt.Errorf("%s is left of the containers", f.Name()))
	}
	if all != nil {
		return all // for whoever looks
	}
	return os.RemoveAll(e.work)
}
