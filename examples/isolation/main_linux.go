// Command isolation is the experiment of Microsoft's "Isolation Modes" on a Linux
// host: one Windows bundle, run in a silo and in a utility VM. It shows what each
// lists, proves each thing that is isolated, opens each hole that a bundle can ask
// for, and ends with a table of what it has measured; with exit code 1 if a line of
// it is not as it should be. `make demo` builds what it needs and calls it, in a mount
// namespace whose mounts are shared: a pod's VM sees a later member's only there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The two kinds of isolation, as columns of the table.
const (
	silo = iota
	vm
)

var kinds = [...]string{"silo", "utility VM"}

// port is one that hardly anybody listens at.
const port = "47080"

// experiment is one run.
type experiment struct {
	wrun  string
	work  string // directory of this run, removed at its end
	layer string // with probe.exe, the topmost layer of each bundle
	tag   string // begins the ids of containers and names of namespaces
	boxes []*box
	lines []*line
}

// line is one of the table.
type line struct {
	what  string
	cells [2]string
	good  [2]bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("containers need root: sudo make demo")
	}
	begin := time.Now()
	e := &experiment{wrun: "bin/wrun", tag: fmt.Sprintf("wrun-demo-%d", os.Getpid())}
	if w := os.Getenv("WRUN"); w != "" {
		e.wrun = w
	}
	if e.work, err = os.MkdirTemp("", "wrun-demo-"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, e.cleanUp())
		if err == nil {
			fmt.Printf("\nAll %d lines are as they should be, in %.0f s; nothing is left.\n", len(e.lines), time.Since(begin).Seconds())
		}
	}()
	if err := e.prepare(ctx); err != nil {
		return err
	}
	for kind := range kinds {
		if err := e.observe(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kinds[kind], err)
		}
	}
	return e.table()
}

// prepare makes the layer of all bundles.
func (e *experiment) prepare(ctx context.Context) error {
	e.layer = filepath.Join(e.work, "layer")
	if err := errors.Join(os.Chmod(e.work, 0o755), os.Mkdir(e.layer, 0o755)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "x86_64-w64-mingw32-gcc", "-municode", "-O2", "-s", "-o", filepath.Join(e.layer, "probe.exe"),
		"tests/winebundle/probe/probe.c", "-lws2_32", "-ladvapi32")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build probe.exe in the repository's directory: %w: %s", err, out)
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n# "+format+"\n", args...) }

// show prints what a program said.
func show(text string) {
	for l := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Println("  " + strings.TrimRight(l, "\r\n"))
	}
}

// prove records a measured line and whether it is as it should be.
func (e *experiment) prove(kind int, what string, good bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	var l *line
	for _, known := range e.lines {
		if known.what == what {
			l = known
		}
	}
	if l == nil {
		l = &line{what: what}
		e.lines = append(e.lines, l)
	}
	mark := "ok"
	if !good {
		mark, text = "BAD", "NOT SO: "+text
	}
	l.cells[kind], l.good[kind] = text, good
	fmt.Printf("  => %s: %s [%s]\n", what, text, mark)
}

// table prints all lines, and fails if one has a cell that is wrong or was never
// measured.
func (e *experiment) table() error {
	wide := [2]int{len("what"), len(kinds[silo])}
	for _, l := range e.lines {
		wide[0], wide[1] = max(wide[0], len(l.what)), max(wide[1], len(l.cells[silo]))
	}
	row := func(mark, a, b, c string) { fmt.Printf("%-4s %-*s  %-*s  %s\n", mark, wide[0], a, wide[1], b, c) }
	fmt.Println()
	row("", "what", kinds[silo], kinds[vm])
	row("", strings.Repeat("-", wide[0]), strings.Repeat("-", wide[1]), strings.Repeat("-", 40))
	bad := 0
	for _, l := range e.lines {
		mark := "ok"
		if !l.good[silo] || !l.good[vm] {
			mark = "BAD"
			bad++
		}
		row(mark, l.what, l.cells[silo], l.cells[vm])
	}
	if bad > 0 || len(e.lines) == 0 {
		return fmt.Errorf("%d of %d lines are not as they should be", bad, len(e.lines))
	}
	return nil
}
