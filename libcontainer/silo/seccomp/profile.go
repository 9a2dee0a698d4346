package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a filter returns (linux/seccomp.h), without the lower 16 bits of data.
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	retActionMask = 0xffff0000
)

// Bits of seccomp(2)'s flags argument.
const (
	flagLog              = 1 << 1
	flagSpecAllow        = 1 << 2
	flagNewListener      = 1 << 3
	flagWaitKillableRecv = 1 << 5
)

const (
	eperm    = 1
	enosys   = 38
	maxErrno = 4095 // the kernel returns this for anything above it
	maxData  = 0xffff
)

// profile is the section, read and checked, still the same for every
// architecture.
type profile struct {
	fallback uint32 // the default action, as a filter's return value
	entries  []entry
	flags    uint32
	notify   bool
}

// entry is one element of syscalls.
type entry struct {
	action uint32
	// implied: the action is the default one. The rule changes nothing but
	// tells that the profile's author knew the calls.
	implied bool
	rows    []uint16 // the names, as rows of the table
	names   []string // the same names as written
	// anyOf holds conditions of which one alternative must hold; an empty
	// alternative always holds.
	anyOf [][]condition
}

type operator uint8

const (
	equal operator = iota
	maskedEqual
	notEqual
	lessThan
	lessEqual
	greaterThan
	greaterEqual
)

// condition compares the argument of index arg with value.
type condition struct {
	value, mask uint64 // mask: maskedEqual only
	arg         uint8
	op          operator
}

func readProfile(s *specs.LinuxSeccomp) (p *profile, warnings []string, err error) {
	p = &profile{entries: make([]entry, 0, len(s.Syscalls))}
	if p.fallback, err = returnValue(s.DefaultAction, s.DefaultErrnoRet, "defaultAction", "defaultErrnoRet"); err != nil {
		return nil, nil, fmt.Errorf("linux.seccomp.%w", err)
	}
	// An answer from user space to every call includes the calls that hand the
	// listener over; runc refuses it with this text.
	if s.DefaultAction == specs.ActNotify {
		return nil, nil, fmt.Errorf("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action")
	}
	for i := range s.Syscalls {
		e, unknown, err := readEntry(&s.Syscalls[i], p.fallback)
		if err != nil {
			return nil, warnings, fmt.Errorf("linux.seccomp.syscalls[%d].%w", i, err)
		}
		warnings = append(warnings, unknown...)
		if e.action == retNotify {
			p.notify = true
		}
		p.entries = append(p.entries, e)
	}
	if err := contradiction(p.entries); err != nil {
		return nil, warnings, err
	}
	if s.Flags == nil {
		// runc's default: whoever wants the mitigation, which costs all
		// programs speed, writes "flags": [].
		p.flags = flagSpecAllow
	}
	for i, f := range s.Flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC":
			// It is about the other threads of the process, and whoever loads a
			// container's filter has none.
		case specs.LinuxSeccompFlagLog:
			p.flags |= flagLog
		case specs.LinuxSeccompFlagSpecAllow:
			p.flags |= flagSpecAllow
		case specs.LinuxSeccompFlagWaitKillableRecv:
			// EINVAL without a listener, and without meaning: libseccomp drops it.
			if p.notify {
				p.flags |= flagWaitKillableRecv
			}
		default:
			return nil, warnings, fmt.Errorf("linux.seccomp.flags[%d]: seccomp flag %s is not known", i, f)
		}
	}
	if p.notify {
		p.flags |= flagNewListener
	}
	return p, warnings, nil
}

// readEntry's errors start with the property below the entry.
func readEntry(c *specs.LinuxSyscall, fallback uint32) (e entry, unknown []string, err error) {
	if e.action, err = returnValue(c.Action, c.ErrnoRet, "action", "errnoRet"); err != nil {
		return e, nil, err
	}
	e.implied = e.action == fallback
	if e.anyOf, err = readArgs(c.Args); err != nil {
		return e, nil, err
	}
	e.rows = make([]uint16, 0, len(c.Names))
	e.names = make([]string, 0, len(c.Names))
	last := -1
	for i, name := range c.Names {
		if name == "" {
			return e, nil, fmt.Errorf("names[%d]: empty string is not a valid syscall", i)
		}
		// The process that loads the filter may have to write the listener's
		// number to somebody who is not listening yet; runc refuses it with
		// this text.
		if name == "write" && e.action == retNotify {
			return e, nil, fmt.Errorf("names[%d]: SCMP_ACT_NOTIFY cannot be used for the write syscall", i)
		}
		row := lookupAfter(last, name)
		if row < 0 {
			unknown = append(unknown, "unknown system call "+name+" is left out of the seccomp filter")
			continue
		}
		last = row
		e.rows = append(e.rows, uint16(row))
		e.names = append(e.names, name)
	}
	return e, unknown, nil
}

// returnValue is what a filter returns for an action. "When the action doesn't
// support an errno, the runtime MUST print and error and fail."
// (config-linux.md, errnoRet; EPERM where it is absent.)
func returnValue(action specs.LinuxSeccompAction, errnoRet *uint, actionPath, errnoPath string) (uint32, error) {
	var value, most uint32
	switch action {
	case specs.ActKill, specs.ActKillThread:
		value = retKillThread
	case specs.ActKillProcess:
		value = retKillProcess
	case specs.ActTrap:
		value = retTrap
	case specs.ActAllow:
		value = retAllow
	case specs.ActLog:
		value = retLog
	case specs.ActNotify:
		value = retNotify
	case specs.ActErrno:
		value, most = retErrno, maxErrno
	case specs.ActTrace:
		value, most = retTrace, maxData
	default:
		return 0, fmt.Errorf("%s: %q is no seccomp action", actionPath, action)
	}
	switch {
	case most == 0 && errnoRet != nil:
		return 0, fmt.Errorf("%s: %s returns no errno", errnoPath, action)
	case most == 0:
		return value, nil
	case errnoRet == nil:
		return value | eperm, nil
	case *errnoRet > uint(most):
		return 0, fmt.Errorf("%s: %d is above %d, the highest that %s returns", errnoPath, *errnoRet, most, action)
	}
	return value | uint32(*errnoRet), nil
}

// readArgs turns args into alternatives. All conditions must hold, except that
// several on one argument are alternatives, each without the others: runc
// keeps that reading for the profiles of its early days, and profiles that
// list the values an argument may have rely on it.
func readArgs(args []specs.LinuxSeccompArg) ([][]condition, error) {
	if len(args) == 0 {
		return [][]condition{nil}, nil
	}
	all := make([]condition, 0, len(args))
	var seen uint8
	again := false
	for i := range args {
		a := &args[i]
		if a.Index > 5 {
			return nil, fmt.Errorf("args[%d].index: a system call has no argument %d, the last is 5", i, a.Index)
		}
		c := condition{arg: uint8(a.Index), value: a.Value}
		switch a.Op {
		case specs.OpEqualTo:
			c.op = equal
		case specs.OpNotEqual:
			c.op = notEqual
		case specs.OpLessThan:
			c.op = lessThan
		case specs.OpLessEqual:
			c.op = lessEqual
		case specs.OpGreaterThan:
			c.op = greaterThan
		case specs.OpGreaterEqual:
			c.op = greaterEqual
		case specs.OpMaskedEqual:
			c.op, c.mask, c.value = maskedEqual, a.Value, a.ValueTwo
		default:
			return nil, fmt.Errorf("args[%d].op: %q is no seccomp operator", i, a.Op)
		}
		bit := uint8(1) << c.arg
		again = again || seen&bit != 0
		seen |= bit
		all = append(all, c)
	}
	if !again {
		return [][]condition{canonical(all, false)}, nil
	}
	alternatives := make([][]condition, len(all))
	for i := range all {
		alternatives[i] = canonical(all[i:i+1:i+1], false)
	}
	return alternatives, nil
}

// canonical orders conditions by argument and brings each to its simplest
// form, so that equal conditions compare equal. A comparison under a mask
// ignores the bits of value outside it, as libseccomp does, and one under an
// empty mask holds always.
func canonical(conditions []condition, narrow bool) []condition {
	out := make([]condition, 0, len(conditions))
	for _, c := range conditions {
		full := ^uint64(0)
		if narrow {
			full = 0xffffffff
		}
		c.value &= full
		if c.op == maskedEqual {
			c.mask &= full
			c.value &= c.mask
			if c.mask == 0 {
				continue
			}
			if c.mask == full {
				c.op, c.mask = equal, 0
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b condition) int { return int(a.arg) - int(b.arg) })
	return out
}

// contradiction finds a call with the same conditions under two actions.
// libseccomp refuses it, except without conditions, where the first stays.
func contradiction(entries []entry) error {
	for i := range entries {
		a := &entries[i]
		if a.implied || len(a.anyOf[0]) == 0 {
			continue
		}
		for j := range entries[:i] {
			b := &entries[j]
			if b.implied || a.action == b.action || !sharesConditions(a.anyOf, b.anyOf) {
				continue
			}
			for n, name := range a.names {
				if slices.Contains(b.names, name) && !settled(entries[:i], name) {
					return fmt.Errorf("linux.seccomp.syscalls[%d].names[%d]: %s has another action in syscalls[%d] under the same conditions", i, n, name, j)
				}
			}
		}
	}
	return nil
}

// settled: an entry without conditions answers the named call already, so that
// no other rule of it matters.
func settled(entries []entry, name string) bool {
	for i := range entries {
		e := &entries[i]
		if !e.implied && slices.ContainsFunc(e.anyOf, func(c []condition) bool { return len(c) == 0 }) && slices.Contains(e.names, name) {
			return true
		}
	}
	return false
}

func sharesConditions(a, b [][]condition) bool {
	for _, x := range a {
		for _, y := range b {
			if len(x) > 0 && slices.Equal(x, y) {
				return true
			}
		}
	}
	return false
}
