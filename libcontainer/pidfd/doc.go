// Package pidfd hands descriptors of processes to wrun's callers (pidfd_open(2)).
package pidfd
