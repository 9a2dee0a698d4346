package wine

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"wrun/libcontainer"
)

// This file is pure: what the launcher says, in its reports and lists.

// The launcher's words.
const (
	started = "started"
	exited  = "exited"
	broken  = "failed"
)

// report is what the launcher wrote last.
type report struct {
	what   string
	number uint32 // process id, exit code or error
}

// parseReport finds the last whole line that has the nonce.
func parseReport(data []byte, nonce string) (r report) {
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) < 3 || f[0] != nonce || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		if n, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			r = report{f[1], uint32(n)}
		}
	}
	return r
}

// epoch is 1970 in units of 100 ns since 1601, Windows' own.
const epoch = 116444736000000000

// parseTable reads the launcher's list; the process first comes first.
func parseTable(out string, first int) []libcontainer.ProcessInfo {
	var table []libcontainer.ProcessInfo
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\r\n"), " ", 7)
		if len(f) < 7 {
			continue
		}
		var n [6]uint64
		whole := true
		for i := range n {
			v, err := strconv.ParseUint(f[i], 10, 64)
			n[i], whole = v, whole && err == nil
		}
		if !whole {
			continue
		}
		p := libcontainer.ProcessInfo{Pid: int(n[0]), Image: f[6], Kernel: time.Duration(n[3]) * 100, User: time.Duration(n[4]) * 100, Memory: n[5]}
		if n[2] > epoch {
			p.Created = time.Unix(0, int64(n[2]-epoch)*100).UTC()
		}
		if p.Pid == first {
			table = append([]libcontainer.ProcessInfo{p}, table...)
		} else {
			table = append(table, p)
		}
	}
	return table
}
