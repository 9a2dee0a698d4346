package main

import (
	"path/filepath"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"
)

// This file is what wrun adds to runc's command line for the callers of runhcs
// on Windows: hcsshim's pkg/go-runhcs runs a runhcs.exe, and a wrun.exe of that
// name serves it. The options are for Windows only; where nothing would be done
// about them they are unknown.

// runhcsFlags are create's and run's.
func runhcsFlags() []cli.Flag {
	if runtime.GOOS != "windows" {
		return nil
	}
	return append(runhcsLog(),
		&cli.StringFlag{Name: "vm-log", Usage: "`file` or named pipe for the log of the utility VM's keeper"},
		&cli.StringFlag{Name: "vm-console", Usage: "named `pipe` for the utility VM's first serial port"},
		&cli.StringFlag{Name: "host", Usage: "`id` of the container whose utility VM is shared"},
	)
}

// runhcsLog is create's, run's and exec's. What runhcs calls the shim is wrun's
// monitor.
func runhcsLog() []cli.Flag {
	if runtime.GOOS != "windows" {
		return nil
	}
	return []cli.Flag{&cli.StringFlag{Name: "shim-log", Usage: "`file` or named pipe for the log of the monitor"}}
}

// namedRoot turns a --root of runhcs, which is the name of a registry key
// ("default"), into a directory beside the default root. It may not lie in
// there: its name is a possible container id. A path is left as it is; so is
// everything but a name, for the file system to refuse.
func namedRoot(root, defaultRoot string) string {
	if root == "" || root == "." || root == ".." || strings.ContainsAny(root, `\/:`) {
		return root
	}
	return filepath.Join(filepath.Dir(defaultRoot), filepath.Base(defaultRoot)+"@"+root)
}

// isPipe tells a named pipe from a file.
func isPipe(name string) bool {
	return len(name) > 9 && strings.EqualFold(strings.ReplaceAll(name[:9], "/", `\`), `\\.\pipe\`)
}
