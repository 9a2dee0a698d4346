/*
 * HCS_OPERATION: one asynchronous call and its result. A call runs in a thread
 * with a connection of its own, so a call that hangs holds up nobody but its
 * waiters. HcsCancelOperation ends it on this side where the service says so,
 * while the service may well finish it.
 */
#include "computecore.h"

typedef void(CALLBACK *HCS_OPERATION_COMPLETION)(Operation *operation, void *context);

struct Operation {
	LONG references; /* the client's, and the running call's */
	SRWLOCK lock;
	BOOL started;
	HANDLE done, cancel;
	UINT64 id;
	int type;
	void *context;
	HCS_OPERATION_COMPLETION completion;
	Object *system, *process; /* what the client asked about, not referenced */
	UINT64 about;             /* its name, for the cancelling */
	HRESULT hr;
	PWSTR document;
	HCS_PROCESS_INFORMATION info;
	BOOL info_known, info_given;
};

/* A call on its way. */
typedef struct {
	Operation *operation;
	Object *about, *fresh;
	WireCall call;
} Flight;

EXPORT Operation *WINAPI HcsCreateOperation(void *context, HCS_OPERATION_COMPLETION completion)
{
	Operation *o = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *o);

	if (!o) {
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	o->references = 1;
	InitializeSRWLock(&o->lock);
	o->done = CreateEventW(NULL, TRUE, FALSE, NULL);
	o->cancel = CreateEventW(NULL, TRUE, FALSE, NULL);
	o->id = wire_token();
	o->type = HcsOperationTypeNone;
	o->context = context;
	o->completion = completion;
	return o;
}

/* Notifications of single operations are not emulated: eventTypes must be 0. */
EXPORT Operation *WINAPI HcsCreateOperationWithNotifications(DWORD event_types, void *context, HCS_EVENT_CALLBACK callback)
{
	(void)context;
	(void)callback;
	if (event_types != 0) {
		SetLastError(ERROR_NOT_SUPPORTED);
		return NULL;
	}
	return HcsCreateOperation(NULL, NULL);
}

static void close_info(Operation *o)
{
	if (o->info_known && !o->info_given) {
		if (o->info.StdInput)
			CloseHandle(o->info.StdInput);
		if (o->info.StdOutput)
			CloseHandle(o->info.StdOutput);
		if (o->info.StdError)
			CloseHandle(o->info.StdError);
	}
	o->info_known = o->info_given = FALSE;
}

static void operation_release(Operation *o)
{
	if (InterlockedDecrement(&o->references) > 0)
		return;
	close_info(o);
	task_free(o->document);
	CloseHandle(o->done);
	CloseHandle(o->cancel);
	HeapFree(GetProcessHeap(), 0, o);
}

EXPORT void WINAPI HcsCloseOperation(Operation *o)
{
	if (o)
		operation_release(o);
}

static DWORD WINAPI fly(void *parameter)
{
	Flight *f = parameter;
	Operation *o = f->operation;
	WireAnswer answer = {0};
	HANDLE connection = wire_dial();
	HCS_OPERATION_COMPLETION completion;
	DWORD i;

	if (!connection)
		answer.hr = wire_flavour.no_service;
	else
		wire_call(connection, o->cancel, &f->call, &answer);
	/* A call may fail after it has made its handle, which is then good. */
	if (connection && f->fresh && (SUCCEEDED(answer.hr) || answer.numbers[0]))
		object_hold(f->fresh, connection);
	else if (connection)
		CloseHandle(connection);
	for (i = 2; i < 5 && FAILED(answer.hr); i++)
		if (answer.numbers[i])
			CloseHandle((HANDLE)(ULONG_PTR)answer.numbers[i]);

	AcquireSRWLockExclusive(&o->lock);
	o->hr = answer.hr;
	o->document = FAILED(answer.hr) && answer.result ? answer.result : answer.value;
	task_free(o->document == answer.value ? answer.result : answer.value);
	if (SUCCEEDED(answer.hr) && (o->type == HcsOperationTypeCreateProcess || o->type == HcsOperationTypeGetProcessInfo)) {
		o->info.ProcessId = (DWORD)answer.numbers[1];
		o->info.StdInput = (HANDLE)(ULONG_PTR)answer.numbers[2];
		o->info.StdOutput = (HANDLE)(ULONG_PTR)answer.numbers[3];
		o->info.StdError = (HANDLE)(ULONG_PTR)answer.numbers[4];
		o->info_known = TRUE;
	}
	completion = o->completion;
	ReleaseSRWLockExclusive(&o->lock);
	SetEvent(o->done);
	if (completion)
		completion(o, o->context);

	for (i = 0; i < f->call.count; i++)
		task_free((PWSTR)f->call.arguments[i]);
	if (f->about)
		object_release(f->about);
	if (f->fresh)
		object_release(f->fresh);
	operation_release(o);
	HeapFree(GetProcessHeap(), 0, f);
	return 0;
}

HRESULT operation_start(Operation *o, int type, Object *about, Object *fresh, PCWSTR function, PCWSTR a, PCWSTR b)
{
	Flight *f;
	HANDLE thread;

	if (!o)
		return E_INVALIDARG;
	AcquireSRWLockExclusive(&o->lock);
	if (o->started && WaitForSingleObject(o->done, 0) == WAIT_TIMEOUT) {
		ReleaseSRWLockExclusive(&o->lock);
		return HCS_E_OPERATION_ALREADY_STARTED;
	}
	o->started = TRUE;
	o->type = type;
	o->about = about ? about->token : 0;
	close_info(o);
	task_free(o->document);
	o->document = NULL;
	ResetEvent(o->done);
	ResetEvent(o->cancel);
	if (type >= HcsOperationTypeCreateProcess && type <= HcsOperationTypeModifyProcess)
		o->process = fresh ? fresh : about;
	else
		o->system = fresh ? fresh : about;
	ReleaseSRWLockExclusive(&o->lock);

	f = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *f);
	if (!f)
		return E_OUTOFMEMORY;
	f->operation = o;
	f->about = about;
	f->fresh = fresh;
	f->call.handle = about ? about->token : 0;
	f->call.fresh = fresh ? fresh->token : 0;
	f->call.function = function;
	f->call.arguments[0] = wire_copy(a);
	f->call.arguments[1] = wire_copy(b);
	f->call.count = 2;
	InterlockedIncrement(&o->references);
	if (about)
		object_reference(about);
	if (fresh)
		object_reference(fresh);
	thread = CreateThread(NULL, 0, fly, f, 0, NULL);
	if (!thread)
		return HRESULT_FROM_WIN32(GetLastError());
	CloseHandle(thread);
	return S_OK;
}

/* Documented as not implemented: the service says what it does, and is told of it. */
EXPORT HRESULT WINAPI HcsCancelOperation(Operation *o)
{
	WireCall call = {.function = L"HcsCancelOperation"};
	WireAnswer answer;

	if (!o)
		return E_INVALIDARG;
	if (!o->started)
		return HCS_E_OPERATION_NOT_STARTED;
	call.handle = o->about;
	wire_once(&call, &answer);
	task_free(answer.value);
	task_free(answer.result);
	if (SUCCEEDED(answer.hr))
		SetEvent(o->cancel);
	return answer.hr;
}

/* The result, which must have been waited for; document and info may be NULL. */
static HRESULT result(Operation *o, DWORD ms, HRESULT late, HCS_PROCESS_INFORMATION *info, BOOL want_info, PWSTR *document)
{
	HRESULT hr;

	if (document)
		*document = NULL;
	if (info)
		memset(info, 0, sizeof *info);
	if (!o)
		return E_INVALIDARG;
	if (!o->started)
		return HCS_E_OPERATION_NOT_STARTED;
	if (WaitForSingleObject(o->done, ms) != WAIT_OBJECT_0)
		return late;
	AcquireSRWLockExclusive(&o->lock);
	hr = o->hr;
	if (document)
		*document = wire_copy(o->document);
	if (want_info && SUCCEEDED(hr)) {
		if (!o->info_known)
			hr = HCS_E_PROCESS_INFO_NOT_AVAILABLE;
		else if (info) {
			*info = o->info;
			o->info_given = TRUE;
		}
	}
	ReleaseSRWLockExclusive(&o->lock);
	return hr;
}

EXPORT HRESULT WINAPI HcsGetOperationResult(Operation *o, PWSTR *document)
{
	return result(o, 0, HCS_E_OPERATION_PENDING, NULL, FALSE, document);
}

EXPORT HRESULT WINAPI HcsGetOperationResultAndProcessInfo(Operation *o, HCS_PROCESS_INFORMATION *info, PWSTR *document)
{
	return result(o, 0, HCS_E_OPERATION_PENDING, info, TRUE, document);
}

EXPORT HRESULT WINAPI HcsWaitForOperationResult(Operation *o, DWORD ms, PWSTR *document)
{
	return result(o, ms, HCS_E_OPERATION_TIMEOUT, NULL, FALSE, document);
}

EXPORT HRESULT WINAPI HcsWaitForOperationResultAndProcessInfo(Operation *o, DWORD ms, HCS_PROCESS_INFORMATION *info, PWSTR *document)
{
	return result(o, ms, HCS_E_OPERATION_TIMEOUT, info, TRUE, document);
}

EXPORT HRESULT WINAPI HcsSetOperationCallback(Operation *o, void *context, HCS_OPERATION_COMPLETION completion)
{
	if (!o)
		return E_INVALIDARG;
	AcquireSRWLockExclusive(&o->lock);
	o->context = context;
	o->completion = completion;
	ReleaseSRWLockExclusive(&o->lock);
	return S_OK;
}

EXPORT void *WINAPI HcsGetOperationContext(Operation *o)
{
	return o ? o->context : NULL;
}

EXPORT HRESULT WINAPI HcsSetOperationContext(Operation *o, void *context)
{
	if (!o)
		return E_INVALIDARG;
	o->context = context;
	return S_OK;
}

EXPORT Object *WINAPI HcsGetComputeSystemFromOperation(Operation *o)
{
	return o ? o->system : NULL;
}

EXPORT Object *WINAPI HcsGetProcessFromOperation(Operation *o)
{
	return o ? o->process : NULL;
}

EXPORT int WINAPI HcsGetOperationType(Operation *o)
{
	return o ? o->type : HcsOperationTypeNone;
}

EXPORT UINT64 WINAPI HcsGetOperationId(Operation *o)
{
	return o ? o->id : ~0ull;
}
