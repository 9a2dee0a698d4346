package rig

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

const (
	compiler = "x86_64-w64-mingw32-gcc"
	advice   = "sh tests/setup.sh wine wine64 gcc-mingw-w64-x86-64-win32"
)

// WhyNot says why Windows programs cannot be run here, "" if they can.
func WhyNot() string {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "needs Wine on linux/amd64, this is " + runtime.GOOS + "/" + runtime.GOARCH
	}
	var missing []string
	for _, program := range []string{"wine", "wineserver", "wineboot", compiler} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return fmt.Sprintf("needs Wine and a C compiler for Windows, missing: %s (root: %s)", strings.Join(missing, ", "), advice)
	}
	return ""
}
