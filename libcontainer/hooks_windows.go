package libcontainer

import "os/exec"

// ownGroup leaves cmd as it is: config.md has hooks for POSIX platforms only.
func ownGroup(*exec.Cmd) {}

func pidInside(pid int) int { return pid }
