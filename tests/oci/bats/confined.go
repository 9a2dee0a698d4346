//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"wrun/tests/oci/cgroups"
)

// confinedCommand is the hidden argument of the process inside the namespaces.
const confinedCommand = "confined-process"

const cloneNewCgroup = 0x02000000

// confinedMain is process 1 of a file's namespaces: it prepares them, runs
// bats, reaps, and tells on descriptor 4 how it went.
func confinedMain() int {
	// Namespaces belong to threads: bats must be forked from this one.
	runtime.LockOSThread()
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	orders, answers := os.NewFile(3, "orders"), os.NewFile(4, "answers")
	answer, err := runConfinement(bufio.NewReader(orders))
	if err != nil {
		answer.Error = err.Error()
	}
	if err := json.NewEncoder(answers).Encode(answer); err != nil {
		return 1
	}
	io.Copy(io.Discard, orders) // until what was left frozen is thawed
	return 0
}

func runConfinement(orders *bufio.Reader) (report, error) {
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
	argv := []string{"bats", "--tap"}
	if c.Filter != "" {
		argv = append(argv, "--filter", c.Filter)
	}
	argv = append(argv, filepath.Join(c.Suite, c.File+".bats"))
	bats, err := lookPath("bats")
	if err != nil {
		return report{}, err
	}
	pid, err := syscall.ForkExec(bats, argv, &syscall.ProcAttr{
		Dir: c.Suite,
		Env: []string{
			"PATH=" + filepath.Dir(c.standIn()) + ":" + os.Getenv("PATH"), "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
			"TMPDIR=" + c.tmp(), "RUNC=" + c.binary(),
		},
		Files: []uintptr{0, 1, 2},
		// In the foreground of the terminal: whoever reads it is not stopped.
		Sys: &syscall.SysProcAttr{Foreground: true, Ctty: 0},
	})
	if err != nil {
		return report{}, fmt.Errorf("start bats: %w", err)
	}
	var r report
	timedOut := make(chan struct{})
	timer := time.AfterFunc(c.Timeout, func() {
		close(timedOut)
		syscall.Kill(-1, syscall.SIGKILL) // all of this pid namespace but its first
	})
	status, err := reap(pid)
	if !timer.Stop() {
		<-timedOut
		r.TimedOut = true
	}
	r.Exit = status.ExitStatus()
	return r, err
}

func lookPath(name string) (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("no %s in PATH", name)
}

// reap collects every orphan until bats itself has ended.
func reap(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		switch ended, err := syscall.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return status, fmt.Errorf("wait for bats: %w", err)
		case ended == pid:
			return status, nil
		}
	}
}

func (c confinement) tmp() string { return filepath.Join(c.Private, "tmp") }

// binary is the runtime under test. One test of the suite looks for "/runc" in
// command lines, so that is its name.
func (c confinement) binary() string { return filepath.Join(c.Private, "bin", "runc") }

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
		{"a /dev of its own", c.devices},
		{"a /run of its own", func() error { return syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755") }},
		// One of the suite's hooks writes below the working directory of the
		// runtime under test, whatever that is.
		{"keep the machine's files", func() error {
			return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
		}},
		// The suite's mounts are slaves or shared ones of its own making.
		{"share mounts among themselves", func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "") }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// devices lays a changeable copy over /dev: runtimes give a container's standard
// streams to its user, and those may be the machine's /dev/null.
func (c confinement) devices() error {
	upper, workdir := filepath.Join(c.Private, "dev"), filepath.Join(c.Private, "dev.work")
	for _, dir := range []string{upper, workdir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	pts, err := syscall.Open("/dev/pts", syscall.O_DIRECTORY|syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(pts)
	if err := syscall.Mount("overlay", "/dev", "overlay", 0, "lowerdir=/dev,upperdir="+upper+",workdir="+workdir); err != nil {
		return err
	}
	if err := syscall.Mount(fmt.Sprintf("/proc/self/fd/%d", pts), "/dev/pts", "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777")
}

// standIn is where programs lie that stand in for what a machine lacks.
func (c confinement) standIn() string { return filepath.Join(c.Private, "standin", "ip") }

// withoutDummy is an ip(8) for kernels without dummy devices, which the suite
// moves about and asks nothing of: a tap device serves as well.
const withoutDummy = `#!/bin/sh
PATH=${PATH#*:}
case "$*" in
"link add "*" type dummy") exec ip tuntap add dev "$3" mode tap ;;
esac
exec ip "$@"
`

func (c confinement) fill() error {
	if err := os.Mkdir(filepath.Dir(c.standIn()), 0o755); err != nil {
		return err
	}
	if exec.Command("ip", "link", "add", "probe", "type", "dummy").Run() != nil {
		if err := os.WriteFile(c.standIn(), []byte(withoutDummy), 0o755); err != nil {
			return err
		}
	} else if err := exec.Command("ip", "link", "del", "probe").Run(); err != nil {
		return err
	}
	if _, err := exec.LookPath("udevadm"); err != nil {
		// It is asked to wait for udev, which does not run here.
		if err := os.WriteFile(filepath.Join(filepath.Dir(c.standIn()), "udevadm"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{c.tmp(), filepath.Dir(c.binary())} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(c.Runtime)
	if err != nil {
		return err
	}
	return os.WriteFile(c.binary(), data, 0o755)
}
