package cgroup

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadAttr is the part of union bpf_attr that BPF_PROG_LOAD reads.
type loadAttr struct {
	kind, count    uint32
	program        uint64
	license        uint64
	logLevel       uint32
	logSize        uint32
	log            uint64
	kernel         uint32
	flags          uint32
	name           [16]byte
	ifindex        uint32
	expectedAttach uint32
}

// attachAttr is the part that BPF_PROG_ATTACH reads.
type attachAttr struct {
	target, program, kind, flags, replaced uint32
}

// queryAttr is the part that BPF_PROG_QUERY reads.
type queryAttr struct {
	target, kind, flags, attachedFlags uint32
	ids                                uint64
	count, _                           uint32
}

// guardDevices makes the program decide about device access in the v2 group
// dir, in place of one that did so before; a fresh group has none.
func guardDevices(dir string, program []instruction, fresh bool) error {
	target, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("open cgroup %s: %w", dir, err)
	}
	defer unix.Close(target)
	fd, err := loadProgram(program)
	if err == unix.EPERM { // kernels before 5.11 charge programs to RLIMIT_MEMLOCK
		if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: math.MaxUint64, Max: math.MaxUint64}) == nil {
			fd, err = loadProgram(program)
		}
	}
	if err != nil {
		return fmt.Errorf("load device program for cgroup %s: %w", dir, err)
	}
	defer unix.Close(fd)
	attach := attachAttr{
		target: uint32(target), program: uint32(fd),
		kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI,
	}
	old := -1
	if !fresh {
		if old, err = attachedProgram(target); err != nil {
			return fmt.Errorf("ask for device programs of cgroup %s: %w", dir, err)
		}
	}
	if old >= 0 {
		defer unix.Close(old)
		attach.flags |= unix.BPF_F_REPLACE
		attach.replaced = uint32(old)
	}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach)); err != nil {
		return fmt.Errorf("attach device program to cgroup %s: %w", dir, err)
	}
	return nil
}

func loadProgram(program []instruction) (int, error) {
	license := [...]byte{'A', 'p', 'a', 'c', 'h', 'e', 0} // it calls no helper, so any will do
	attr := loadAttr{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(program)))),
		license: uint64(uintptr(unsafe.Pointer(&license))),
		name:    [16]byte{'w', 'r', 'u', 'n', '_', 'd', 'e', 'v', 'i', 'c', 'e', 's'},

		expectedAttach: unix.BPF_CGROUP_DEVICE,
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(program)
	runtime.KeepAlive(&license)
	return fd, err
}

// attachedProgram opens the one program that guards devices of the group, or
// returns -1: of several, none is known to be ours.
func attachedProgram(target int) (int, error) {
	var ids [2]uint32
	query := queryAttr{
		target: uint32(target), kind: unix.BPF_CGROUP_DEVICE,
		ids: uint64(uintptr(unsafe.Pointer(&ids))), count: uint32(len(ids)),
	}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
	runtime.KeepAlive(&ids)
	if err == unix.ENOSPC || err == nil && query.count != 1 {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	byID := struct{ id, next, flags uint32 }{id: ids[0]}
	return bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&byID), unsafe.Sizeof(byID))
}

// bpf is bpf(2).
func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	for range 8 { // the verifier gives up with EAGAIN when a signal comes in
		fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EAGAIN, unix.EINTR:
			continue
		}
		return -1, errno
	}
	return -1, unix.EAGAIN
}
