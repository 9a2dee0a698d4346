//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"wrun/tests/oci/cgroups"
)

// confinedCommand is the hidden argument of the process inside the namespaces.
const confinedCommand = "confined-process"

const cloneNewCgroup = 0x02000000

// confinedMain is process 1 of a test's namespaces: it prepares them, runs the
// test, reaps, and tells on fd 3 how it went and who is still alive.
func confinedMain() int {
	// Namespaces belong to threads: the test must be forked from this one.
	runtime.LockOSThread()
	syscall.CloseOnExec(3)
	answers := os.NewFile(3, "answers")
	answer, err := runConfinement()
	if err != nil {
		answer.Error = err.Error()
	}
	if err := json.NewEncoder(answers).Encode(answer); err != nil {
		return 1
	}
	// Standard input ends when the parent has thawed what was left frozen.
	io.Copy(io.Discard, os.Stdin)
	return 0
}

func runConfinement() (report, error) {
	orders := bufio.NewReader(os.Stdin)
	line, err := orders.ReadBytes('\n')
	if err != nil {
		return report{}, fmt.Errorf("read the order: %w", err)
	}
	var c confinement
	if err := json.Unmarshal(line, &c); err != nil {
		return report{}, err
	}
	if err := c.enter(); err != nil {
		return report{}, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return report{}, err
	}
	pid, err := syscall.ForkExec(c.Program, []string{c.Program}, &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "TMPDIR=" + filepath.Join(c.Private, privateTmp), "RUNTIME=" + filepath.Join(c.Private, privateRun)},
		Files: []uintptr{null.Fd(), 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return report{}, fmt.Errorf("start %s: %w", c.Program, err)
	}
	var r report
	timedOut := make(chan struct{})
	timer := time.AfterFunc(c.Timeout, func() {
		close(timedOut)
		syscall.Kill(pid, syscall.SIGKILL)
	})
	status, err := reap(pid)
	if !timer.Stop() {
		<-timedOut
		r.TimedOut = true
	}
	if err != nil {
		return r, err
	}
	r.Exit = status.ExitStatus()
	r.Left = settled()
	return r, nil
}

// settled answers who is still alive once those that are just ending have had
// the time to; nobody tells process 1 about processes that are not its children.
func settled() []string {
	deadline := time.Now().Add(500 * time.Millisecond)
	for {
		left := alive()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// reap collects every orphan until the test program itself has ended.
func reap(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		switch ended, err := syscall.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return status, fmt.Errorf("wait for the test: %w", err)
		case ended == pid:
			return status, nil
		}
	}
}

// enter makes the confinement: nothing that is mounted, made or changed from
// here on is seen outside.
func (c confinement) enter() error {
	steps := []struct {
		what string
		do   func() error
	}{
		{"keep mounts private", func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") }},
		{"root the cgroup namespace here", func() error { return syscall.Unshare(cloneNewCgroup) }},
		{"mount proc of this pid namespace", func() error {
			return syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
		}},
		{"mount cgroups", func() error { return cgroups.Mount(c.Cgroups) }},
		{"mount the private folder", func() error { return syscall.Mount("tmpfs", c.Private, "tmpfs", 0, "mode=755") }},
		{"fill the private folder", c.fill},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (c confinement) fill() error {
	for _, name := range []string{privateTmp, privateRoot} {
		if err := os.Mkdir(filepath.Join(c.Private, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(c.Private, privateRun), []byte(c.Wrapper), 0o755)
}
