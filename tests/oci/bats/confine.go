//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"wrun/tests/oci/cgroups"
)

// confinement is what the confined process is told.
type confinement struct {
	Suite   string // tests/integration
	File    string // without .bats
	Filter  string
	Runtime string              // the binary under test
	Private string              // an empty folder; a tmpfs on it holds TMPDIR and the runtime
	Cgroups []cgroups.Hierarchy // mounted anew, rooted in the file's own cgroups
	Timeout time.Duration
}

// report is what the confined process answers.
type report struct {
	Error    string // the confinement itself failed
	Exit     int    // of bats
	TimedOut bool
}

const privatePrefix = "wrun-bats-"

var confinements atomic.Int64

// runFile runs one file in mount, pid, ipc, uts, network and cgroup namespaces
// of its own: mounts, processes and network devices end with the first process
// there, also if this one is killed. The suite's tests use fixed cgroup names,
// freeze what they made and mount below their TMPDIR; nothing of that may reach
// the machine, whose /proc and /sys an `rm -rf` would otherwise walk into.
func runFile(o options, m machine, s subject, file string) (r result, text []byte, err error) {
	private, err := os.MkdirTemp("", privatePrefix)
	if err != nil {
		return r, nil, err
	}
	defer os.Remove(private)
	t, err := cgroups.Make(m.hierarchies, fmt.Sprintf("%s%d-%d", cgroups.Prefix, os.Getpid(), confinements.Add(1)))
	if err != nil {
		return r, nil, err
	}
	defer func() { err = errors.Join(err, t.Remove()) }()
	if file == "update" {
		// The one file about realtime limits: a new cgroup has no share of them.
		t.Realtime(900000)
	}
	order, err := json.Marshal(confinement{
		Suite: o.suite, File: file, Filter: o.filter, Runtime: s.path,
		Private: private, Cgroups: m.shown, Timeout: o.timeout,
	})
	if err != nil {
		return r, nil, err
	}
	answer, text, err := startConfined(order, t, o.timeout)
	r = readTAP(text)
	r.exit, r.timedOut = answer.Exit, answer.TimedOut
	return r, text, err
}

func startConfined(order []byte, t *cgroups.Tree, timeout time.Duration) (answer report, text []byte, err error) {
	// The confined process lives no longer than the write end of its orders.
	orders, write, err := os.Pipe()
	if err != nil {
		return answer, nil, err
	}
	defer write.Close()
	read, answers, err := os.Pipe()
	if err != nil {
		orders.Close()
		return answer, nil, err
	}
	defer read.Close()
	// The suite asks for /dev/tty. A terminal of its own, and nobody types.
	master, slave, err := openTerminal()
	if err != nil {
		orders.Close()
		answers.Close()
		return answer, nil, err
	}
	defer master.Close()
	go io.Copy(io.Discard, master)

	var output bytes.Buffer
	cmd := exec.Command("/proc/self/exe", confinedCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, &output, &output
	cmd.ExtraFiles = []*os.File{orders, answers}
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Setctty: true, Ctty: 0,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET,
	}
	err = cmd.Start()
	orders.Close()
	answers.Close()
	slave.Close()
	if err != nil {
		return answer, nil, err
	}
	// The file's own time limit is kept inside; this one is for the confinement.
	stuck := time.AfterFunc(timeout+15*time.Second, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	if err = t.Enter(cmd.Process.Pid); err == nil {
		_, err = write.Write(append(order, '\n'))
	}
	if err == nil {
		if e := json.NewDecoder(read).Decode(&answer); e != nil {
			err = fmt.Errorf("the confined process gave no answer: %w", e)
		} else if answer.Error != "" {
			err = fmt.Errorf("confine: %s", answer.Error)
		}
	}
	t.Thaw() // a frozen process cannot be killed
	write.Close()
	if waited := cmd.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("end the confined process: %w", waited)
	}
	return answer, output.Bytes(), err
}

// openTerminal makes a pseudo terminal.
func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	var number, unlocked uint32
	for _, call := range []struct {
		request uintptr
		arg     *uint32
	}{{syscall.TIOCSPTLCK, &unlocked}, {syscall.TIOCGPTN, &number}} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), call.request, uintptr(unsafe.Pointer(call.arg))); e != 0 {
			master.Close()
			return nil, nil, e
		}
	}
	if slave, err = os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(int(number))), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		master.Close()
	}
	return master, slave, err
}
