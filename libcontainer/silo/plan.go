// Package silo is process isolation on Linux: namespaces and cgroups.
//
// A container start is not a program that runs inside the new namespaces but a
// Plan: a list of system calls that the parent compiles from the Spec (this
// half of the package, pure, on any OS) and that the child of one raw clone
// walks (the _linux.go half). What the list says is what happens; there is no
// other start-up code in the container.
package silo

import (
	"slices"
	"strconv"
	"strings"
)

// Plan is the ordered list of system calls between clone and the user program.
type Plan struct {
	CloneFlags uint64 // CLONE_NEW* of the first clone
	// Pids is the pid namespace to be born in, where it is another's: the thread
	// that clones enters it for that moment. "": the child is born in wrun's own.
	Pids  File
	Steps []Step
	// Errands are steps that the parent takes while a child that waited for its
	// cgroup goes on: those that need a descriptor of the child's and none of its
	// namespaces, and for which nobody waits but the program.
	Errands []Step
	// Visible: others may look into the child until the plan forbids it.
	Visible bool
	Slots   int // registers used; slot 0 is the descriptor errors are reported to
	// Warnings tell what was asked for and cannot be done here (runtime-spec
	// lets a runtime go on, e.g. for a capability that cannot be granted).
	Warnings []string
}

// Step is one system call.
type Step struct {
	Call string // the system call's name, or one of the pseudo calls below
	Args []Arg
	Save Slot   // register that gets the result; 0 for none
	Why  string // what it is for, in the words of config.json
	// Rescue lists the errors that are no failure, and where to go on.
	Rescue []Rescue
	// Skip is the number of following steps to leave out after success.
	Skip int
	// Want, when not zero, is the only result that counts as success.
	Want int
}

// Pseudo calls: no system call, but part of the walk.
const (
	callLet  = "let"  // save the argument in the slot
	callFail = "fail" // end the walk with the errno given
	callTell = "tell" // write a record to the descriptor: code and value
	callFork = "fork" // clone(CLONE_PARENT): the child goes on, the caller reports the pid and exits
	// callAwait: the parent has said so many times that the child can go on. By a
	// word of memory: whoever is woken by a socket gets the processor of who writes
	// to it, and the parent is far from done with it.
	callAwait = "await"
	// callProceed: go on with the same step of the plan proper, which has
	// become known meanwhile.
	callProceed = "proceed"
)

// Rescue tells that the named error is expected; the walk goes on Skip steps
// further than the next one.
type Rescue struct {
	Errno uint16 // 0: any
	Skip  int
}

// Arg is an argument of a Step: Int, Str, Slot, File, Bytes, How, Argv,
// Filter, SendFD, RecvFD or MountAttr.
type Arg interface{ text() string }

type (
	// Int is a plain number.
	Int int64
	// Flags is a number shown in hexadecimal.
	Flags uint64
	// Str becomes a pointer to a NUL-terminated string.
	Str string
	// Slot reads a register that an earlier step saved.
	Slot int
	// File is a descriptor the parent opened and the child inherited.
	File string
	// Bytes becomes a pointer to this memory; the kernel may write into it.
	Bytes []byte
	// How is a struct open_how: flags, mode, resolve.
	How struct{ Flags, Mode, Resolve uint64 }
	// Argv is a NULL-terminated array of strings. With Program set its first
	// element is the program chosen at run time, for the exec stub.
	Argv struct {
		Words   []string
		Program Slot
	}
	// Filter is a struct sock_fprog.
	Filter struct{ Program []byte }
	// SendFD is a struct msghdr that passes one descriptor (SCM_RIGHTS).
	SendFD struct{ Descriptor Slot }
	// RecvFD is a struct msghdr that takes one; it becomes the call's result.
	RecvFD struct{}
	// MountAttr is a struct mount_attr with a user namespace in it.
	MountAttr struct {
		Set    uint64
		Userns File
	}
)

// Names of the descriptors a Plan expects from its runner.
const (
	fileSync    File = "sync"    // socket to the parent: errors, readiness, hooks
	fileParent  File = "parent"  // the parent's end of it, to be closed
	fileLife    File = "life"    // the parent's /proc/self/cmdline: readable while it lives
	fileGate    File = "gate"    // fifo; a byte in it opens the start gate
	fileResult  File = "result"  // fifo; errors after the gate
	fileStub    File = "stub"    // memfd with the exec stub
	fileConsole File = "console" // socket that gets the pty master
	fileInit    File = "init"    // pidfd of the container's init, for exec
	fileGroup   File = "group"   // directory of cgroup v2 that the child is born into, to be closed
)

// shared lists the registers of descriptors that a child which has its parent's
// table opens and does not close until it has its own.
func (p *Plan) shared() []Slot {
	var open []Slot
	for i := range p.Steps {
		s := &p.Steps[i]
		switch s.Call {
		case "unshare":
			if s.Args[0] == Flags(cloneFiles) {
				return open
			}
		case "openat", "openat2", "open_tree", "socket", "fsopen", "fsmount":
			if !slices.Contains(open, s.Save) {
				open = append(open, s.Save)
			}
		case "close":
			open = slices.DeleteFunc(open, func(o Slot) bool { return o == s.Args[0] })
		}
	}
	return nil
}

func (a Int) text() string   { return strconv.FormatInt(int64(a), 10) }
func (a Flags) text() string { return "0x" + strconv.FormatUint(uint64(a), 16) }
func (a Str) text() string   { return strconv.Quote(string(a)) }
func (a Slot) text() string  { return "$" + strconv.Itoa(int(a)) }
func (a File) text() string  { return "<" + string(a) + ">" }
func (a Bytes) text() string {
	if len(a) > 32 {
		return "[" + strconv.Itoa(len(a)) + " bytes]"
	}
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 2*len(a)+2)
	b = append(b, '[')
	for _, c := range a {
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(append(b, ']'))
}
func (a How) text() string {
	s := "{flags " + Flags(a.Flags).text()
	if a.Mode != 0 {
		s += " mode 0" + strconv.FormatUint(a.Mode, 8)
	}
	return s + " resolve " + Flags(a.Resolve).text() + "}"
}
func (a Argv) text() string {
	q := make([]string, 0, len(a.Words)+1)
	if a.Program != 0 {
		q = append(q, a.Program.text())
	}
	for _, w := range a.Words {
		q = append(q, strconv.Quote(w))
	}
	return "[" + strings.Join(q, " ") + "]"
}
func (a Filter) text() string    { return "[" + strconv.Itoa(len(a.Program)/8) + " bpf instructions]" }
func (a RecvFD) text() string    { return "{SCM_RIGHTS}" }
func (a MountAttr) text() string { return "{set " + Flags(a.Set).text() + " " + a.Userns.text() + "}" }
func (a SendFD) text() string    { return "{SCM_RIGHTS " + a.Descriptor.text() + "}" }

// String shows the whole plan: each reason once, its steps below it. It is
// what `wrun create --dry-run` prints.
func (p *Plan) String() string {
	var b strings.Builder
	b.WriteString("clone flags 0x" + strconv.FormatUint(p.CloneFlags, 16) + namespaceNames(p.CloneFlags))
	if p.Pids != "" {
		b.WriteString(", in the pid namespace of " + p.Pids.text())
	}
	b.WriteString("\n")
	writeSteps(&b, p.Steps)
	if len(p.Errands) > 0 {
		b.WriteString("the parent's errands\n")
		writeSteps(&b, p.Errands)
	}
	for _, w := range p.Warnings {
		b.WriteString("warning: " + w + "\n")
	}
	return b.String()
}

func writeSteps(b *strings.Builder, steps []Step) {
	why := ""
	for i := range steps {
		s := &steps[i]
		if s.Why != "" && s.Why != why {
			why = s.Why
			b.WriteString("# " + why + "\n")
		}
		n := strconv.Itoa(i)
		b.WriteString(strings.Repeat(" ", max(0, 5-len(n))) + n + "  " + s.text() + "\n")
	}
}

func (s *Step) text() string {
	var b strings.Builder
	if s.Save != 0 || s.Call == callLet {
		b.WriteString(s.Save.text() + " = ")
	}
	b.WriteString(s.Call + "(")
	for i, a := range s.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.text())
	}
	b.WriteByte(')')
	if s.Skip != 0 {
		b.WriteString("; then skip " + strconv.Itoa(s.Skip))
	}
	for _, r := range s.Rescue {
		b.WriteString("; on " + errnoName(r.Errno))
		if r.Skip == 0 {
			b.WriteString(" go on")
		} else {
			b.WriteString(" skip " + strconv.Itoa(r.Skip))
		}
	}
	return b.String()
}
