package memfd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// New is a file with text in it, at its beginning. The name is for people who look
// at /proc.
func New(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(text, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write a memory file: %w", err)
	}
	return f, nil
}
