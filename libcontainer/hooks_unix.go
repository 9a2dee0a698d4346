//go:build unix

package libcontainer

import (
	"bytes"
	"os/exec"
	"strconv"
	"syscall"
)

// ownGroup makes cmd lead a process group and cancelling end the whole group:
// a hook that is a shell script has children.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// pidInside is the process id that pid has in its own pid namespace: the last
// of "NSpid:" in its status file (proc(5)).
func pidInside(pid int) int {
	data, err := readFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return pid
	}
	for line := range bytes.Lines(data) {
		if list, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			if ids := bytes.Fields(list); len(ids) > 0 {
				if n, err := strconv.Atoi(string(ids[len(ids)-1])); err == nil {
					return n
				}
			}
		}
	}
	return pid
}
