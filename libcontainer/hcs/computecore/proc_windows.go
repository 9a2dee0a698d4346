package computecore

// This file owns the way into computecore.dll: the library, its functions, and
// strings to and from it. Nothing is loaded before the first call, and a
// library or function that is missing is an error with the cure, not a panic.

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// module comes from the system directory only.
var module = windows.LazyDLL{Name: "computecore.dll", System: true}

// proc is a function of computecore.dll. Composite literals of it are static
// data: forty lazy procs cost nothing at start.
type proc struct {
	name  string
	since string // the Windows that first had it; "" is what everything here needs
	addr  atomic.Uintptr
}

const (
	since1809 = "Windows 10 1809 or Windows Server 2019"
	since2022 = "Windows Server 2022"
)

// find loads the function once. The error's Op and Object are the caller's to
// set.
func (p *proc) find() *Error {
	if p.addr.Load() != 0 {
		return nil
	}
	since := p.since
	if since == "" {
		since = since1809
	}
	if err := module.Load(); err != nil {
		return &Error{HRESULT: 0x8007007E, Message: "computecore.dll cannot be loaded: the Windows feature Containers is not enabled, or Windows is older than " + since1809, cause: err}
	}
	lazy := module.NewProc(p.name)
	if err := lazy.Find(); err != nil {
		return &Error{HRESULT: 0x8007007F, Message: "computecore.dll has no " + p.name + ": it needs " + since, cause: err}
	}
	p.addr.Store(lazy.Addr())
	return nil
}

// need is the first of what is missing, as the error of op on object.
func need(op, object string, procs ...*proc) error {
	for _, p := range procs {
		if e := p.find(); e != nil {
			e.Op, e.Object = op, object
			return e
		}
	}
	return nil
}

// call calls the function, which need has found, and returns its HRESULT or
// handle. What the arguments point to is moved to the heap, so that a callback
// on this thread, which may move the stack, cannot hurt.
//
//go:uintptrescapes
func (p *proc) call(args ...uintptr) uintptr {
	addr := p.addr.Load()
	if addr == 0 {
		return 0x8007007F
	}
	r, _, _ := syscall.SyscallN(addr, args...)
	return r
}

// utf16Of is s for a PCWSTR parameter; an empty document is NULL, which is what
// HCS asks for where a document is optional.
func utf16Of(op, object string, s []byte) (*uint16, error) {
	if len(s) == 0 {
		return nil, nil
	}
	p, err := windows.UTF16PtrFromString(string(s))
	if err != nil {
		return nil, &Error{Op: op, Object: object, HRESULT: hrInvalidParam, Message: "a NUL character in what is handed to HCS", cause: err}
	}
	return p, nil
}

const hrInvalidParam = 0x80070057 // E_INVALIDARG

// maxString bounds what is read of a string that HCS returns, in UTF-16 units.
const maxString = 8 << 20

// stringAt is the text that p points to, nil for NULL.
func stringAt(p *uint16) []byte {
	if p == nil {
		return nil
	}
	n := 0
	for q := unsafe.Pointer(p); n < maxString && *(*uint16)(q) != 0; n++ {
		q = unsafe.Add(q, 2)
	}
	return []byte(windows.UTF16ToString(unsafe.Slice(p, n)))
}

// takeString is stringAt for a PWSTR that is the caller's to free: "The caller
// is responsible for releasing the returned string using LocalFree()"
// (HcsWaitForOperationResult).
func takeString(p *uint16) []byte {
	if p == nil {
		return nil
	}
	s := stringAt(p)
	_, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(p)))
	return s
}
