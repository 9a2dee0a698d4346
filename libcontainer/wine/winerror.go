package wine

import (
	"fmt"

	"wrun/libcontainer"
)

// windowsError is an error of CreateProcess, by its number and Windows' own words.
func windowsError(n uint32) error {
	text, cure := "", ""
	switch n {
	case 2:
		// Engines make exit code 127 of these words.
		text, cure = "executable file not found on drive C: or in %PATH%", "the first word of the command line is a program of drive C: or of the PATH there"
	case 3:
		text, cure = "executable file not found: the system cannot find the path specified", "look at the folders of windows.layerFolders: C:\\ is made of them"
	case 5:
		text = "access is denied"
	case 87:
		text = "the parameter is incorrect"
	case 123:
		text = "the name is not correct"
	case 193:
		text, cure = "not a valid application for this machine", "programs for 64-bit Windows on x86 run here"
	case 206:
		text = "the file name or extension is too long"
	case 216:
		text, cure = "the program is for another machine", "programs for 64-bit Windows on x86 run here"
	case 267:
		text, cure = "the directory name is invalid", "process.cwd must exist on drive C:"
	case 740:
		text = "the requested operation requires elevation"
	default:
		return fmt.Errorf("start the program: Windows error %d", n)
	}
	return libcontainer.WithHint(fmt.Errorf("start the program: %s (Windows error %d)", text, n), cure)
}
