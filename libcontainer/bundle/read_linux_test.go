package bundle

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReadFileOfFifo: whoever writes into a fifo is read to the end, and meets
// no reader that goes away before.
func TestReadFileOfFifo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			for range 3 {
				if _, err = f.WriteString("{}"); err != nil {
					break
				}
			}
			f.Close()
		}
		wrote <- err
	}()
	data, err := ReadFile(name)
	if err != nil || string(data) != "{}{}{}" {
		t.Errorf("read %q, %v", data, err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("who writes: %v", err)
	}
}
