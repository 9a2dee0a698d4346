// Package freememory gives a measurement memory that the machine has, and does not
// have to get first.
package freememory

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// givenBack is how long after its release free memory may leave this machine.
const givenBack = 2300 * time.Millisecond

// Claim has this machine hold so much free memory for the next 2 s. One that is a
// VM itself may give what is free back to its host, here 2 s after something was
// freed, and whoever is the next to touch it waits for that: 5 ms for each 2 MiB. So
// it is not freed before all is given back that was.
func Claim(bytes int) error {
	m, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("claim %d bytes of free memory: %w", bytes, err)
	}
	if err := unix.Madvise(m, unix.MADV_HUGEPAGE); err != nil && err != unix.EINVAL { // a kernel without
		_ = unix.Munmap(m)
		return fmt.Errorf("claim free memory: %w", err)
	}
	for at := 0; at < bytes; at += unix.Getpagesize() {
		m[at] = 1
	}
	time.Sleep(givenBack)
	return unix.Munmap(m)
}
