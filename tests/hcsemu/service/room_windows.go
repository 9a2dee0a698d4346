package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/hcs"
)

// room is where the processes of a system run: a job object. That they see the
// host's drive C: and the host's registry is the emulation's limit: Wine has no
// silos.
type room struct {
	job windows.Handle

	mu     sync.Mutex
	spent  hcs.Usage // of launched processes that have ended
	peak   uint64
	closed bool
}

var (
	kernel32           = windows.NewLazySystemDLL("kernel32.dll")
	procMemoryInfo     = kernel32.NewProc("K32GetProcessMemoryInfo")
	procIOCounters     = kernel32.NewProc("GetProcessIoCounters")
	ntdll              = windows.NewLazySystemDLL("ntdll.dll")
	procCreateJob      = ntdll.NewProc("NtCreateJobObject")
	procSuspendProcess = ntdll.NewProc("NtSuspendProcess")
	procResumeProcess  = ntdll.NewProc("NtResumeProcess")
)

// newRoom makes a job; "" is one without a name. Names are those of the object
// manager, from its root.
func newRoom(name string) (*room, error) {
	job, err := createJob(name)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		// The last one of this name has ended, but in Wine a job has its name
		// for as long as anybody has a handle of a process that was in it.
		job, err = createJob("")
	}
	if err != nil {
		return nil, fmt.Errorf("making a job %s: %w", name, result(err))
	}
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	if err != nil {
		windows.CloseHandle(job)
		return nil, fmt.Errorf("limiting a job: %w", result(err))
	}
	return &room{job: job}, nil
}

// createJob calls ntdll, since kernel32 puts names into the session's directory
// and takes a job that exists for its own.
func createJob(name string) (windows.Handle, error) {
	attributes := windows.OBJECT_ATTRIBUTES{}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	if name != "" {
		n, err := windows.NewNTUnicodeString(name)
		if err != nil {
			return 0, err
		}
		attributes.ObjectName = n
	}
	const allAccess = 0x1F001F // JOB_OBJECT_ALL_ACCESS
	var job windows.Handle
	status, _, _ := procCreateJob.Call(uintptr(unsafe.Pointer(&job)), allAccess, uintptr(unsafe.Pointer(&attributes)))
	if status != 0 {
		return 0, windows.NTStatus(status).Errno()
	}
	return job, nil
}

func (r *room) Terminate(code uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	if err := windows.TerminateJobObject(r.job, code); err != nil {
		return fmt.Errorf("ending a job: %w", result(err))
	}
	return nil
}

func (r *room) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return windows.CloseHandle(r.job)
}

// pids answers the processes in the job, also those that others started.
func (r *room) pids() []uint32 {
	const most = 1024
	var list struct {
		Assigned, Listed uint32
		IDs              [most]uintptr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	err := windows.QueryInformationJobObject(r.job, windows.JobObjectBasicProcessIdList, uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	if err != nil {
		return nil
	}
	var pids []uint32
	for _, id := range list.IDs[:min(list.Listed, most)] {
		pids = append(pids, uint32(id))
	}
	return pids
}

type memoryCounters struct {
	Size, PageFaults                               uint32
	PeakWorkingSet, WorkingSet                     uintptr
	PeakPagedPool, PagedPool                       uintptr
	PeakNonPagedPool, NonPagedPool, Pagefile, Peak uintptr
}

// look opens a process for questions about it; gone says it has ended.
func look(pid uint32, ask func(h windows.Handle)) (gone bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_INFORMATION|windows.PROCESS_VM_READ, false, pid)
	if err != nil {
		return true
	}
	defer windows.CloseHandle(h)
	ask(h)
	return false
}

// ticks are 100 ns, as HCS counts.
func ticks(t windows.Filetime) uint64 { return uint64(t.HighDateTime)<<32 | uint64(t.LowDateTime) }

func details(h windows.Handle, pid uint32) hcs.ProcessDetails {
	d := hcs.ProcessDetails{ProcessID: pid}
	name := make([]uint16, 1024)
	n := uint32(len(name))
	if windows.QueryFullProcessImageName(h, 0, &name[0], &n) == nil {
		d.ImageName = filepath.Base(windows.UTF16ToString(name[:n]))
	}
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(h, &created, &exited, &kernel, &user) == nil {
		d.CreateTimestamp = time.Unix(0, created.Nanoseconds()).UTC()
		d.UserTime100ns, d.KernelTime100ns = ticks(user), ticks(kernel)
	}
	m := memoryCounters{}
	m.Size = uint32(unsafe.Sizeof(m))
	if ok, _, _ := procMemoryInfo.Call(uintptr(h), uintptr(unsafe.Pointer(&m)), uintptr(m.Size)); ok != 0 {
		d.MemoryCommitBytes, d.MemoryWorkingSetPrivateBytes = uint64(m.Pagefile), uint64(m.WorkingSet)
	}
	return d
}

func (r *room) Processes() ([]hcs.ProcessDetails, error) {
	var list []hcs.ProcessDetails
	for _, pid := range r.pids() {
		look(pid, func(h windows.Handle) { list = append(list, details(h, pid)) })
	}
	return list, nil
}

func usage(h windows.Handle, pid uint32) hcs.Usage {
	d := details(h, pid)
	u := hcs.Usage{User100ns: d.UserTime100ns, Kernel100ns: d.KernelTime100ns, CommitBytes: d.MemoryCommitBytes, WorkingSetBytes: d.MemoryWorkingSetPrivateBytes}
	var io windows.IO_COUNTERS
	if ok, _, _ := procIOCounters.Call(uintptr(h), uintptr(unsafe.Pointer(&io))); ok != 0 {
		u.Reads, u.ReadBytes, u.Writes, u.WriteBytes = io.ReadOperationCount, io.ReadTransferCount, io.WriteOperationCount, io.WriteTransferCount
	}
	return u
}

func add(to *hcs.Usage, u hcs.Usage) {
	to.User100ns += u.User100ns
	to.Kernel100ns += u.Kernel100ns
	to.CommitBytes += u.CommitBytes
	to.WorkingSetBytes += u.WorkingSetBytes
	to.Reads += u.Reads
	to.ReadBytes += u.ReadBytes
	to.Writes += u.Writes
	to.WriteBytes += u.WriteBytes
}

// Usage sums the living processes and those that were launched and have ended:
// Wine's job objects do not account.
func (r *room) Usage() (hcs.Usage, error) {
	var sum hcs.Usage
	for _, pid := range r.pids() {
		look(pid, func(h windows.Handle) { add(&sum, usage(h, pid)) })
		sum.ActiveCount++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&sum, r.spent)
	r.peak = max(r.peak, sum.CommitBytes)
	sum.CommitPeak = r.peak
	return sum, nil
}

// ended keeps what a process has spent; its memory is free.
func (r *room) ended(h windows.Handle, pid uint32) {
	u := usage(h, pid)
	u.CommitBytes, u.WorkingSetBytes = 0, 0
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.spent, u)
}

func (r *room) Suspend(suspend bool) error {
	call := procResumeProcess
	if suspend {
		call = procSuspendProcess
	}
	for _, pid := range r.pids() {
		h, err := windows.OpenProcess(windows.PROCESS_SUSPEND_RESUME, false, pid)
		if err != nil {
			continue // it has ended
		}
		status, _, _ := call.Call(uintptr(h))
		windows.CloseHandle(h)
		if status != 0 {
			return fmt.Errorf("suspending process %d: %w", pid, hcs.Result(status))
		}
	}
	return nil
}
