package hcsdoc

import "fmt"

// This file makes the small documents: queries, signals, console size.

// Query is {"PropertyTypes":[…]}, for properties of a system or process.
func Query(types ...string) []byte {
	return must(struct {
		PropertyTypes []string `json:",omitempty"`
	}{types})
}

// SystemQuery selects compute systems by id and owner, all of them if both are
// empty; for HcsEnumerateComputeSystems.
func SystemQuery(ids, owners []string) []byte {
	return must(struct {
		Ids    []string `json:",omitempty"`
		Owners []string `json:",omitempty"`
	}{ids, owners})
}

// Signal sends a console control event to a Windows process: 0 CtrlC, 1
// CtrlBreak, 2 CtrlClose, 5 CtrlLogOff, 6 CtrlShutdown, wincon.h's numbers.
// There is no other: 9 is HcsTerminateProcess.
func Signal(number int) ([]byte, error) {
	var name string
	switch number {
	case 0:
		name = "CtrlC"
	case 1:
		name = "CtrlBreak"
	case 2:
		name = "CtrlClose"
	case 5:
		name = "CtrlLogOff"
	case 6:
		name = "CtrlShutdown"
	case 9:
		return nil, fmt.Errorf("signal 9 is no console control event: the process has to be terminated")
	default:
		return nil, fmt.Errorf("%d is no console control event", number)
	}
	return must(struct{ Signal string }{name}), nil
}

// LinuxSignal sends a signal to a process of a hosted Linux container.
func LinuxSignal(number int) []byte {
	return must(struct{ Signal int }{number})
}

// Resize sets the size of a process's console in characters; for
// HcsModifyProcess.
func Resize(width, height uint16) []byte {
	type size struct{ Height, Width uint16 }
	return must(struct {
		Operation   string
		ConsoleSize size
	}{"ConsoleSize", size{height, width}})
}

// CloseStdin is the end of a process's input; for HcsModifyProcess.
func CloseStdin() []byte {
	type handle struct{ Handle string }
	return must(struct {
		Operation   string
		CloseHandle handle
	}{"CloseHandle", handle{"StdIn"}})
}
