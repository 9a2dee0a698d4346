/*
 * Frames, connections and callback threads; see wire.h. All input and output
 * is overlapped, so that each wait can be ended by an event.
 */
#include "wire.h"

#define PIPE_NAME L"\\\\.\\pipe\\hcsemu"
#define NO_STRING 0xffffffffu
#define LONGEST_FRAME (64u << 20)

/* Names are unique among processes by the pid in their upper half. */
UINT64 wire_token(void)
{
	static LONG last;
	return (UINT64)GetCurrentProcessId() << 32 | (UINT32)InterlockedIncrement(&last);
}

HANDLE wire_dial(void)
{
	const ULONGLONG patience = 10000;
	ULONGLONG begin = GetTickCount64();

	do {
		HANDLE pipe = CreateFileW(PIPE_NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
		if (pipe != INVALID_HANDLE_VALUE)
			return pipe;
		if (GetLastError() == ERROR_FILE_NOT_FOUND || GetLastError() == ERROR_PATH_NOT_FOUND)
			return NULL; /* no service; anything else is a busy one */
		if (!WaitNamedPipeW(PIPE_NAME, 1000))
			Sleep(1);
	} while (GetTickCount64() - begin < patience);
	return NULL;
}

/* Moves n bytes one way; FALSE when the connection ended or cancel was set. */
static BOOL transfer(HANDLE pipe, HANDLE cancel, void *bytes, DWORD n, BOOL write)
{
	BYTE *at = bytes;
	OVERLAPPED o = {0};
	BOOL whole = TRUE;

	o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	while (n > 0 && whole) {
		DWORD moved = 0;
		BOOL ok;

		ResetEvent(o.hEvent);
		o.Offset = o.OffsetHigh = 0;
		ok = write ? WriteFile(pipe, at, n, NULL, &o) : ReadFile(pipe, at, n, NULL, &o);
		if (!ok && GetLastError() == ERROR_IO_PENDING) {
			HANDLE either[2] = {o.hEvent, cancel};
			if (WaitForMultipleObjects(cancel ? 2 : 1, either, FALSE, INFINITE) != WAIT_OBJECT_0)
				CancelIoEx(pipe, &o);
			ok = TRUE;
		}
		whole = ok && GetOverlappedResult(pipe, &o, &moved, TRUE) && moved > 0;
		at += moved;
		n -= moved;
	}
	CloseHandle(o.hEvent);
	return whole;
}

/* Reads a frame without its length; NULL when there is none. */
static BYTE *read_frame(HANDLE pipe, HANDLE cancel, DWORD *length)
{
	BYTE *frame;

	if (!transfer(pipe, cancel, length, 4, FALSE) || *length > LONGEST_FRAME)
		return NULL;
	frame = HeapAlloc(GetProcessHeap(), 0, *length + 1);
	if (frame && !transfer(pipe, cancel, frame, *length, FALSE)) {
		HeapFree(GetProcessHeap(), 0, frame);
		frame = NULL;
	}
	return frame;
}

static BYTE *put32(BYTE *at, UINT32 n)
{
	memcpy(at, &n, 4);
	return at + 4;
}

static BYTE *put64(BYTE *at, UINT64 n)
{
	memcpy(at, &n, 8);
	return at + 8;
}

static DWORD string_size(PCWSTR s)
{
	return 4 + (s ? (DWORD)wcslen(s) * 2 : 0);
}

static BYTE *put_string(BYTE *at, PCWSTR s)
{
	if (!s)
		return put32(at, NO_STRING);
	at = put32(at, string_size(s) - 4);
	memcpy(at, s, string_size(s) - 4);
	return at + string_size(s) - 4;
}

static UINT32 get32(BYTE **at)
{
	UINT32 n;
	memcpy(&n, *at, 4);
	*at += 4;
	return n;
}

static PWSTR get_string(BYTE **at)
{
	UINT32 n = get32(at);
	PWSTR s;

	if (n == NO_STRING)
		return NULL;
	s = task_alloc(n + 2);
	if (s) {
		memcpy(s, *at, n);
		s[n / 2] = 0;
	}
	*at += n;
	return s;
}

static BOOL send_call(HANDLE pipe, HANDLE cancel, const WireCall *call)
{
	DWORD size = 4 + 8 + 8 + 8 + 4 + string_size(wire_flavour.dll) + string_size(call->function), i;
	BYTE *frame, *at;
	BOOL sent;

	for (i = 0; i < call->count; i++)
		size += string_size(call->arguments[i]);
	frame = at = HeapAlloc(GetProcessHeap(), 0, size + 4);
	if (!frame)
		return FALSE;
	at = put32(at, size);
	at = put32(at, GetCurrentProcessId());
	at = put64(at, call->handle);
	at = put64(at, call->fresh);
	at = put64(at, call->number);
	at = put32(at, 2 + call->count);
	at = put_string(at, wire_flavour.dll);
	at = put_string(at, call->function);
	for (i = 0; i < call->count; i++)
		at = put_string(at, call->arguments[i]);
	sent = transfer(pipe, cancel, frame, size + 4, TRUE);
	HeapFree(GetProcessHeap(), 0, frame);
	return sent;
}

HRESULT wire_call(HANDLE connection, HANDLE cancel, const WireCall *call, WireAnswer *answer)
{
	BYTE *frame, *at;
	DWORD length;

	memset(answer, 0, sizeof *answer);
	if (!send_call(connection, cancel, call) || !(frame = read_frame(connection, cancel, &length))) {
		BOOL cancelled = cancel && WaitForSingleObject(cancel, 0) == WAIT_OBJECT_0;
		return answer->hr = cancelled ? E_ABORT : wire_flavour.broken;
	}
	at = frame;
	answer->hr = (HRESULT)get32(&at);
	memcpy(answer->numbers, at, sizeof answer->numbers);
	at += sizeof answer->numbers;
	answer->value = get_string(&at);
	answer->result = get_string(&at);
	HeapFree(GetProcessHeap(), 0, frame);
	return answer->hr;
}

HRESULT wire_once(const WireCall *call, WireAnswer *answer)
{
	HANDLE connection = wire_dial();

	memset(answer, 0, sizeof *answer);
	if (!connection)
		return answer->hr = wire_flavour.no_service;
	wire_call(connection, NULL, call, answer);
	CloseHandle(connection);
	return answer->hr;
}

void wire_give(PWSTR string, PWSTR *out)
{
	if (out)
		*out = string;
	else
		task_free(string);
}

PWSTR wire_copy(PCWSTR string)
{
	SIZE_T size;
	PWSTR copy;

	if (!string)
		return NULL;
	size = (wcslen(string) + 1) * sizeof *string;
	copy = task_alloc(size);
	if (copy)
		memcpy(copy, string, size);
	return copy;
}

struct WireListener {
	HANDLE connection, stop, thread;
	DWORD thread_id;
	LONG references; /* the client's and the thread's */
	WireEvent event;
	void *owner;
};

static void release(WireListener *l)
{
	if (InterlockedDecrement(&l->references) > 0)
		return;
	CloseHandle(l->connection);
	CloseHandle(l->stop);
	CloseHandle(l->thread);
	HeapFree(GetProcessHeap(), 0, l);
}

static DWORD WINAPI listen_thread(void *parameter)
{
	WireListener *l = parameter;
	BYTE *frame, *at;
	DWORD length;

	while ((frame = read_frame(l->connection, l->stop, &length))) {
		DWORD type;
		HRESULT status;
		PWSTR data;

		at = frame;
		type = get32(&at);
		status = (HRESULT)get32(&at);
		data = get_string(&at);
		HeapFree(GetProcessHeap(), 0, frame);
		if (WaitForSingleObject(l->stop, 0) == WAIT_TIMEOUT)
			l->event(l->owner, type, status, data);
		task_free(data);
	}
	release(l);
	return 0;
}

HRESULT wire_listen(const WireCall *call, WireEvent event, void *owner, WireListener **out)
{
	WireListener *l;
	WireAnswer answer;
	HANDLE connection = wire_dial();

	if (!connection)
		return wire_flavour.no_service;
	wire_call(connection, NULL, call, &answer);
	task_free(answer.value);
	task_free(answer.result);
	if (FAILED(answer.hr)) {
		CloseHandle(connection);
		return answer.hr;
	}
	l = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *l);
	if (!l)
		return E_OUTOFMEMORY;
	l->connection = connection;
	l->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	l->references = 2;
	l->event = event;
	l->owner = owner;
	*out = l; /* before the first event, which may ask for it */
	l->thread = CreateThread(NULL, 0, listen_thread, l, CREATE_SUSPENDED, &l->thread_id);
	ResumeThread(l->thread);
	return S_OK;
}

void wire_unlisten(WireListener *l)
{
	SetEvent(l->stop);
	if (l->thread_id != GetCurrentThreadId())
		WaitForSingleObject(l->thread, INFINITE);
	release(l);
}
