package procstat

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// StartTime is the moment a process began, in clock ticks since the machine's
// boot, and whether it is still more than a zombie (proc_pid_stat(5), fields 3
// and 22).
func StartTime(pid int) (ticks uint64, alive bool, err error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false, err
	}
	defer unix.Close(fd)
	var buf [512]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0, false, err
	}
	return Parse(buf[:n])
}

// Alive tells whether the process lives that had this start time: numbers are
// used again. There is no process 0.
func Alive(pid int, start uint64) (bool, error) {
	if pid == 0 {
		return false, nil
	}
	ticks, alive, err := StartTime(pid)
	switch err {
	case nil:
		return alive && ticks == start, nil
	case unix.ENOENT, unix.ESRCH:
		return false, nil
	}
	return false, fmt.Errorf("look at process %d: %w", pid, err)
}
