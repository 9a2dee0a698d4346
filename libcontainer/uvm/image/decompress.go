package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Decompress unpacks data of a format: "xz" or "zstd". gzip and lz4 are
// unpacked here and never asked of it.
type Decompress func(format string, data []byte) ([]byte, error)

// toolWait is far more than xz needs for a kernel on a busy machine.
const toolWait = 2 * time.Minute

// Tools is the Decompress that runs the xz or zstd of this machine.
func Tools(format string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, format, "-dc")
	cmd.Stdin = bytes.NewReader(data)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		packages := map[string]string{"xz": "xz-utils"}
		name := packages[format]
		if name == "" {
			name = format
		}
		return nil, fmt.Errorf("%s -dc: %w (install it: apt-get install %s)", format, err, name)
	case err != nil:
		return nil, fmt.Errorf("%s -dc: %w: %s", format, err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}

// formatOf tells a compressed format by its first bytes; "" is none of ours.
func formatOf(data []byte) string {
	for _, f := range []struct{ name, magic string }{
		{"gzip", "\x1f\x8b"},
		{"xz", "\xfd7zXZ\x00"},
		{"zstd", "\x28\xb5\x2f\xfd"},
		{"lz4", "\x02\x21\x4c\x18"},
	} {
		if bytes.HasPrefix(data, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

// unpack decompresses data of a format that formatOf knows.
func unpack(format string, data []byte, decompress Decompress) (out []byte, err error) {
	switch format {
	case "lz4":
		out, err = unlz4(data)
	case "gzip":
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			r.Multistream(false)
			out, err = io.ReadAll(r)
		}
	default:
		if decompress == nil {
			decompress = Tools
		}
		out, err = decompress(format, data)
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing %s: %w", format, err)
	}
	return out, nil
}
