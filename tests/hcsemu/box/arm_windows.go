package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// arm handles the control event of a signal, and makes the event that the emulated
// service sets in its place.
func arm(signal string, run func()) error {
	names := map[string]string{"TERM": "CtrlShutdown", "INT": "CtrlC", "BREAK": "CtrlBreak", "CLOSE": "CtrlClose", "LOGOFF": "CtrlLogOff"}
	name := names[signal]
	if name == "" {
		return fmt.Errorf("trap: no such signal: %s", signal)
	}
	if err := handle(map[string]uintptr{"TERM": 6, "INT": 0, "BREAK": 1, "CLOSE": 2, "LOGOFF": 5}[signal], run); err != nil {
		return err
	}
	event, err := windows.UTF16PtrFromString(fmt.Sprintf(`Local\hcsemu-ctrl-%d-%s`, os.Getpid(), name))
	if err != nil {
		return err
	}
	h, err := windows.CreateEvent(nil, 0, 0, event)
	if err != nil {
		return fmt.Errorf("making the event of %s: %w", name, err)
	}
	go func() {
		for {
			if _, err := windows.WaitForSingleObject(h, windows.INFINITE); err != nil {
				return
			}
			run()
		}
	}()
	return nil
}

// handle adds a handler to those of the process (SetConsoleCtrlHandler).
func handle(event uintptr, run func()) error {
	handler := windows.NewCallback(func(which uintptr) uintptr {
		if which != event {
			return 0
		}
		run()
		return 1
	})
	set := windows.NewLazySystemDLL("kernel32.dll").NewProc("SetConsoleCtrlHandler")
	if done, _, err := set.Call(handler, 1); done == 0 {
		return fmt.Errorf("adding a handler of control events: %w", err)
	}
	return nil
}
