/*
 * vmcompute.dll, the other half: container layers, access of virtual machines
 * to files, and the door to the network service. Parent layers go over the wire
 * as their paths, each with an end of line.
 */
#include "wire.h"

#define EXPORT __declspec(dllexport)

typedef struct {
	int Flavour;
	PCWSTR HomeDir;
} DriverInfo;

typedef struct {
	GUID LayerId;
	ULONG Flags;
	PCWSTR Path;
} WC_LAYER_DESCRIPTOR;

static HRESULT layer(PCWSTR function, const DriverInfo *info, PCWSTR id, PCWSTR more, UINT64 number, WireAnswer *answer)
{
	WireCall call = {.number = number, .function = function, .arguments = {info ? info->HomeDir : NULL, id, more}, .count = more ? 3 : 2};

	return wire_once(&call, answer);
}

static HRESULT plain(PCWSTR function, const DriverInfo *info, PCWSTR id, PCWSTR more, UINT64 number)
{
	WireAnswer answer;

	layer(function, info, id, more, number, &answer);
	task_free(answer.value);
	task_free(answer.result);
	return answer.hr;
}

static HRESULT with_parents(PCWSTR function, const DriverInfo *info, PCWSTR id, const WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	SIZE_T length = 1;
	PWSTR list;
	DWORD i;
	HRESULT hr;

	for (i = 0; i < count; i++)
		length += wcslen(parents[i].Path) + 1;
	list = HeapAlloc(GetProcessHeap(), 0, length * sizeof *list);
	if (!list)
		return E_OUTOFMEMORY;
	*list = 0;
	for (i = 0; i < count; i++) {
		wcscat(list, parents[i].Path);
		wcscat(list, L"\n");
	}
	hr = plain(function, info, id, list, 0);
	HeapFree(GetProcessHeap(), 0, list);
	return hr;
}

EXPORT HRESULT WINAPI ActivateLayer(DriverInfo *info, PCWSTR id)
{
	return plain(L"ActivateLayer", info, id, NULL, 0);
}

EXPORT HRESULT WINAPI DeactivateLayer(DriverInfo *info, PCWSTR id)
{
	return plain(L"DeactivateLayer", info, id, NULL, 0);
}

EXPORT HRESULT WINAPI PrepareLayer(DriverInfo *info, PCWSTR id, WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	return with_parents(L"PrepareLayer", info, id, parents, count);
}

EXPORT HRESULT WINAPI UnprepareLayer(DriverInfo *info, PCWSTR id)
{
	return plain(L"UnprepareLayer", info, id, NULL, 0);
}

EXPORT HRESULT WINAPI CreateLayer(DriverInfo *info, PCWSTR id, PCWSTR parent)
{
	return plain(L"CreateLayer", info, id, parent, 0);
}

EXPORT HRESULT WINAPI CreateSandboxLayer(DriverInfo *info, PCWSTR id, ULONG_PTR parent, WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	(void)parent;
	return with_parents(L"CreateSandboxLayer", info, id, parents, count);
}

EXPORT HRESULT WINAPI ExpandSandboxSize(DriverInfo *info, PCWSTR id, UINT64 size)
{
	return plain(L"ExpandSandboxSize", info, id, NULL, size);
}

EXPORT HRESULT WINAPI DestroyLayer(DriverInfo *info, PCWSTR id)
{
	return plain(L"DestroyLayer", info, id, NULL, 0);
}

EXPORT HRESULT WINAPI CopyLayer(DriverInfo *info, PCWSTR from, PCWSTR to, WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	(void)parents;
	return plain(L"CopyLayer", info, from, to, count);
}

EXPORT HRESULT WINAPI ExportLayer(DriverInfo *info, PCWSTR id, PCWSTR path, WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	(void)parents;
	return plain(L"ExportLayer", info, id, path, count);
}

EXPORT HRESULT WINAPI ImportLayer(DriverInfo *info, PCWSTR id, PCWSTR path, WC_LAYER_DESCRIPTOR *parents, DWORD count)
{
	(void)parents;
	return plain(L"ImportLayer", info, id, path, count);
}

EXPORT HRESULT WINAPI LayerExists(DriverInfo *info, PCWSTR id, UINT32 *exists)
{
	WireAnswer answer;

	layer(L"LayerExists", info, id, NULL, 0, &answer);
	*exists = (UINT32)answer.numbers[0];
	task_free(answer.value);
	task_free(answer.result);
	return answer.hr;
}

/* Called twice: for the length, and for the path. */
EXPORT HRESULT WINAPI GetLayerMountPath(DriverInfo *info, PCWSTR id, SIZE_T *length, PWSTR buffer)
{
	WireAnswer answer;

	layer(L"GetLayerMountPath", info, id, NULL, 0, &answer);
	if (SUCCEEDED(answer.hr) && answer.value) {
		SIZE_T needs = wcslen(answer.value) + 1;
		if (buffer && *length < needs)
			answer.hr = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
		else if (buffer)
			memcpy(buffer, answer.value, needs * sizeof *buffer);
		*length = needs;
	}
	task_free(answer.value);
	task_free(answer.result);
	return answer.hr;
}

static HRESULT names(PCWSTR function, PCWSTR a, PCWSTR b, PCWSTR c, DWORD count, PWSTR *value)
{
	WireCall call = {.function = function, .arguments = {a, b, c}, .count = count};
	WireAnswer answer;

	wire_once(&call, &answer);
	task_free(answer.result);
	wire_give(answer.value, value);
	return answer.hr;
}

EXPORT HRESULT WINAPI GetBaseImages(PWSTR *images)
{
	return names(L"GetBaseImages", NULL, NULL, NULL, 0, images);
}

EXPORT HRESULT WINAPI ProcessBaseImage(PCWSTR path)
{
	return names(L"ProcessBaseImage", path, NULL, NULL, 1, NULL);
}

EXPORT HRESULT WINAPI ProcessUtilityImage(PCWSTR path)
{
	return names(L"ProcessUtilityImage", path, NULL, NULL, 1, NULL);
}

EXPORT HRESULT WINAPI GrantVmAccess(PCWSTR vm, PCWSTR path)
{
	return names(L"GrantVmAccess", vm, path, NULL, 2, NULL);
}

EXPORT HRESULT WINAPI HNSCall(PCWSTR method, PCWSTR path, PCWSTR object, PWSTR *response)
{
	return names(L"HNSCall", method, path, object, 3, response);
}

/*
 * A GUID of a name, the same for all time and for names that differ in case
 * only; not the one that Windows makes. Computed here: it is no request.
 */
EXPORT HRESULT WINAPI NameToGuid(PCWSTR name, GUID *guid)
{
	UINT64 a = 0xcbf29ce484222325, b = 0x9e3779b97f4a7c15; /* FNV-1a, twice */

	for (; *name; name++) {
		a = (a ^ towlower(*name)) * 0x100000001b3;
		b = (b ^ towlower(*name)) * 0x100000001b3 + a;
	}
	memcpy(guid, &a, 8);
	memcpy((BYTE *)guid + 8, &b, 8);
	guid->Data3 = (guid->Data3 & 0x0fff) | 0x5000; /* version 5, as Windows' */
	guid->Data4[0] = (guid->Data4[0] & 0x3f) | 0x80;
	return S_OK;
}
