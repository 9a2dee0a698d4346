// Command all runs everything of wrun's tests that this machine can run, one
// stage after the other, and says at the end what failed, what was skipped and
// why. `make test` is this program; the exit code is 0 only if nothing failed.
//
// It owns which stages there are (stages.go), reading `go test -json`
// (results.go) and the report (report.go). It knows nothing of what the tests
// assert.
//
//	go run ./tests/all                 everything
//	go run ./tests/all -stage unit     the stages whose name contains this
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("stage", "", "run only the stages whose `name` contains this")
	limit := flag.Duration("limit", 25*time.Minute, "time for everything; what does not end in it has failed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	ok := runAll(ctx, *only)
	cancel()
	stop()
	if !ok {
		os.Exit(1)
	}
}

func runAll(ctx context.Context, only string) bool {
	begin := time.Now()
	stages, err := findStages(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		return false
	}
	r := &report{out: os.Stdout}
	for _, s := range stages {
		if !strings.Contains(s.name, only) || s.long && s.name != only {
			continue
		}
		if s.skip != "" {
			r.skipStage(s)
			continue
		}
		r.beginStage(s)
		since := time.Now()
		err := s.run(ctx, r)
		r.endStage(s, time.Since(since), err)
	}
	if r.ran == 0 {
		fmt.Fprintf(os.Stderr, "tests: no stage is named like %q\n", only)
		return false
	}
	return r.conclude(time.Since(begin))
}

// run starts the stage's program. What `go test -json` prints is read, any
// other program's output goes to the terminal as it is.
func (s *stage) run(ctx context.Context, r *report) error {
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = os.Stderr
	together(cmd)
	cmd.WaitDelay = 20 * time.Second
	if !s.tests {
		cmd.Stdout = os.Stdout
		return cmd.Run()
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	read := readEvents(events, r.packageDone)
	if err := cmd.Wait(); err != nil {
		return err
	}
	return read
}
