package silo

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// program is a Plan laid out in memory for the child.
type program struct {
	ops     []op
	errands []op // for the parent
	slots   []uintptr
	plan    *Plan
	// report is slot 0, which outlives the program.
	report *uintptr
	// late are descriptors that are not known yet: the child reads their
	// numbers from here. nil where it cannot, having memory of its own.
	late map[File]*uintptr
	// keep holds what ops point to: the collector does not follow uintptrs.
	keep []any
	// text is the block that strings are copied to, NUL-terminated; one
	// allocation instead of one each.
	text []byte
}

// lower translates p. files gives the number of every descriptor the Plan
// names, report is slot 0. With late, what files lacks may come by bind.
func lower(p *Plan, files map[File]int, report *uintptr, late map[File]*uintptr) (*program, error) {
	all := make([]op, len(p.Steps)+len(p.Errands))
	g := &program{plan: p, report: report, late: late, slots: make([]uintptr, p.Slots+1), ops: all[:len(p.Steps)], errands: all[len(p.Steps):]}
	for i := range g.slots {
		g.slots[i] = ^uintptr(0) // no descriptor
	}
	if err := g.steps(g.ops, p.Steps, files); err != nil {
		return nil, err
	}
	return g, g.steps(g.errands, p.Errands, files)
}

func (g *program) steps(ops []op, steps []Step, files map[File]int) error {
	for i := range steps {
		if err := g.step(&ops[i], i, &steps[i], files); err != nil {
			return fmt.Errorf("step %d (%s): %w", i, steps[i].Call, err)
		}
	}
	return nil
}

// awaited is the register of a descriptor that is opened later.
func (g *program) awaited(f File) *uintptr {
	if g.late[f] == nil {
		g.late[f] = new(uintptr)
	}
	return g.late[f]
}

// bind fills in the descriptors that have been opened meanwhile.
func (g *program) bind(files map[File]int) error {
	for f, number := range g.late {
		fd, ok := files[f]
		if !ok {
			return fmt.Errorf("descriptor <%s> is missing", f)
		}
		*number = uintptr(fd)
	}
	return nil
}

func (g *program) slot(s Slot) *uintptr {
	if s == 0 {
		return g.report
	}
	return &g.slots[s]
}

func (g *program) step(o *op, i int, s *Step, files map[File]int) error {
	number, ok := callNumber(s.Call)
	if !ok {
		return fmt.Errorf("system call %s is not known", s.Call)
	}
	o.number, o.step, o.next = number, int32(i), int32(i+1+s.Skip)
	o.hasWant, o.want = s.Want != 0, uintptr(s.Want)
	if s.Save != 0 || s.Call == callLet {
		o.save = g.slot(s.Save)
	}
	if len(s.Rescue) > len(o.rescue) {
		return fmt.Errorf("%d rescues, at most %d fit", len(s.Rescue), len(o.rescue))
	}
	for k, r := range s.Rescue {
		o.rescue[k] = jump{r.Errno, int32(i + 1 + r.Skip)}
	}
	o.rescues = uint8(len(s.Rescue))
	for k, a := range s.Args {
		if r, ok := a.(Slot); ok {
			o.register[k] = g.slot(r)
			continue
		}
		if f, ok := a.(File); ok && g.late != nil {
			if _, known := files[f]; !known {
				o.register[k] = g.awaited(f)
				continue
			}
		}
		v, err := g.arg(a, files)
		if err != nil {
			return err
		}
		o.args[k] = v
	}
	if s.Call == "recvmsg" {
		o.pass = &g.keep[len(g.keep)-1].(*message).control.fd
	}
	if s.Call == "sendmsg" {
		// The descriptor to pass is known only when the child gets there.
		pass := s.Args[1].(SendFD)
		o.pass, o.passed = &g.keep[len(g.keep)-1].(*message).control.fd, &g.slots[pass.Descriptor]
	}
	return nil
}

// arg gives the value of an argument that is known before the clone.
func (g *program) arg(a Arg, files map[File]int) (uintptr, error) {
	switch a := a.(type) {
	case Int:
		return uintptr(a), nil
	case Flags:
		return uintptr(a), nil
	case Str:
		return g.str(string(a)), nil
	case File:
		fd, ok := files[a]
		if !ok {
			return 0, fmt.Errorf("descriptor <%s> is missing", a)
		}
		return uintptr(fd), nil
	case Bytes:
		if len(a) == 0 {
			return 0, nil
		}
		g.keep = append(g.keep, a)
		return uintptr(unsafe.Pointer(&a[0])), nil
	case How:
		h := &unix.OpenHow{Flags: a.Flags, Mode: a.Mode, Resolve: a.Resolve}
		g.keep = append(g.keep, h)
		return uintptr(unsafe.Pointer(h)), nil
	case Argv:
		return g.argv(a), nil
	case Filter:
		f := &unix.SockFprog{Len: uint16(len(a.Program) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&a.Program[0]))}
		g.keep = append(g.keep, f)
		return uintptr(unsafe.Pointer(f)), nil
	case MountAttr:
		fd, ok := files[a.Userns]
		if !ok {
			return 0, fmt.Errorf("descriptor <%s> is missing", a.Userns)
		}
		attr := &unix.MountAttr{Attr_set: a.Set, Userns_fd: uint64(fd)}
		g.keep = append(g.keep, attr)
		return uintptr(unsafe.Pointer(attr)), nil
	case SendFD, RecvFD:
		m := newMessage()
		g.keep = append(g.keep, m)
		return uintptr(unsafe.Pointer(&m.header)), nil
	}
	return 0, fmt.Errorf("argument of type %T is not known", a)
}

func (g *program) str(s string) uintptr {
	if cap(g.text)-len(g.text) < len(s)+1 {
		g.text = make([]byte, 0, max(16<<10, len(s)+1))
		g.keep = append(g.keep, g.text)
	}
	at := len(g.text)
	g.text = append(append(g.text, s...), 0)
	return uintptr(unsafe.Pointer(&g.text[at]))
}

// argv lays out a NULL-terminated array. The program found at run time is
// saved straight into its first element.
func (g *program) argv(a Argv) uintptr {
	list := make([]uintptr, 0, len(a.Words)+2)
	if a.Program != 0 {
		list = append(list, 0)
	}
	for _, w := range a.Words {
		list = append(list, g.str(w))
	}
	list = append(list, 0)
	g.keep = append(g.keep, list)
	if a.Program != 0 {
		for i := range g.ops {
			if g.ops[i].save == &g.slots[a.Program] {
				g.ops[i].save = &list[0]
			}
		}
	}
	return uintptr(unsafe.Pointer(&list[0]))
}

// message is a msghdr that carries one descriptor, with all it points to.
type message struct {
	header  unix.Msghdr
	iov     unix.Iovec
	payload [8]byte
	control struct {
		unix.Cmsghdr
		fd  int32
		pad int32
	}
}

func newMessage() *message {
	m := &message{}
	copy(m.payload[:], "pty")
	m.iov.Base = &m.payload[0]
	m.iov.SetLen(3)
	m.header.Iov, m.header.Iovlen = &m.iov, 1
	m.header.Control = (*byte)(unsafe.Pointer(&m.control))
	m.header.SetControllen(unix.CmsgSpace(4))
	m.control.Level, m.control.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	m.control.SetLen(unix.CmsgLen(4))
	return m
}
