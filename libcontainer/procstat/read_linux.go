package procstat

import (
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
