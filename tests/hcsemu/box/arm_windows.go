package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// arm makes the event that the emulated service sets in place of a control
// event: Wine has none for a program without a console.
func arm(signal string, run func()) error {
	names := map[string]string{"TERM": "CtrlShutdown", "INT": "CtrlC", "BREAK": "CtrlBreak", "CLOSE": "CtrlClose", "LOGOFF": "CtrlLogOff"}
	name := names[signal]
	if name == "" {
		return fmt.Errorf("trap: no such signal: %s", signal)
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
