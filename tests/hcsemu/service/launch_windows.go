package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/hcs"
)

// This file starts processes and makes their standard pipes. What a system is it
// does not know.

// result makes a Result of an error of Windows.
func result(err error) error {
	var e windows.Errno
	if errors.As(err, &e) {
		return hcs.FromWin32(uint32(e))
	}
	return err
}

// process is one that a room launched.
type process struct {
	pid uint32

	mu     sync.Mutex
	handle windows.Handle // 0 when it has ended
	std    pipes
}

// pipes are the service's ends of standard pipes; each client gets duplicates.
type pipes [3]windows.Handle

func (p *pipes) close(i int) {
	if p[i] != 0 {
		windows.CloseHandle(p[i])
		p[i] = 0
	}
}

func (p *pipes) closeAll() {
	for i := range p {
		p.close(i)
	}
}

// duplicate gives all pipes to a client.
func (p *pipes) duplicate(client uint32) ([3]uint64, error) {
	var out [3]uint64
	h, err := windows.OpenProcess(windows.PROCESS_DUP_HANDLE, false, client)
	if err != nil {
		return out, fmt.Errorf("opening the client %d: %w", client, result(err))
	}
	defer windows.CloseHandle(h)
	for i, end := range p {
		if end == 0 {
			continue
		}
		var d windows.Handle
		if err := windows.DuplicateHandle(windows.CurrentProcess(), end, h, &d, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
			return out, fmt.Errorf("giving a pipe to the client %d: %w", client, result(err))
		}
		out[i] = uint64(d)
	}
	return out, nil
}

var pipeCount atomic.Uint64

func inheritable() *windows.SecurityAttributes {
	sa := &windows.SecurityAttributes{InheritHandle: 1}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	return sa
}

// newPipe makes a standard pipe. The client's end must be overlapped, since
// clients wait for it with go-winio; the program's is inheritable and
// synchronous.
func newPipe(programReads bool) (client, program windows.Handle, err error) {
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`\\.\pipe\hcsemu-stdio-%d-%d`, os.Getpid(), pipeCount.Add(1)))
	if err != nil {
		return 0, 0, err
	}
	mode, access := uint32(windows.PIPE_ACCESS_INBOUND), uint32(windows.GENERIC_WRITE)
	if programReads {
		mode, access = windows.PIPE_ACCESS_OUTBOUND, windows.GENERIC_READ
	}
	client, err = windows.CreateNamedPipe(name, mode|windows.FILE_FLAG_OVERLAPPED|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_READMODE_BYTE|windows.PIPE_WAIT, 1, 65536, 65536, 0, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("making a pipe: %w", result(err))
	}
	program, err = windows.CreateFile(name, access, 0, inheritable(), windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		windows.CloseHandle(client)
		return 0, 0, fmt.Errorf("opening a pipe: %w", result(err))
	}
	return client, program, nil
}

// openStd makes the standard handles of a program: pipes, or NUL.
func openStd(p *hcs.Program) (ours, theirs pipes, err error) {
	null, err := windows.UTF16PtrFromString("NUL")
	if err != nil {
		return ours, theirs, err
	}
	for i, pipe := range p.Pipes {
		switch {
		case pipe:
			ours[i], theirs[i], err = newPipe(i == 0)
		case i == 2 && p.Combined:
			err = windows.DuplicateHandle(windows.CurrentProcess(), theirs[1], windows.CurrentProcess(), &theirs[2], 0, true, windows.DUPLICATE_SAME_ACCESS)
		default:
			theirs[i], err = windows.CreateFile(null, windows.GENERIC_READ|windows.GENERIC_WRITE,
				windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, inheritable(), windows.OPEN_EXISTING, 0, 0)
		}
		if err != nil {
			ours.closeAll()
			theirs.closeAll()
			return ours, theirs, result(err)
		}
	}
	return ours, theirs, nil
}

// block is the environment of a new process: what every Windows process has,
// and then the program's own. Names are compared without case.
func block(own map[string]string) ([]uint16, error) {
	env := map[string]string{}
	for _, name := range []string{"SystemRoot", "SystemDrive", "windir", "PATH", "PATHEXT", "ComSpec", "TEMP", "TMP", "USERPROFILE", "USERNAME", "ProgramData", "ProgramFiles", "WINEPREFIX", "WINEDEBUG"} {
		if v, set := os.LookupEnv(name); set {
			env[strings.ToUpper(name)] = name + "=" + v
		}
	}
	for name, v := range own {
		env[strings.ToUpper(name)] = name + "=" + v
	}
	var names []string
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []uint16
	for _, name := range names {
		entry, err := windows.UTF16FromString(env[name])
		if err != nil {
			return nil, fmt.Errorf("environment variable %s: %w", name, result(err))
		}
		out = append(out, entry...)
	}
	return append(out, 0), nil
}

func (r *room) Launch(p *hcs.Program, exited func(code uint32)) (hcs.Process, error) {
	line := p.CommandLine
	if line == "" {
		line = windows.ComposeCommandLine(p.Args)
	}
	var directory *uint16
	if p.Directory != "" {
		if info, err := os.Stat(p.Directory); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("working directory %s: %w", p.Directory, hcs.FromWin32(uint32(windows.ERROR_DIRECTORY)))
		}
		var err error
		if directory, err = windows.UTF16PtrFromString(p.Directory); err != nil {
			return nil, result(err)
		}
	}
	command, err := windows.UTF16FromString(line)
	if err != nil {
		return nil, result(err)
	}
	environment, err := block(p.Environment)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := openStd(p)
	if err != nil {
		return nil, err
	}
	defer theirs.closeAll()
	info, err := createProcess(command, environment, directory, theirs)
	if err != nil {
		ours.closeAll()
		if errors.Is(err, windows.ERROR_PATH_NOT_FOUND) || errors.Is(err, windows.ERROR_BAD_EXE_FORMAT) && !exists(line) {
			err = windows.ERROR_FILE_NOT_FOUND
		}
		return nil, fmt.Errorf("%s: %w", line, result(err))
	}
	defer windows.CloseHandle(info.Thread)
	r.mu.Lock()
	err = windows.ERROR_INVALID_HANDLE
	if !r.closed {
		err = windows.AssignProcessToJobObject(r.job, info.Process)
	}
	r.mu.Unlock()
	if err != nil {
		_ = windows.TerminateProcess(info.Process, 1)
		windows.CloseHandle(info.Process)
		ours.closeAll()
		return nil, fmt.Errorf("taking the process into its job: %w", result(err))
	}
	proc := &process{pid: info.ProcessId, handle: info.Process, std: ours}
	go func() {
		_, _ = windows.WaitForSingleObject(info.Process, windows.INFINITE)
		var code uint32
		_ = windows.GetExitCodeProcess(info.Process, &code)
		r.ended(info.Process, proc.pid)
		proc.mu.Lock()
		proc.handle = 0
		proc.mu.Unlock()
		windows.CloseHandle(info.Process)
		exited(code)
	}()
	_, _ = windows.ResumeThread(info.Thread)
	return proc, nil
}

// exists guards against Wine's answer for a missing program in some paths.
func exists(line string) bool {
	name := strings.Trim(strings.SplitN(line, " ", 2)[0], `"`)
	_, err := os.Stat(name)
	return err == nil
}

func createProcess(command, environment []uint16, directory *uint16, std pipes) (*windows.ProcessInformation, error) {
	attributes, err := windows.NewProcThreadAttributeList(1)
	if err != nil {
		return nil, err
	}
	defer attributes.Delete()
	inherited := slices.Clone(std[:])
	err = attributes.Update(windows.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, unsafe.Pointer(&inherited[0]), uintptr(len(inherited))*unsafe.Sizeof(inherited[0]))
	if err != nil {
		return nil, err
	}
	start := windows.StartupInfoEx{ProcThreadAttributeList: attributes.List()}
	start.Cb = uint32(unsafe.Sizeof(start))
	start.Flags = windows.STARTF_USESTDHANDLES
	start.StdInput, start.StdOutput, start.StdErr = std[0], std[1], std[2]
	var info windows.ProcessInformation
	const flags = windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT | windows.CREATE_SUSPENDED |
		windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP
	err = windows.CreateProcess(nil, &command[0], nil, nil, true, flags, &environment[0], directory, &start.StartupInfo, &info)
	runtime.KeepAlive(inherited)
	if err != nil {
		return nil, err
	}
	return &info, nil
}

func (p *process) PID() uint32 { return p.pid }

func (p *process) Terminate(code uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := error(windows.ERROR_ACCESS_DENIED) // what Windows says of one that has ended
	if p.handle != 0 {
		err = windows.TerminateProcess(p.handle, code)
	}
	switch {
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("ending process %d: %w", p.pid, hcs.ProcessStopped)
	case err != nil:
		return fmt.Errorf("ending process %d: %w", p.pid, result(err))
	}
	return nil
}

// Signal sets the event that a program with a handler waits for; box does.
func (p *process) Signal(name string) (bool, error) {
	event, err := windows.UTF16PtrFromString(fmt.Sprintf(`Local\hcsemu-ctrl-%d-%s`, p.pid, name))
	if err != nil {
		return false, err
	}
	h, err := windows.OpenEvent(windows.EVENT_MODIFY_STATE, false, event)
	if err != nil {
		return false, nil
	}
	defer windows.CloseHandle(h)
	if err := windows.SetEvent(h); err != nil {
		return false, fmt.Errorf("telling process %d of %s: %w", p.pid, name, result(err))
	}
	return true, nil
}

func (p *process) CloseStd(i int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.std.close(i)
	return nil
}

func (p *process) Duplicate(client uint32) ([3]uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.std.duplicate(client)
}
