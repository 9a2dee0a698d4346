package silo

import "path"

// builder appends steps to a Plan.
type builder struct {
	plan *Plan
	// lends: the parent runs errands. onErrand: what is appended is one.
	lends, onErrand bool
	root            Slot // descriptor of the container's root mount
	// readonlyDev is set when /dev is to become read-only once it is filled.
	readonlyDev string
	// owned: the child has descriptors of its own and is in its cgroup.
	owned bool
	// show mounts the container's cgroup on what has been prepared for it.
	show    func()
	awaited int // signals
}

func (b *builder) slot() Slot {
	b.plan.Slots++
	return Slot(b.plan.Slots)
}

func (b *builder) call(why, name string, args ...Arg) *Step {
	list := b.steps()
	*list = append(*list, Step{Call: name, Args: args, Why: why})
	return &(*list)[len(*list)-1]
}

// steps is the list that is being appended to.
func (b *builder) steps() *[]Step {
	if b.onErrand {
		return &b.plan.Errands
	}
	return &b.plan.Steps
}

// step is one of that list.
func (b *builder) step(i int) *Step { return &(*b.steps())[i] }

// errand has the parent do what build appends, if it runs errands.
func (b *builder) errand(build func()) {
	b.onErrand = b.lends && !b.owned
	build()
	b.onErrand = false
}

// save is call with a fresh register for the result.
func (b *builder) save(why, name string, args ...Arg) Slot {
	s := b.slot()
	b.call(why, name, args...).Save = s
	return s
}

func (b *builder) warn(text string) { b.plan.Warnings = append(b.plan.Warnings, text) }

// here is the index of the next step; with it a step's Skip is patched once it
// is known how many steps follow.
func (b *builder) here() int { return len(*b.steps()) }

// skipFrom is the distance from step i to the next step to be appended.
func (b *builder) skipFrom(i int) int { return b.here() - i - 1 }

// inside is how every path in the container is opened: by descriptor, never
// leaving the root, never through /proc's magic links. One resolution, its
// result pinned: what the runtimes' path races (CVE-2021-30465 and its
// followers) lacked.
func inside(flags, resolve uint64) How {
	return How{Flags: flags | oCloexec, Resolve: resolveInRoot | resolveNoMagiclinks | resolve}
}

// target opens the mount point dst, making what is missing of it. The last
// element becomes a directory or, with file, an empty regular file.
func (b *builder) target(why, dst string, file bool, resolve uint64) Slot {
	s := b.slot()
	b.reach(why, s, dst, file, resolve)
	return s
}

// into is target for a register that more than one way leads to.
func (b *builder) into(why string, s Slot, dst string, file bool) { b.reach(why, s, dst, file, 0) }

func (b *builder) reach(why string, s Slot, dst string, file bool, resolve uint64) {
	b.open(why, s, dst, resolve)
	first := b.here() - 1
	b.step(first).Rescue = []Rescue{{Errno: eNOENT}}
	b.make(why, dst, file)
	b.open(why, s, dst, resolve)
	b.step(first).Skip = b.skipFrom(first)
}

// open opens a path inside the root, to be used as a place only.
func (b *builder) open(why string, s Slot, name string, resolve uint64) {
	b.call(why, "openat2", b.root, Str(name), inside(oPath, resolve), Int(sizeofHow)).Save = s
}

// make creates dst below a pinned parent, and the parent's own ancestors one
// by one in the rare case that it is missing too.
func (b *builder) make(why, dst string, file bool) {
	dst = path.Clean("/" + dst)
	parent, name := path.Split(dst)
	p := b.slot()
	b.open(why, p, parent, 0)
	if parent != "/" {
		first := b.here() - 1
		b.step(first).Rescue = []Rescue{{Errno: eNOENT}}
		b.make(why, parent, false)
		b.open(why, p, parent, 0)
		b.step(first).Skip = b.skipFrom(first)
	}
	if file {
		b.call(why, "mknodat", p, Str(name), Int(0o644), Int(0))
	} else {
		b.call(why, "mkdirat", p, Str(name), Int(0o755))
	}
	b.step(b.here() - 1).Rescue = []Rescue{{Errno: eEXIST}}
	b.call("", "close", p)
}

// sizeofHow is sizeof(struct open_how), the last argument of openat2(2).
const sizeofHow = 24

// enter makes the mount point the working directory, so that mount(2) on "."
// acts on exactly the directory that was resolved.
func (b *builder) enter(why string, dir Slot) { b.call(why, "fchdir", dir) }

// attach hangs the detached mount tree m onto the mount point s.
func (b *builder) attach(why string, m, s Slot) *Step {
	return b.call(why, "move_mount", m, Str(""), s, Str(""), Flags(moveFromEmpty|moveToEmpty))
}

// setattr changes a mount's attributes by descriptor.
func (b *builder) setattr(why string, m Slot, at uint64, set, clear, propagation uint64) *Step {
	attr := make(Bytes, 32) // struct mount_attr: set, clr, propagation, userns_fd
	put64(attr, set)
	put64(attr[8:], clear)
	put64(attr[16:], propagation)
	return b.call(why, "mount_setattr", m, Str(""), Flags(atEmptyPath|at), attr, Int(len(attr)))
}

func put64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

func put32(b []byte, v uint32) {
	for i := range 4 {
		b[i] = byte(v >> (8 * i))
	}
}
