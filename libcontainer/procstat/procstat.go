// Package procstat tells one process from a later one of the same number: by its
// start time, as proc(5) has it.
package procstat

import (
	"bytes"
	"fmt"
	"strconv"
)

// Parse reads state and start time from /proc/<pid>/stat. The second field
// is the program's name in parentheses and may hold anything, parentheses
// included, so fields count from the last one.
func Parse(stat []byte) (ticks uint64, alive bool, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false, fmt.Errorf("process status %q has no program name", stat)
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 20 {
		return 0, false, fmt.Errorf("process status %q has only %d fields behind the name", stat, len(fields))
	}
	ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("start time in the process status: %w", err)
	}
	state := fields[0][0]
	return ticks, state != 'Z' && state != 'X' && state != 'x', nil
}
