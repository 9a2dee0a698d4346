package computecore

// This file owns HCS_OPERATION: the bindings of its functions, and tracked, the
// operation that call.go runs.

import (
	"context"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

type hcsOperation uintptr

/*
HCS_OPERATION WINAPI HcsCreateOperation(

	_In_opt_ const void* context,
	_In_opt_ HCS_OPERATION_COMPLETION callback);
*/
var procCreateOperation = proc{name: "HcsCreateOperation"}

// createOperation makes an operation without a callback. 0: out of memory.
func createOperation() hcsOperation {
	return hcsOperation(procCreateOperation.call(0, 0))
}

/*
void WINAPI HcsCloseOperation(_In_ HCS_OPERATION operation);
*/
var procCloseOperation = proc{name: "HcsCloseOperation"}

func closeOperation(operation hcsOperation) {
	procCloseOperation.call(uintptr(operation))
}

/*
HRESULT WINAPI HcsCancelOperation(_In_ HCS_OPERATION operation);
*/
var procCancelOperation = proc{name: "HcsCancelOperation"}

// cancelOperation asks for operation to end. "This function is not currently
// implemented and will always return an E_NOTIMPL HRESULT value", says its
// documentation; called all the same, for the Windows that will.
func cancelOperation(operation hcsOperation) uint32 {
	return uint32(procCancelOperation.call(uintptr(operation)))
}

/*
HRESULT WINAPI HcsGetOperationResult(

	_In_ HCS_OPERATION operation,
	_Outptr_opt_ PWSTR* resultDocument);
*/
var procGetOperationResult = proc{name: "HcsGetOperationResult"}

func getOperationResult(operation hcsOperation) (hresult uint32, document []byte) {
	var result *uint16
	hresult = uint32(procGetOperationResult.call(uintptr(operation), uintptr(unsafe.Pointer(&result))))
	return hresult, takeString(result)
}

/*
HRESULT WINAPI HcsWaitForOperationResult(

	_In_ HCS_OPERATION operation,
	_In_ DWORD timeoutMs,
	_Outptr_opt_ PWSTR* resultDocument);
*/
var procWaitForOperationResult = proc{name: "HcsWaitForOperationResult"}

func waitForOperationResult(operation hcsOperation, d time.Duration) (hresult uint32, document []byte) {
	var result *uint16
	hresult = uint32(procWaitForOperationResult.call(uintptr(operation), uintptr(milliseconds(d)), uintptr(unsafe.Pointer(&result))))
	return hresult, takeString(result)
}

/*
HRESULT WINAPI HcsWaitForOperationResultAndProcessInfo(

	_In_ HCS_OPERATION operation,
	_In_ DWORD timeoutMs,
	_Out_opt_ HCS_PROCESS_INFORMATION* processInformation,
	_Outptr_opt_ PWSTR* resultDocument);
*/
var procWaitForProcessInfo = proc{name: "HcsWaitForOperationResultAndProcessInfo"}

func waitForProcessInfo(operation hcsOperation, d time.Duration, info *processInformation) (hresult uint32, document []byte) {
	var result *uint16
	hresult = uint32(procWaitForProcessInfo.call(uintptr(operation), uintptr(milliseconds(d)), uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&result))))
	return hresult, takeString(result)
}

/*
processInformation is

	typedef struct {
		DWORD ProcessId;
		DWORD Reserved;
		HANDLE StdInput;
		HANDLE StdOutput;
		HANDLE StdError;
	} HCS_PROCESS_INFORMATION;

32 bytes on amd64 and arm64.
*/
type processInformation struct {
	processID, reserved           uint32
	stdInput, stdOutput, stdError windows.Handle
}

// public is info with absent handles as 0: HCS gives NULL or
// INVALID_HANDLE_VALUE for a stream that was not asked for.
func (info processInformation) public() ProcessInfo {
	p := ProcessInfo{info.processID, info.stdInput, info.stdOutput, info.stdError}
	for _, h := range []*windows.Handle{&p.Stdin, &p.Stdout, &p.Stderr} {
		if *h == windows.InvalidHandle {
			*h = 0
		}
	}
	return p
}

// milliseconds is d for a timeoutMs: rounded up, and never INFINITE.
func milliseconds(d time.Duration) uint32 {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	return uint32(min(max(ms, 0), math.MaxUint32-1))
}

// tracked is a call that an HCS_OPERATION tracks.
type tracked struct {
	handle hcsOperation
	begin  func(hcsOperation) uint32
	info   *processInformation // filled in on success; nil: none is expected
}

func (t *tracked) open() uint32 {
	if t.handle = createOperation(); t.handle == 0 {
		return 0x8007000E // E_OUTOFMEMORY: NULL if the resources couldn't be allocated
	}
	return 0
}

func (t *tracked) submit() uint32 { return t.begin(t.handle) }
func (t *tracked) cancel()        { cancelOperation(t.handle) }
func (t *tracked) close()         { closeOperation(t.handle) }

func (t *tracked) result() []byte {
	_, document := getOperationResult(t.handle)
	return document
}

func (t *tracked) wait(d time.Duration) (uint32, []byte) {
	if t.info != nil {
		return waitForProcessInfo(t.handle, d, t.info)
	}
	return waitForOperationResult(t.handle, d)
}

var operationProcs = [...]*proc{
	&procCreateOperation, &procCloseOperation, &procCancelOperation,
	&procGetOperationResult, &procWaitForOperationResult, &procWaitForProcessInfo,
}

// operate carries out begin, a call of p on in, and returns its document.
func operate(ctx context.Context, op, object string, in *hold, p *proc, begin func(hcsOperation) uint32) ([]byte, error) {
	return operateWith(ctx, op, object, in, p, &tracked{begin: begin}, nil)
}

func operateWith(ctx context.Context, op, object string, in *hold, p *proc, t *tracked, late func()) ([]byte, error) {
	if err := needOperation(op, object, p); err != nil {
		return nil, err
	}
	r := run(ctx, limits, in, t, late)
	return r.document, r.err(op, object)
}

func needOperation(op, object string, p *proc) error {
	if err := need(op, object, operationProcs[:]...); err != nil {
		return err
	}
	return need(op, object, p)
}

// submit hands begin to HCS and does not wait for it to be done: the way of
// Shutdown and Terminate, whose end is the exit event. It does wait a moment for
// the operation, since HCS tells there, and nowhere else, that it refuses.
//
// The operation is then closed, complete or not. HcsCloseOperation's
// documentation has that cancel what is in progress, but HcsCancelOperation's
// says that there is no cancelling, and Microsoft's own shim closes at once
// since June 2026 and states that HCS carries on (hcsshim,
// internal/hcs/v2/operation.go).
func submit(ctx context.Context, op, object string, in *hold, p *proc, begin func(hcsOperation) uint32) error {
	if err := needOperation(op, object, p); err != nil {
		return err
	}
	patience := limits.refusal
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	r := bounded(ctx, limits, in, nil, func() (uint32, []byte) {
		t := tracked{begin: begin}
		if hr := t.open(); failed(hr) {
			return hr, nil
		}
		defer t.close()
		if hr := t.submit(); !submitted(hr) {
			return hr, t.result()
		}
		hr, document := t.wait(patience)
		if hr == hrTimeout {
			return 0, nil
		}
		return hr, document
	})
	return r.err(op, object)
}
