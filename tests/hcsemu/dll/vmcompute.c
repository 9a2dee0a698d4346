/*
 * vmcompute.dll, the compute half: the first ABI of the Host Compute Service,
 * as hcsshim's public packages call it. Every call is synchronous here; what
 * the service finishes later it tells by callback. The layer functions are in
 * layers.c.
 */
#include "wire.h"

#define EXPORT __declspec(dllexport)

const WireFlavour wire_flavour = {L"vmcompute", HRESULT_FROM_WIN32(ERROR_SERVICE_NOT_ACTIVE), HRESULT_FROM_WIN32(RPC_S_SERVER_UNAVAILABLE)};

typedef struct {
	DWORD ProcessId, Reserved;
	HANDLE StdInput, StdOutput, StdError;
} HCS_PROCESS_INFORMATION;

/* HCS_SYSTEM and HCS_PROCESS: a name, and the connection that holds it. */
typedef struct {
	UINT64 token;
	HANDLE life;
} Handle;

typedef void(CALLBACK *NOTIFICATION)(DWORD type, void *context, HRESULT status, PCWSTR data);

/* HCS_CALLBACK */
typedef struct {
	UINT64 token;
	NOTIFICATION notify;
	void *context;
	WireListener *listener;
	BOOL process;
} Callback;

/* v1 has a place for each: what was asked for, and the error document. */
static HRESULT give(WireAnswer *answer, PWSTR *value, PWSTR *result)
{
	wire_give(answer->value, value);
	wire_give(answer->result, result);
	return answer->hr;
}

static HRESULT make(WireCall *call, Handle **out, WireAnswer *answer)
{
	Handle *h;
	HANDLE connection;

	*out = NULL;
	memset(answer, 0, sizeof *answer);
	connection = wire_dial();
	if (!connection)
		return answer->hr = wire_flavour.no_service;
	call->fresh = wire_token();
	wire_call(connection, NULL, call, answer);
	/* Pending is an error by its number, and the handle is good. */
	if (FAILED(answer->hr) && answer->hr != (HRESULT)0xC0370103) {
		CloseHandle(connection);
		return answer->hr;
	}
	h = HeapAlloc(GetProcessHeap(), 0, sizeof *h);
	h->token = call->fresh;
	h->life = connection;
	*out = h;
	return answer->hr;
}

static HRESULT end(Handle *h, PCWSTR function)
{
	WireCall call = {.function = function};
	WireAnswer answer;

	if (!h)
		return E_HANDLE;
	call.handle = h->token;
	wire_call(h->life, NULL, &call, &answer);
	CloseHandle(h->life);
	HeapFree(GetProcessHeap(), 0, h);
	return give(&answer, NULL, NULL);
}

static HRESULT ask(Handle *h, PCWSTR function, PCWSTR document, PWSTR *value, PWSTR *result)
{
	WireCall call = {.function = function, .arguments = {document}, .count = 1};
	WireAnswer answer;

	if (!h)
		return E_HANDLE;
	call.handle = h->token;
	wire_once(&call, &answer);
	return give(&answer, value, result);
}

static void fill(HCS_PROCESS_INFORMATION *info, const WireAnswer *answer)
{
	if (!info)
		return;
	memset(info, 0, sizeof *info);
	info->ProcessId = (DWORD)answer->numbers[1];
	info->StdInput = (HANDLE)(ULONG_PTR)answer->numbers[2];
	info->StdOutput = (HANDLE)(ULONG_PTR)answer->numbers[3];
	info->StdError = (HANDLE)(ULONG_PTR)answer->numbers[4];
}

EXPORT HRESULT WINAPI HcsEnumerateComputeSystems(PCWSTR query, PWSTR *systems, PWSTR *result)
{
	WireCall call = {.function = L"HcsEnumerateComputeSystems", .arguments = {query}, .count = 1};
	WireAnswer answer;

	wire_once(&call, &answer);
	return give(&answer, systems, result);
}

EXPORT HRESULT WINAPI HcsCreateComputeSystem(PCWSTR id, PCWSTR configuration, HANDLE identity, Handle **system, PWSTR *result)
{
	WireCall call = {.function = L"HcsCreateComputeSystem", .arguments = {id, configuration}, .count = 2};
	WireAnswer answer;

	(void)identity;
	make(&call, system, &answer);
	return give(&answer, NULL, result);
}

EXPORT HRESULT WINAPI HcsOpenComputeSystem(PCWSTR id, Handle **system, PWSTR *result)
{
	WireCall call = {.function = L"HcsOpenComputeSystem", .arguments = {id}, .count = 1};
	WireAnswer answer;

	make(&call, system, &answer);
	return give(&answer, NULL, result);
}

EXPORT HRESULT WINAPI HcsCloseComputeSystem(Handle *system)
{
	return end(system, L"HcsCloseComputeSystem");
}

/* The calls that have a handle, a document and a result. */
#define CALL(NAME)                                                              \
	EXPORT HRESULT WINAPI NAME(Handle *h, PCWSTR document, PWSTR *result)   \
	{                                                                       \
		return ask(h, L## #NAME, document, NULL, result);               \
	}
CALL(HcsStartComputeSystem)
CALL(HcsShutdownComputeSystem)
CALL(HcsTerminateComputeSystem)
CALL(HcsPauseComputeSystem)
CALL(HcsResumeComputeSystem)
CALL(HcsSaveComputeSystem)
CALL(HcsModifyComputeSystem)
CALL(HcsSignalProcess)
CALL(HcsModifyProcess)

EXPORT HRESULT WINAPI HcsGetComputeSystemProperties(Handle *system, PCWSTR query, PWSTR *properties, PWSTR *result)
{
	return ask(system, L"HcsGetComputeSystemProperties", query, properties, result);
}

EXPORT HRESULT WINAPI HcsCreateProcess(Handle *system, PCWSTR parameters, HCS_PROCESS_INFORMATION *info, Handle **process, PWSTR *result)
{
	WireCall call = {.function = L"HcsCreateProcess", .arguments = {parameters}, .count = 1};
	WireAnswer answer;

	if (!system)
		return E_HANDLE;
	call.handle = system->token;
	make(&call, process, &answer);
	fill(info, &answer);
	return give(&answer, NULL, result);
}

EXPORT HRESULT WINAPI HcsOpenProcess(Handle *system, DWORD pid, Handle **process, PWSTR *result)
{
	WireCall call = {.function = L"HcsOpenProcess", .number = pid};
	WireAnswer answer;

	if (!system)
		return E_HANDLE;
	call.handle = system->token;
	make(&call, process, &answer);
	return give(&answer, NULL, result);
}

EXPORT HRESULT WINAPI HcsCloseProcess(Handle *process)
{
	return end(process, L"HcsCloseProcess");
}

EXPORT HRESULT WINAPI HcsTerminateProcess(Handle *process, PWSTR *result)
{
	return ask(process, L"HcsTerminateProcess", NULL, NULL, result);
}

EXPORT HRESULT WINAPI HcsGetProcessInfo(Handle *process, HCS_PROCESS_INFORMATION *info, PWSTR *result)
{
	WireCall call = {.function = L"HcsGetProcessInfo"};
	WireAnswer answer;

	if (!process)
		return E_HANDLE;
	call.handle = process->token;
	wire_once(&call, &answer);
	fill(info, &answer);
	return give(&answer, NULL, result);
}

EXPORT HRESULT WINAPI HcsGetProcessProperties(Handle *process, PWSTR *properties, PWSTR *result)
{
	return ask(process, L"HcsGetProcessProperties", NULL, properties, result);
}

static HRESULT service(PCWSTR function, PCWSTR document, PWSTR *value, PWSTR *result)
{
	WireCall call = {.function = function, .arguments = {document}, .count = 1};
	WireAnswer answer;

	wire_once(&call, &answer);
	return give(&answer, value, result);
}

EXPORT HRESULT WINAPI HcsGetServiceProperties(PCWSTR query, PWSTR *properties, PWSTR *result)
{
	return service(L"HcsGetServiceProperties", query, properties, result);
}

EXPORT HRESULT WINAPI HcsModifyServiceSettings(PCWSTR settings, PWSTR *result)
{
	return service(L"HcsModifyServiceSettings", settings, NULL, result);
}

static void arrived(void *owner, DWORD type, HRESULT status, PCWSTR data)
{
	Callback *c = owner;

	c->notify(type, c->context, status, data);
}

static HRESULT subscribe(Handle *h, NOTIFICATION notify, void *context, BOOL process, Callback **out)
{
	WireCall call = {.function = process ? L"HcsRegisterProcessCallback" : L"HcsRegisterComputeSystemCallback"};
	Callback *c;
	HRESULT hr;

	*out = NULL;
	if (!h || !notify)
		return E_INVALIDARG;
	c = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *c);
	c->token = call.handle = h->token;
	c->notify = notify;
	c->context = context;
	c->process = process;
	hr = wire_listen(&call, arrived, c, &c->listener);
	if (FAILED(hr))
		HeapFree(GetProcessHeap(), 0, c);
	else
		*out = c;
	return hr;
}

static HRESULT unsubscribe(Callback *c)
{
	WireCall call = {.function = L"HcsUnregisterComputeSystemCallback"};
	WireAnswer answer;

	if (!c)
		return E_HANDLE;
	if (c->process)
		call.function = L"HcsUnregisterProcessCallback";
	call.handle = c->token;
	wire_unlisten(c->listener);
	HeapFree(GetProcessHeap(), 0, c);
	wire_once(&call, &answer);
	give(&answer, NULL, NULL);
	return S_OK;
}

EXPORT HRESULT WINAPI HcsRegisterComputeSystemCallback(Handle *system, NOTIFICATION notify, void *context, Callback **callback)
{
	return subscribe(system, notify, context, FALSE, callback);
}

EXPORT HRESULT WINAPI HcsUnregisterComputeSystemCallback(Callback *callback)
{
	return unsubscribe(callback);
}

EXPORT HRESULT WINAPI HcsRegisterProcessCallback(Handle *process, NOTIFICATION notify, void *context, Callback **callback)
{
	return subscribe(process, notify, context, TRUE, callback);
}

EXPORT HRESULT WINAPI HcsUnregisterProcessCallback(Callback *callback)
{
	return unsubscribe(callback);
}
