//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// together makes the program and its children one group that ends as one:
// `go test` alone would leave its test programs running.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
