//go:build windows

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

func commandLine() string { return windows.UTF16PtrToString(windows.GetCommandLine()) }

// printProcesses is the host's process list by toolhelp, as Get-Process shows it.
func printProcesses() error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(snapshot)
	e := windows.ProcessEntry32{}
	e.Size = uint32(unsafe.Sizeof(e))
	for err = windows.Process32First(snapshot, &e); err == nil; err = windows.Process32Next(snapshot, &e) {
		if err := say(os.Stdout, fmt.Sprintf("%d %d %s", e.ProcessID, e.ParentProcessID, windows.UTF16ToString(e.ExeFile[:]))); err != nil {
			return err
		}
	}
	if errors.Is(err, windows.ERROR_NO_MORE_FILES) {
		return nil
	}
	return err
}

// kill ends a process as the Task Manager does.
func kill(args []string) (uint32, error) {
	pid, err := code(first(args))
	if err != nil {
		return 2, err
	}
	var exitCode uint32 = 1
	if len(args) > 1 {
		if exitCode, err = code(args[1]); err != nil {
			return 2, err
		}
	}
	h, err := windows.OpenProcess(windows.PROCESS_TERMINATE|windows.SYNCHRONIZE, false, pid)
	if err != nil {
		return 1, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer windows.CloseHandle(h)
	if err := windows.TerminateProcess(h, exitCode); err != nil {
		return 1, err
	}
	_, err = windows.WaitForSingleObject(h, 10_000)
	return 0, err
}

func dial(args []string) (uint32, error) {
	if len(args) < 1 {
		return 2, errors.New("PIPE")
	}
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return 1, err
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(args[1:], " ") + "\n"); err != nil {
		return 1, err
	}
	_, err = io.Copy(os.Stdout, f)
	if errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED) {
		err = nil
	}
	return 0, err
}

func serve(args []string) (uint32, error) {
	name, err := windows.UTF16PtrFromString(first(args))
	if err != nil {
		return 2, err
	}
	h, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX, windows.PIPE_TYPE_BYTE|windows.PIPE_WAIT, 1, 4096, 4096, 0, nil)
	if err != nil {
		return 1, err
	}
	if err := say(os.Stdout, "serving"); err != nil {
		return 1, err
	}
	if err := windows.ConnectNamedPipe(h, nil); err != nil && !errors.Is(err, windows.ERROR_PIPE_CONNECTED) {
		return 1, err
	}
	f := os.NewFile(uintptr(h), "pipe")
	defer f.Close()
	buf := make([]byte, 4096)
	n, err := f.Read(buf)
	if err != nil {
		return 1, err
	}
	if err := say(os.Stdout, strings.TrimSpace(string(buf[:n]))); err != nil {
		return 1, err
	}
	if _, err = f.WriteString("served: " + string(buf[:n])); err != nil {
		return 1, err
	}
	return 0, windows.FlushFileBuffers(h)
}

func printVersion() error {
	v := windows.RtlGetVersion()
	return say(os.Stdout, fmt.Sprintf("%d.%d.%d type %s", v.MajorVersion, v.MinorVersion, v.BuildNumber, strconv.Itoa(int(v.ProductType))))
}
