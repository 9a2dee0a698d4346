/*
 * computecore.dll: the v2 ABI of the Host Compute Service, forwarded to the
 * emulated one. Nothing is decided here; the documents pass through unread.
 */
#include "computecore.h"

const WireFlavour wire_flavour = {L"computecore", HCS_E_SERVICE_NOT_AVAILABLE, HCS_E_SERVICE_DISCONNECT};

Object *object_new(void)
{
	Object *o = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *o);

	if (o) {
		o->references = 1;
		InitializeSRWLock(&o->lock);
		o->token = wire_token();
	}
	return o;
}

void object_reference(Object *o)
{
	InterlockedIncrement(&o->references);
}

void object_release(Object *o)
{
	if (InterlockedDecrement(&o->references) == 0)
		HeapFree(GetProcessHeap(), 0, o);
}

void object_hold(Object *o, HANDLE life)
{
	BOOL closed;

	AcquireSRWLockExclusive(&o->lock);
	closed = o->closed;
	if (!closed)
		o->life = life;
	ReleaseSRWLockExclusive(&o->lock);
	if (closed) /* before its creation had ended */
		CloseHandle(life);
}

static void unset_callback(Object *o)
{
	WireListener *listener;

	AcquireSRWLockExclusive(&o->lock);
	listener = o->listener;
	o->listener = NULL;
	ReleaseSRWLockExclusive(&o->lock);
	if (listener)
		wire_unlisten(listener);
}

/* The close is a call, so that the handle is gone when it returns. */
static void object_close(Object *o, PCWSTR function)
{
	WireCall call = {.handle = o->token, .function = function};
	WireAnswer answer;
	HANDLE life;

	unset_callback(o);
	AcquireSRWLockExclusive(&o->lock);
	life = o->life;
	o->life = NULL;
	o->closed = TRUE;
	ReleaseSRWLockExclusive(&o->lock);
	if (life) {
		wire_call(life, NULL, &call, &answer);
		task_free(answer.value);
		task_free(answer.result);
		CloseHandle(life);
	}
	object_release(o);
}

static void event_arrived(void *owner, DWORD type, HRESULT status, PCWSTR data)
{
	Object *o = owner;
	HCS_EVENT event = {type, data, NULL};

	(void)status;
	o->callback(&event, o->context);
}

static HRESULT set_callback(Object *o, DWORD options, void *context, HCS_EVENT_CALLBACK callback, PCWSTR function)
{
	WireCall call = {.function = function};

	if (!o)
		return E_HANDLE;
	if (!callback) {
		unset_callback(o);
		return S_OK;
	}
	if (options != 0) /* operation callbacks and live migration are not emulated */
		return E_NOTIMPL;
	if (o->listener)
		return HCS_E_CALLBACK_ALREADY_SET;
	o->callback = callback;
	o->context = context;
	call.handle = o->token;
	return wire_listen(&call, event_arrived, o, &o->listener);
}

/* Opens a handle in one synchronous call. */
static HRESULT open(Object *about, UINT64 number, PCWSTR function, PCWSTR name, Object **out)
{
	WireCall call = {.handle = about ? about->token : 0, .number = number, .function = function, .arguments = {name}, .count = 1};
	WireAnswer answer;
	HANDLE connection;
	Object *o;

	*out = NULL;
	connection = wire_dial();
	if (!connection)
		return wire_flavour.no_service;
	o = object_new();
	call.fresh = o->token;
	wire_call(connection, NULL, &call, &answer);
	task_free(answer.value);
	task_free(answer.result);
	if (FAILED(answer.hr)) {
		CloseHandle(connection);
		object_release(o);
		return answer.hr;
	}
	object_hold(o, connection);
	*out = o;
	return answer.hr;
}

/* v2 has one document for both: what was asked for, or the error. */
static void give_document(WireAnswer *answer, PWSTR *document)
{
	BOOL failed = FAILED(answer->hr) && answer->result;

	task_free(failed ? answer->value : answer->result);
	wire_give(failed ? answer->result : answer->value, document);
}

/* A call about a handle that waits in the service, and answers a document. */
static HRESULT wait_exit(Object *o, DWORD ms, PCWSTR function, PWSTR *document)
{
	WireCall call = {.number = ms, .function = function};
	WireAnswer answer;

	if (document)
		*document = NULL;
	if (!o)
		return E_HANDLE;
	call.handle = o->token;
	wire_once(&call, &answer);
	give_document(&answer, document);
	return answer.hr;
}

EXPORT HRESULT WINAPI HcsEnumerateComputeSystems(PCWSTR query, Operation *operation)
{
	return operation_start(operation, HcsOperationTypeEnumerate, NULL, NULL, L"HcsEnumerateComputeSystems", query, NULL);
}

EXPORT HRESULT WINAPI HcsCreateComputeSystem(PCWSTR id, PCWSTR configuration, Operation *operation, const void *sd, Object **system)
{
	HRESULT hr;

	*system = NULL;
	if (!id || !configuration || sd) /* the descriptor is reserved */
		return E_INVALIDARG;
	*system = object_new();
	hr = operation_start(operation, HcsOperationTypeCreate, NULL, *system, L"HcsCreateComputeSystem", id, configuration);
	if (FAILED(hr)) {
		object_release(*system);
		*system = NULL;
	}
	return hr;
}

EXPORT HRESULT WINAPI HcsOpenComputeSystem(PCWSTR id, DWORD access, Object **system)
{
	(void)access;
	return open(NULL, 0, L"HcsOpenComputeSystem", id, system);
}

EXPORT void WINAPI HcsCloseComputeSystem(Object *system)
{
	if (system)
		object_close(system, L"HcsCloseComputeSystem");
}

/* The calls that have a handle, an operation and a document. */
#define CALL(NAME, TYPE)                                                                       \
	EXPORT HRESULT WINAPI NAME(Object *about, Operation *operation, PCWSTR document)       \
	{                                                                                      \
		if (!about)                                                                    \
			return E_HANDLE;                                                       \
		return operation_start(operation, TYPE, about, NULL, L## #NAME, document, NULL); \
	}
CALL(HcsStartComputeSystem, HcsOperationTypeStart)
CALL(HcsShutDownComputeSystem, HcsOperationTypeShutdown)
CALL(HcsTerminateComputeSystem, HcsOperationTypeTerminate)
CALL(HcsPauseComputeSystem, HcsOperationTypePause)
CALL(HcsResumeComputeSystem, HcsOperationTypeResume)
CALL(HcsSaveComputeSystem, HcsOperationTypeSave)
CALL(HcsCrashComputeSystem, HcsOperationTypeCrash)
CALL(HcsGetComputeSystemProperties, HcsOperationTypeGetProperties)
CALL(HcsTerminateProcess, HcsOperationTypeSignalProcess)
CALL(HcsSignalProcess, HcsOperationTypeSignalProcess)
CALL(HcsGetProcessProperties, HcsOperationTypeGetProcessProperties)
CALL(HcsModifyProcess, HcsOperationTypeModifyProcess)

EXPORT HRESULT WINAPI HcsModifyComputeSystem(Object *system, Operation *operation, PCWSTR configuration, HANDLE identity)
{
	(void)identity;
	if (!system)
		return E_HANDLE;
	return operation_start(operation, HcsOperationTypeModify, system, NULL, L"HcsModifyComputeSystem", configuration, NULL);
}

EXPORT HRESULT WINAPI HcsSetComputeSystemCallback(Object *system, DWORD options, void *context, HCS_EVENT_CALLBACK callback)
{
	return set_callback(system, options, context, callback, L"HcsSetComputeSystemCallback");
}

EXPORT HRESULT WINAPI HcsWaitForComputeSystemExit(Object *system, DWORD ms, PWSTR *document)
{
	return wait_exit(system, ms, L"HcsWaitForComputeSystemExit", document);
}

EXPORT HRESULT WINAPI HcsCreateProcess(Object *system, PCWSTR parameters, Operation *operation, const void *sd, Object **process)
{
	HRESULT hr;

	(void)sd;
	*process = NULL;
	if (!system)
		return E_HANDLE;
	*process = object_new();
	hr = operation_start(operation, HcsOperationTypeCreateProcess, system, *process, L"HcsCreateProcess", parameters, NULL);
	if (FAILED(hr)) {
		object_release(*process);
		*process = NULL;
	}
	return hr;
}

EXPORT HRESULT WINAPI HcsOpenProcess(Object *system, DWORD pid, DWORD access, Object **process)
{
	(void)access;
	if (!system)
		return E_HANDLE;
	return open(system, pid, L"HcsOpenProcess", NULL, process);
}

EXPORT void WINAPI HcsCloseProcess(Object *process)
{
	if (process)
		object_close(process, L"HcsCloseProcess");
}

EXPORT HRESULT WINAPI HcsGetProcessInfo(Object *process, Operation *operation)
{
	if (!process)
		return E_HANDLE;
	return operation_start(operation, HcsOperationTypeGetProcessInfo, process, NULL, L"HcsGetProcessInfo", NULL, NULL);
}

EXPORT HRESULT WINAPI HcsSetProcessCallback(Object *process, DWORD options, void *context, HCS_EVENT_CALLBACK callback)
{
	return set_callback(process, options, context, callback, L"HcsSetProcessCallback");
}

EXPORT HRESULT WINAPI HcsWaitForProcessExit(Object *process, DWORD ms, PWSTR *document)
{
	return wait_exit(process, ms, L"HcsWaitForProcessExit", document);
}

/* The calls about the service: synchronous, with up to two strings. */
static HRESULT service(PCWSTR function, PCWSTR a, PCWSTR b, PWSTR *document)
{
	WireCall call = {.function = function, .arguments = {a, b}, .count = 2};
	WireAnswer answer;

	wire_once(&call, &answer);
	give_document(&answer, document);
	return answer.hr;
}

EXPORT HRESULT WINAPI HcsGetServiceProperties(PCWSTR query, PWSTR *document)
{
	return service(L"HcsGetServiceProperties", query, NULL, document);
}

EXPORT HRESULT WINAPI HcsModifyServiceSettings(PCWSTR settings, PWSTR *document)
{
	return service(L"HcsModifyServiceSettings", settings, NULL, document);
}

EXPORT HRESULT WINAPI HcsGrantVmAccess(PCWSTR vm, PCWSTR path)
{
	return service(L"HcsGrantVmAccess", vm, path, NULL);
}

EXPORT HRESULT WINAPI HcsRevokeVmAccess(PCWSTR vm, PCWSTR path)
{
	return service(L"HcsRevokeVmAccess", vm, path, NULL);
}

EXPORT HRESULT WINAPI HcsGrantVmGroupAccess(PCWSTR path)
{
	return service(L"HcsGrantVmGroupAccess", path, NULL, NULL);
}

EXPORT HRESULT WINAPI HcsRevokeVmGroupAccess(PCWSTR path)
{
	return service(L"HcsRevokeVmGroupAccess", path, NULL, NULL);
}
