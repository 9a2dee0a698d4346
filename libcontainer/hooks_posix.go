//go:build unix && !linux

package libcontainer

import "syscall"

// dieWithUs has nothing to use: the death signal is Linux's.
func dieWithUs(*syscall.SysProcAttr) {}
