package wine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"wrun/libcontainer"
	"wrun/libcontainer/hcsdoc"
)

// Machine types of a PE file.
const (
	machineI386  = 0x14c
	machineARM   = 0x1c4
	machineAMD64 = 0x8664
	machineARM64 = 0xaa64
)

// errNoProgram: the file is no PE file, and Windows says what it thinks of it.
var errNoProgram = errors.New("no PE file")

// machineOf reads the machine type off the header of a PE file.
func machineOf(r io.ReaderAt) (uint16, error) {
	var dos [64]byte
	if _, err := r.ReadAt(dos[:], 0); err != nil || dos[0] != 'M' || dos[1] != 'Z' {
		return 0, errNoProgram
	}
	var head [6]byte
	if _, err := r.ReadAt(head[:], int64(binary.LittleEndian.Uint32(dos[60:]))); err != nil || string(head[:4]) != "PE\x00\x00" {
		return 0, errNoProgram
	}
	return binary.LittleEndian.Uint16(head[4:]), nil
}

// checkMachine refuses a program that this host's Wine cannot run, before anything
// is started.
func checkMachine(program string, machine uint16) error {
	of := ""
	switch machine {
	case machineAMD64:
		return nil
	case machineI386:
		of = "32-bit x86 (i386)"
	case machineARM:
		of = "32-bit ARM"
	case machineARM64:
		of = "ARM64"
	default:
		of = fmt.Sprintf("machine type %#x", machine)
	}
	return libcontainer.WithHint(fmt.Errorf("%s is a program for %s, and containers here run those for 64-bit x86 (amd64)", program, of), "build it for amd64")
}

// programOf is the program of a command line as far as it says one: the first word,
// or what stands in the quotes it begins with.
func programOf(commandLine string, args []string) string {
	if commandLine == "" {
		var err error
		if commandLine, err = hcsdoc.CommandLine(args[:min(len(args), 1)]); err != nil {
			return ""
		}
	}
	s := strings.TrimLeft(commandLine, " \t")
	if rest, ok := strings.CutPrefix(s, `"`); ok {
		name, _, _ := strings.Cut(rest, `"`)
		return name
	}
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		s = s[:i]
	}
	return s
}

// searched are the paths on drive C: at which Windows would look for a program
// before it asks the PATH: as it is named, in the working folder, in the system's.
func searched(program, cwd string) [][]string {
	names := []string{program}
	if last := program[strings.LastIndexAny(program, `\/`)+1:]; !strings.Contains(last, ".") {
		names = append(names, program+".exe")
	}
	var all [][]string
	for _, name := range names {
		if p, err := onDriveC(name); err == nil {
			all = append(all, p)
			continue
		}
		if strings.ContainsAny(name, `:`) || strings.HasPrefix(name, `\`) || strings.HasPrefix(name, "/") {
			continue
		}
		for _, dir := range []string{cwd, `C:\windows\system32`, `C:\windows`} {
			if p, err := onDriveC(dir + `\` + name); err == nil {
				all = append(all, p)
			}
		}
	}
	return all
}
