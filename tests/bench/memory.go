//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// memoryUse is what a runtime needs of the machine's memory.
type memoryUse struct {
	peak    int   // peak resident set of run, in KiB
	charged int64 // what the cgroup of a created container holds before its program, in bytes
}

// memory measures each runtime: the greater of some peaks, the median of what
// is charged. The maximum in this process's own wait4 would not do for the
// peak: a child made by vfork starts out with its parent's, and this program is
// larger than crun. busybox time is smaller than all.
func (b *bench) memory() (map[string]memoryUse, error) {
	unit, err := b.timeUnit()
	if err != nil {
		return nil, err
	}
	all := map[string]memoryUse{}
	for _, s := range b.subjects {
		var use memoryUse
		var charged []int64
		for range 11 {
			peak, err := b.peak(s.path, "--root", s.root, "run", "--bundle", b.once, b.newID())
			if err != nil {
				return nil, err
			}
			use.peak = max(use.peak, peak/unit)
			bytes, err := b.charged(s)
			if err != nil {
				return nil, err
			}
			charged = append(charged, bytes)
		}
		slices.Sort(charged)
		use.charged = charged[len(charged)/2]
		all[s.name] = use
	}
	return all, nil
}

// charged makes a container and reads what its memory cgroup holds before the
// program is executed: all of it is the runtime's and the kernel's doing.
func (b *bench) charged(s subject) (int64, error) {
	id := b.newID()
	b.live[id] = s
	if _, err := b.call(s, "create", "--bundle", b.lasting, id); err != nil {
		return 0, err
	}
	state, err := b.state(s, id)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", state.Pid))
	if err != nil {
		return 0, err
	}
	group := ""
	for line := range strings.Lines(string(text)) {
		if _, path, is := strings.Cut(strings.TrimSpace(line), ":memory:"); is {
			group = path
		}
	}
	if group == "" {
		return 0, fmt.Errorf("%s: %s has no memory cgroup of v1: %s", s.name, id, text)
	}
	text, err = os.ReadFile(cgroups + "/memory" + group + "/memory.usage_in_bytes")
	if err != nil {
		return 0, err
	}
	bytes, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, err
	}
	return bytes, b.disperse(s, []string{id})
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
