package hcs

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// This file pins a silo to processors. HCS's documents cannot say it, but a silo
// is a job object with a name, and jobs have affinities.

var (
	ntdll = windows.NewLazySystemDLL("ntdll.dll")

	// NTSTATUS NtOpenJobObject(PHANDLE JobHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);
	procNtOpenJobObject = ntdll.NewProc("NtOpenJobObject")
)

const (
	jobSetAttributes = 0x2 // JOB_OBJECT_SET_ATTRIBUTES
	jobGroupInfoEx   = 14  // JobObjectGroupInformationEx
)

// groupAffinity is GROUP_AFFINITY: KAFFINITY Mask; WORD Group; WORD Reserved[3].
type groupAffinity struct {
	mask     uintptr
	group    uint16
	reserved [3]uint16
}

// pin sets the affinity of a silo that was created and is not started.
func (b *birth) pin() error {
	wanted, err := hcsdoc.Affinity(b.in)
	if err != nil || len(wanted) == 0 {
		return err
	}
	list := make([]groupAffinity, len(wanted))
	for i, a := range wanted {
		list[i] = groupAffinity{mask: uintptr(a.Mask), group: uint16(a.Group)}
	}
	job, err := openJob(`\Container_` + b.h.System)
	if err == nil {
		defer windows.CloseHandle(job)
		_, err = windows.SetInformationJobObject(job, jobGroupInfoEx, uintptr(unsafe.Pointer(&list[0])), uint32(len(list))*uint32(unsafe.Sizeof(list[0])))
	}
	if errors.Is(err, windows.STATUS_ACCESS_DENIED) {
		return libcontainer.WithHint(fmt.Errorf("windows.resources.cpu.affinity: opening the silo's job: %w", err), "only SYSTEM may: run wrun as a service or by psexec -s")
	}
	if err != nil {
		return fmt.Errorf("windows.resources.cpu.affinity: pinning the silo's job: %w", err)
	}
	return nil
}

func openJob(name string) (windows.Handle, error) {
	n, err := windows.NewNTUnicodeString(name)
	if err != nil {
		return 0, err
	}
	attributes := windows.OBJECT_ATTRIBUTES{ObjectName: n}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	if err := procNtOpenJobObject.Find(); err != nil {
		return 0, err
	}
	var h windows.Handle
	status, _, _ := procNtOpenJobObject.Call(uintptr(unsafe.Pointer(&h)), jobSetAttributes, uintptr(unsafe.Pointer(&attributes)))
	if status != 0 {
		return 0, windows.NTStatus(status)
	}
	return h, nil
}
