package uvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"wrun/libcontainer"
)

// This file finds what this machine has to boot a VM with.

// imageFolders are where the boot image is looked for, in this order: beside the
// program, as `make uvm` puts it, and where a package would.
func imageFolders() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "uvm"))
	}
	return append(dirs, "/usr/lib/wrun/uvm", "/usr/local/lib/wrun/uvm")
}

// findImage is the first boot image there is; its zero value when there is none.
func findImage(dirs []string) Image {
	for _, dir := range dirs {
		i := imageIn(dir)
		if _, err := os.Stat(i.Kernel); err == nil {
			return i
		}
	}
	return Image{}
}

// check looks whether the image is there.
func (m *Machine) check() error {
	if m.Kernel == "" || m.Initrd == "" {
		return libcontainer.WithHint(fmt.Errorf("no boot image for a utility VM in %s", strings.Join(imageFolders(), " or ")),
			"make uvm builds one; windows.hyperv.utilityVMPath or the vm section name another")
	}
	for _, file := range []string{m.Kernel, m.Initrd} {
		if _, err := os.Stat(file); err != nil {
			err = fmt.Errorf("the utility VM's boot image: %w", err)
			if errors.Is(err, fs.ErrNotExist) {
				err = libcontainer.WithHint(err, "a folder named by windows.hyperv.utilityVMPath has the files kernel and initrd")
			}
			return err
		}
	}
	return nil
}

// timeStampCounter is the frequency of this machine's, in kHz: half its
// bogomips, as the kernel computes them where the counter keeps the time. 0 when
// it does not tell.
func timeStampCounter() uint64 {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(info)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "bogomips" {
			continue
		}
		mips, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0
		}
		return uint64(mips * 500)
	}
	return 0
}
