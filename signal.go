package main

import (
	"fmt"
	"strconv"
	"strings"
)

// signalNames are Linux's on amd64, arm64, riscv64 and the other architectures
// with the generic numbers. They stand here and not in a table of the
// machine's: the signal is the container's, which may run on another OS.
var signalNames = [...]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE",
	9: "KILL", 10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT",
	17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN", 22: "TTOU", 23: "URG", 24: "XCPU",
	25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

const (
	rtmin = 34 // 32 and 33 belong to the C library
	rtmax = 64
)

// parseSignal reads a number or a name, with or without SIG, in any case.
// Which numbers are signals is the kernel's to say.
func parseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	switch name {
	case "":
		return 0, fmt.Errorf("unknown signal %q", s)
	case "IOT":
		name = "ABRT"
	case "POLL":
		name = "IO"
	case "CLD":
		name = "CHLD"
	}
	for n, known := range signalNames {
		if known == name {
			return n, nil
		}
	}
	if n, ok := realtime(name); ok {
		return n, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// realtime reads RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func realtime(name string) (int, bool) {
	n, base := 0, 0
	offset, ok := strings.CutPrefix(name, "RTMIN")
	if ok {
		base = rtmin
	} else if offset, ok = strings.CutPrefix(name, "RTMAX"); ok {
		base = rtmax
	} else {
		return 0, false
	}
	if offset != "" {
		var err error
		if n, err = strconv.Atoi(offset); err != nil || (offset[0] != '+' && offset[0] != '-') {
			return 0, false
		}
	}
	n += base
	return n, n >= rtmin && n <= rtmax
}
