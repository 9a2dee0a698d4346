package main

import "os/exec"

// together does nothing: a console's programs are one group already.
func together(*exec.Cmd) {}
