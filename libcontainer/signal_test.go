package libcontainer

import (
	"strings"
	"testing"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{
		"9": 9, "99": 99, "0": 0, "TERM": 15, "SIGTERM": 15, "sigterm": 15, "Hup": 1, "KILL": 9, "SIGSYS": 31,
		"IOT": 6, "POLL": 29, "CLD": 17, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "rtmax": 64,
	} {
		if n, err := ParseSignal("linux", s); err != nil || n != want {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "SIG", "NOSUCH", "SIGSIGTERM", "9x", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN3"} {
		if n, err := ParseSignal("linux", s); err == nil {
			t.Errorf("ParseSignal(%q) = %d, want an error", s, n)
		} else if want := `unknown signal "` + s + `"`; err.Error() != want {
			t.Errorf("ParseSignal(%q): %v, want %s", s, err, want)
		}
	}
}

// The table of runhcs, whose callers wrun has to serve, and the two names that
// everybody knows.
func TestParseWindowsSignal(t *testing.T) {
	for s, want := range map[string]int{
		"CTRLC": CtrlC, "SIGCTRLC": CtrlC, "0": CtrlC, "INT": CtrlC, "SIGINT": CtrlC,
		"ctrlbreak": CtrlBreak, "1": CtrlBreak, "CTRLCLOSE": CtrlClose, "2": CtrlClose,
		"CTRLLOGOFF": CtrlLogOff, "5": CtrlLogOff, "CTRLSHUTDOWN": CtrlShutdown, "6": CtrlShutdown,
		"TERM": CtrlShutdown, "SIGTERM": CtrlShutdown, "15": CtrlShutdown,
		"KILL": Terminate, "SIGKILL": Terminate, "9": Terminate,
	} {
		if n, err := ParseSignal("windows", s); err != nil || n != want {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "SIG", "HUP", "SIGUSR1", "3", "-1", "16", "TERMX"} {
		if n, err := ParseSignal("windows", s); err == nil {
			t.Errorf("ParseSignal(%q) = %d, want an error", s, n)
		} else if !strings.Contains(err.Error(), "unknown signal") || Hint(err) == "" {
			t.Errorf("ParseSignal(%q): %v, hint %q", s, err, Hint(err))
		}
	}
}
