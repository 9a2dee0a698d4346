// Package cgroup puts one container into control groups: it finds out how the
// machine mounts them, makes the container's directories, writes its limits,
// and freezes, measures, kills and removes it again.
//
// What can be computed is computed by pure functions (which directories, which
// file gets which value, which program guards the devices); the _linux files
// only carry that out. Neither knows anything of bundles or containers' states.
package cgroup

import (
	"errors"
	"strconv"
	"strings"
)

// Layout is how this machine mounts cgroups, and where wrun itself sits.
type Layout struct {
	hierarchies []hierarchy
	foreign     bool
	sparing     bool
}

// Own is the Layout of a machine whose cgroups are this process's: it has mounted
// the tree of v2, which is the only one, sits in its root, and has that hand down
// memory and pids, without which the statistics would lack something. Of the other
// controllers a group gets those that its limits need: each costs a start, and they
// can come later. That is for where nobody else reads the groups' files.
func Own(mount string) *Layout {
	return &Layout{hierarchies: []hierarchy{{mount: mount, own: "/"}}, sparing: true}
}

// Foreign says that the trees belong to somebody who is not root here: this is a
// user namespace, and the machine is another's.
func (l *Layout) Foreign() bool { return l.foreign }

// hierarchy is one mounted tree: a v1 controller (or a co-mounted set, or a
// named one without controllers) or the unified tree of v2.
type hierarchy struct {
	controllers string // "cpu,cpuacct", "name=systemd"; "" is v2
	mount       string // where it is mounted
	own         string // wrun's own group in it, relative to the mount, "/" at least
}

// Pure says that the unified hierarchy is the only one.
func (l *Layout) Pure() bool {
	return len(l.hierarchies) == 1 && l.hierarchies[0].controllers == ""
}

// Inside says whether wrun's own group of v2 is the one at a path, or below it.
func (l *Layout) Inside(path string) bool {
	for i := range l.hierarchies {
		h := &l.hierarchies[i]
		if h.controllers == "" && (h.own == path || strings.HasPrefix(h.own, path+"/")) {
			return true
		}
	}
	return false
}

// ParseLayout reads a Layout off the text of /proc/self/mountinfo and
// /proc/self/cgroup.
func ParseLayout(mountinfo, selfCgroup []byte) (*Layout, error) {
	mounts := cgroupMounts(string(mountinfo))
	l := &Layout{hierarchies: make([]hierarchy, 0, 16)}
	for line := range strings.SplitSeq(string(selfCgroup), "\n") {
		_, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		controllers, own, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		if m := mountOf(mounts, controllers); m != nil {
			l.hierarchies = append(l.hierarchies, hierarchy{
				controllers: controllers,
				mount:       m.point,
				own:         below(m.root, own),
			})
		}
	}
	if len(l.hierarchies) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted (read /proc/self/mountinfo)")
	}
	return l, nil
}

// usualLayout is ParseLayout without the mount table, which on a machine full of
// containers is long: it looks where distributions mount cgroups. whole says whether the root of a hierarchy is mounted on dir.
// It gives up (nil) when a v1 hierarchy is elsewhere; a hybrid machine's v2 tree
// counts only at its usual place.
func usualLayout(selfCgroup string, whole func(dir string, v2 bool) bool) *Layout {
	const root = "/sys/fs/cgroup"
	pure := whole(root, true)
	l := &Layout{hierarchies: make([]hierarchy, 0, 16)}
	for line := range strings.SplitSeq(selfCgroup, "\n") {
		_, rest, _ := strings.Cut(line, ":")
		controllers, own, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		dir, v2 := root, controllers == ""
		switch {
		case !v2:
			dir += "/" + strings.TrimPrefix(controllers, "name=")
		case !pure:
			dir += "/unified"
		}
		if !whole(dir, v2) {
			if v2 && !pure {
				continue
			}
			return nil
		}
		l.hierarchies = append(l.hierarchies, hierarchy{controllers, dir, clean(own)})
	}
	if len(l.hierarchies) == 0 {
		return nil
	}
	return l
}

// mount is one mounted cgroup file system.
type mount struct {
	root, point string
	options     string // super block options; "" for v2
	v2          bool
}

// cgroupMounts lists the cgroup mounts that can be reached: a mount hides what
// was mounted earlier at or below its mount point.
func cgroupMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.SplitSeq(mountinfo, "\n") {
		// 36 35 98:0 /root /point options [optional fields] - type source super-options
		head, tail, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		_, head, _ = strings.Cut(head, " ")
		_, head, _ = strings.Cut(head, " ")
		_, head, _ = strings.Cut(head, " ")
		root, head, _ := strings.Cut(head, " ")
		point, _, _ := strings.Cut(head, " ")
		point = unescape(point)
		if len(mounts) > 0 && point != "/" {
			kept := mounts[:0]
			for _, m := range mounts {
				if m.point != point && !strings.HasPrefix(m.point, point+"/") {
					kept = append(kept, m)
				}
			}
			mounts = kept
		}
		fstype, tail, _ := strings.Cut(tail, " ")
		if fstype != "cgroup" && fstype != "cgroup2" {
			continue
		}
		m := mount{root: unescape(root), point: point, v2: fstype == "cgroup2"}
		if !m.v2 {
			_, m.options, _ = strings.Cut(tail, " ")
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// mountOf picks the mount of a line of /proc/self/cgroup. Of several (engines
// bind parts of the tree into containers) the one that shows most of the tree
// wins, then the one at the usual place, then the first.
func mountOf(mounts []mount, controllers string) *mount {
	var best *mount
	for i := range mounts {
		m := &mounts[i]
		if m.v2 != (controllers == "") || !m.v2 && !hasAll(m.options, controllers) {
			continue
		}
		if best == nil || rank(m) > rank(best) {
			best = m
		}
	}
	return best
}

func rank(m *mount) int {
	r := 0
	if m.root == "/" {
		r += 2
	}
	if strings.HasPrefix(m.point, "/sys/fs/cgroup") {
		r++
	}
	return r
}

// hasAll says whether each element of the comma list want is in the list have.
func hasAll(have, want string) bool {
	for w := range strings.SplitSeq(want, ",") {
		if !has(have, w) {
			return false
		}
	}
	return true
}

func has(list, want string) bool {
	for h := range strings.SplitSeq(list, ",") {
		if h == want {
			return true
		}
	}
	return false
}

// below is path as seen from root: the path inside a mount whose root is root.
// A path outside (a process moved out of its cgroup namespace) becomes "/".
func below(root, path string) string {
	if root == "/" || root == "" {
		return clean(path)
	}
	if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
		return clean(rest)
	}
	return "/"
}

// unescape undoes the kernel's octal escapes (\040 for a space) in mountinfo.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
