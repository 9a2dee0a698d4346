/*
 * computenetwork.dll: the Host Compute Network calls that hcsshim's package hcn
 * makes for networks, endpoints and namespaces, forwarded to the emulated
 * service. Load balancers and routes are left out: hcn looks each function up
 * when it needs it.
 */
#include <objbase.h>
#include "wire.h"

#define EXPORT __declspec(dllexport)

const WireFlavour wire_flavour = {L"computenetwork", HRESULT_FROM_WIN32(RPC_S_SERVER_UNAVAILABLE), HRESULT_FROM_WIN32(RPC_S_SERVER_UNAVAILABLE)};

typedef struct {
	UINT64 token;
	HANDLE life;
} Handle;

static HRESULT give(WireAnswer *answer, PWSTR *value, PWSTR *result)
{
	wire_give(answer->value, value);
	/* hcn takes any result for an error. */
	wire_give(answer->result, result);
	return answer->hr;
}

static void id_text(const GUID *id, WCHAR text[39])
{
	StringFromGUID2(id, text, 39);
}

static HRESULT make(WireCall *call, Handle **out, PWSTR *result)
{
	HANDLE connection = wire_dial();
	WireAnswer answer = {0};
	Handle *h;

	*out = NULL;
	if (!connection) {
		answer.hr = wire_flavour.no_service;
		return give(&answer, NULL, result);
	}
	call->fresh = wire_token();
	wire_call(connection, NULL, call, &answer);
	if (FAILED(answer.hr)) {
		CloseHandle(connection);
		return give(&answer, NULL, result);
	}
	h = HeapAlloc(GetProcessHeap(), 0, sizeof *h);
	h->token = call->fresh;
	h->life = connection;
	*out = h;
	return give(&answer, NULL, result);
}

static HRESULT enumerate(PCWSTR function, PCWSTR query, PWSTR *value, PWSTR *result)
{
	WireCall call = {.function = function, .arguments = {query}, .count = 1};
	WireAnswer answer;

	wire_once(&call, &answer);
	return give(&answer, value, result);
}

static HRESULT create(PCWSTR function, Handle *network, const GUID *id, PCWSTR settings, Handle **out, PWSTR *result)
{
	WCHAR text[39];
	WireCall call = {.function = function, .arguments = {text, settings}, .count = 2};

	id_text(id, text);
	call.handle = network ? network->token : 0;
	return make(&call, out, result);
}

static HRESULT open(PCWSTR function, const GUID *id, Handle **out, PWSTR *result)
{
	WCHAR text[39];
	WireCall call = {.function = function, .arguments = {text}, .count = 1};

	id_text(id, text);
	return make(&call, out, result);
}

static HRESULT ask(PCWSTR function, Handle *h, PCWSTR document, PWSTR *value, PWSTR *result)
{
	WireCall call = {.function = function, .arguments = {document}, .count = 1};
	WireAnswer answer;

	if (!h)
		return E_HANDLE;
	call.handle = h->token;
	wire_once(&call, &answer);
	return give(&answer, value, result);
}

static HRESULT delete(PCWSTR function, const GUID *id, PWSTR *result)
{
	WCHAR text[39];
	WireCall call = {.function = function, .arguments = {text}, .count = 1};
	WireAnswer answer;

	id_text(id, text);
	wire_once(&call, &answer);
	return give(&answer, NULL, result);
}

static HRESULT end(PCWSTR function, Handle *h)
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

/* The functions that all three kinds of object have. */
#define OBJECT(KIND, KINDS)                                                                              \
	EXPORT HRESULT WINAPI HcnEnumerate##KINDS(PCWSTR query, PWSTR *list, PWSTR *result)              \
	{                                                                                                \
		return enumerate(L"HcnEnumerate" L## #KINDS, query, list, result);                       \
	}                                                                                                \
	EXPORT HRESULT WINAPI HcnOpen##KIND(const GUID *id, Handle **out, PWSTR *result)                 \
	{                                                                                                \
		return open(L"HcnOpen" L## #KIND, id, out, result);                                      \
	}                                                                                                \
	EXPORT HRESULT WINAPI HcnModify##KIND(Handle *h, PCWSTR settings, PWSTR *result)                 \
	{                                                                                                \
		return ask(L"HcnModify" L## #KIND, h, settings, NULL, result);                           \
	}                                                                                                \
	EXPORT HRESULT WINAPI HcnQuery##KIND##Properties(Handle *h, PCWSTR query, PWSTR *properties, PWSTR *result) \
	{                                                                                                \
		return ask(L"HcnQuery" L## #KIND L"Properties", h, query, properties, result);           \
	}                                                                                                \
	EXPORT HRESULT WINAPI HcnDelete##KIND(const GUID *id, PWSTR *result)                             \
	{                                                                                                \
		return delete (L"HcnDelete" L## #KIND, id, result);                                      \
	}                                                                                                \
	EXPORT HRESULT WINAPI HcnClose##KIND(Handle *h)                                                  \
	{                                                                                                \
		return end(L"HcnClose" L## #KIND, h);                                                    \
	}
OBJECT(Network, Networks)
OBJECT(Endpoint, Endpoints)
OBJECT(Namespace, Namespaces)

EXPORT HRESULT WINAPI HcnCreateNetwork(const GUID *id, PCWSTR settings, Handle **out, PWSTR *result)
{
	return create(L"HcnCreateNetwork", NULL, id, settings, out, result);
}

EXPORT HRESULT WINAPI HcnCreateEndpoint(Handle *network, const GUID *id, PCWSTR settings, Handle **out, PWSTR *result)
{
	return create(L"HcnCreateEndpoint", network, id, settings, out, result);
}

EXPORT HRESULT WINAPI HcnCreateNamespace(const GUID *id, PCWSTR settings, Handle **out, PWSTR *result)
{
	return create(L"HcnCreateNamespace", NULL, id, settings, out, result);
}
