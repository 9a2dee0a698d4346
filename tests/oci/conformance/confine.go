//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"wrun/tests/oci/cgroups"
)

// confinement is what the confined process is told: everything a test may
// touch is its own, and ends with its namespaces.
type confinement struct {
	Program string              // the test, absolute
	Dir     string              // its working directory
	Private string              // an empty folder; a tmpfs on it holds TMPDIR, the runtime's root and the wrapper
	Wrapper string              // text of the wrapper script
	Cgroups []cgroups.Hierarchy // mounted anew, rooted in the test's own cgroups
	Timeout time.Duration       // of the test program
}

const (
	privateTmp  = "tmp"  // TMPDIR
	privateRoot = "root" // the runtime's --root
	privateRun  = "wrapper"
)

// report is what the confined process answers.
type report struct {
	Error    string   // the confinement itself failed
	Exit     int      // of the test program
	TimedOut bool     //
	Left     []string // command lines of the processes still alive
}

var confinements atomic.Int64

// runConfined runs one test in mount, pid, ipc, uts and cgroup
// namespaces of its own. Mounts and processes end with the first process
// there, also if this one is killed. The network stays the machine's: the suite
// looks for an interface besides lo.
func runConfined(s subject, st suite, m machine, test string, timeout time.Duration) (r result, tap, diagnostics []byte, err error) {
	r = result{Test: test}
	private, err := os.MkdirTemp("", "wrun-oci-")
	if err != nil {
		return r, nil, nil, err
	}
	defer os.Remove(private)

	shown := m.hierarchies
	if s.PlainV1 {
		shown = m.plainV1()
	}
	t, err := cgroups.Make(m.hierarchies, fmt.Sprintf("%s%d-%d", cgroups.Prefix, os.Getpid(), confinements.Add(1)))
	if err != nil {
		return r, nil, nil, err
	}
	defer func() {
		if e := t.Remove(); e != nil && err == nil {
			err = e
		}
	}()
	order, err := json.Marshal(confinement{
		Program: filepath.Join(st.Dir, test), Dir: st.Dir, Private: private, Cgroups: shown, Timeout: timeout,
		Wrapper: s.wrapper(filepath.Join(private, privateRoot)),
	})
	if err != nil {
		return r, nil, nil, err
	}
	start := time.Now()
	answer, tap, diagnostics, err := startConfined(order, t, timeout)
	r.Took = time.Since(start)
	if err != nil {
		return r, tap, diagnostics, fmt.Errorf("%s for %s: %w", test, s.Name, err)
	}
	r.Exit, r.TimedOut, r.Left = answer.Exit, answer.TimedOut, answer.Left
	r.count(tap)
	return r, tap, diagnostics, nil
}

func startConfined(order []byte, t *cgroups.Tree, timeout time.Duration) (answer report, tap, diagnostics []byte, err error) {
	// The confined process lives no longer than the write end of its standard input.
	orders, write, err := os.Pipe()
	if err != nil {
		return answer, nil, nil, err
	}
	defer write.Close()
	read, answers, err := os.Pipe()
	if err != nil {
		orders.Close()
		return answer, nil, nil, err
	}
	defer read.Close()

	var stdout, stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe", confinedCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = orders, &stdout, &stderr
	cmd.ExtraFiles = []*os.File{answers}
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	err = cmd.Start()
	orders.Close()
	answers.Close()
	if err != nil {
		return answer, nil, nil, err
	}
	// The test's own time limit is kept inside; this one is for the confinement.
	stuck := time.AfterFunc(timeout+15*time.Second, func() { cmd.Process.Kill() })
	defer stuck.Stop()

	err = t.Enter(cmd.Process.Pid)
	if err == nil {
		_, err = write.Write(append(order, '\n'))
	}
	if err == nil {
		if e := json.NewDecoder(read).Decode(&answer); e != nil {
			err = fmt.Errorf("the confined process gave no answer: %w", e)
		} else if answer.Error != "" {
			err = fmt.Errorf("confine: %s", answer.Error)
		}
	}
	t.Thaw()
	write.Close()
	waited := cmd.Wait()
	if err == nil && waited != nil {
		err = fmt.Errorf("end the confined process: %w", waited)
	}
	return answer, stdout.Bytes(), stderr.Bytes(), err
}

// alive lists the processes of this pid namespace except this one by their
// command lines; zombies have ended.
func alive() []string {
	dir, err := os.ReadDir("/proc")
	if err != nil {
		return []string{"unknown: " + err.Error()}
	}
	var left []string
	for _, e := range dir {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// "pid (name) state …"; a name may hold anything, parentheses too.
		end := bytes.LastIndexByte(stat, ')')
		if end < 0 || end+2 >= len(stat) || stat[end+2] == 'Z' || stat[end+2] == 'X' {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(line) == 0 {
			line = stat[:end+1]
		}
		left = append(left, string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '})))
	}
	return left
}
