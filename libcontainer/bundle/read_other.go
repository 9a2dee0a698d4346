//go:build !linux

package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readFile reads a regular file of at most max bytes.
func readFile(path string, max int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	raw, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err == nil && len(raw) > max {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d MiB", max>>20)}
	}
	return raw, err
}
