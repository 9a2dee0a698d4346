package pidfd

import (
	"fmt"

	"wrun/libcontainer/rights"
)

// Send passes a pidfd to whoever listens on the unix socket at path
// (--pidfd-socket). An empty path: nobody asked.
func Send(path string, pidfd int) error {
	if path == "" {
		return nil
	}
	if err := rights.Send(path, []byte("pidfd"), pidfd); err != nil {
		return fmt.Errorf("pass the pidfd on: %w", err)
	}
	return nil
}
