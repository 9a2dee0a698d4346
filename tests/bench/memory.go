//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// memory adds each runtime's peak resident set. The maximum in this process's
// own wait4 would not do: a child made by vfork starts out with its parent's
// peak, and this program is larger than crun. busybox time is smaller than all.
func (b *bench) memory(rows []row) error {
	unit, err := b.timeUnit()
	if err != nil {
		return err
	}
	for i := range rows {
		for _, s := range b.subjects {
			if s.name != rows[i].runtime {
				continue
			}
			peak, err := b.peak(s.path, "--root", s.root, "run", "--bundle", b.once, b.newID())
			if err != nil {
				return err
			}
			rows[i].rss = peak / unit
		}
	}
	return nil
}

// peak answers what `busybox time -v` calls kilobytes.
func (b *bench) peak(argv ...string) (int, error) {
	cmd := exec.Command(b.busybox, append([]string{"time", "-v"}, argv...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("busybox time %s: %w: %s", strings.Join(argv, " "), err, stderr.Bytes())
	}
	_, after, found := strings.Cut(stderr.String(), "Maximum resident set size (kbytes): ")
	line, _, _ := strings.Cut(after, "\n")
	value, err := strconv.Atoi(line)
	if !found || err != nil {
		return 0, fmt.Errorf("busybox time told no resident set: %s", stderr.Bytes())
	}
	return value, nil
}

// timeUnit finds how many of its "kilobytes" busybox counts for one: it takes
// the kernel's KiB for pages (4 in Debian 12). dd's buffer is a known size.
func (b *bench) timeUnit() (int, error) {
	const buffer = 64 << 10 // KiB
	value, err := b.peak(b.busybox, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
	if err != nil {
		return 0, err
	}
	return max((value+buffer/2)/buffer, 1), nil
}
