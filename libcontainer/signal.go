package libcontainer

import (
	"fmt"
	"strconv"
	"strings"
)

// This file is pure: what a caller calls a signal, as the number that the
// container's operating system has for it.

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

// The console control events of Windows and, beside them, the number that ends
// a process there as SIGKILL does on Linux.
const (
	CtrlC        = 0
	CtrlBreak    = 1
	CtrlClose    = 2
	CtrlLogOff   = 5
	CtrlShutdown = 6
	Terminate    = 9
)

// ParseSignal reads a signal as a container of operating system os has it: a
// number or a name, with or without SIG, in any case.
func ParseSignal(os, s string) (int, error) {
	if os == "windows" {
		return windowsSignal(s)
	}
	return linuxSignal(s)
}

// signalSomewhere refuses what is a signal on no operating system. runc tells
// a signal nobody knows before it looks for the container.
func signalSomewhere(s string) error {
	if _, err := windowsSignal(s); err == nil {
		return nil
	}
	_, err := linuxSignal(s)
	return err
}

// windowsSignal knows what runhcs knows, whose callers send numbers of console
// control events; 15 is every engine's word for a friendly end. INT is what a
// person means by Ctrl-C.
func windowsSignal(s string) (int, error) {
	switch strings.TrimPrefix(strings.ToUpper(s), "SIG") {
	case "CTRLC", "INT", "0":
		return CtrlC, nil
	case "CTRLBREAK", "1":
		return CtrlBreak, nil
	case "CTRLCLOSE", "2":
		return CtrlClose, nil
	case "CTRLLOGOFF", "5":
		return CtrlLogOff, nil
	case "CTRLSHUTDOWN", "TERM", "6", "15":
		return CtrlShutdown, nil
	case "KILL", "9":
		return Terminate, nil
	}
	return 0, WithHint(fmt.Errorf("unknown signal %q for a Windows container", s),
		"TERM, KILL, INT, CTRLC, CTRLBREAK, CTRLCLOSE, CTRLLOGOFF, CTRLSHUTDOWN or their numbers 6, 9, 0, 0, 1, 2, 5, 6")
}

// linuxSignal leaves it to the kernel which numbers are signals.
func linuxSignal(s string) (int, error) {
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
