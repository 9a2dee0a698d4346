/*
 * The wire between the stub DLLs and the emulated service: one request and one
 * answer per call over \\.\pipe\hcsemu, and a stream of events per callback.
 * Knows nothing of JSON, of HCS's states or of what a call means; the Go side
 * is ../wire.
 *
 * All numbers are little endian. A string is u32 bytes, then UTF-16; a NULL
 * string is u32 0xffffffff.
 *
 *	request  u32 length | u32 client's pid | u64 handle | u64 new handle | u64 number
 *	         | u32 strings | strings: DLL, function, arguments
 *	answer   u32 length | u32 HRESULT | u64 numbers[5] | string value | string result
 *	event    u32 length | u32 type | u32 status | string data
 *
 * A handle is named by its client (wire_token). The connection whose request
 * made a handle holds it: when the connection ends, so does the handle.
 */
#ifndef WIRE_H
#define WIRE_H

#include <windows.h>

/*
 * Strings that a caller frees are of the process's heap, which COM's task
 * allocator and LocalFree mean too. Without COM itself: Wine's brings a window
 * system and its fonts along, 30 ms for each client, where Windows' own DLLs
 * cost next to nothing.
 */
static inline void *task_alloc(SIZE_T n) { return HeapAlloc(GetProcessHeap(), 0, n); }
static inline void task_free(void *p) { if (p) HeapFree(GetProcessHeap(), 0, p); }

typedef struct {
	UINT64 handle; /* what the call is about, 0 for none */
	UINT64 fresh;  /* the name of the handle the call makes, 0 for none */
	UINT64 number; /* a pid, a size, milliseconds */
	PCWSTR function;
	PCWSTR arguments[5];
	DWORD count;
} WireCall;

typedef struct {
	HRESULT hr;
	UINT64 numbers[5]; /* a truth value, a pid, stdin, stdout, stderr */
	PWSTR value;  /* what was asked for; task_alloc, may be NULL */
	PWSTR result; /* the error document; task_alloc, may be NULL */
} WireAnswer;

/* What differs between the DLLs; each defines one. */
typedef struct {
	PCWSTR dll;
	HRESULT no_service; /* nobody listens on the pipe */
	HRESULT broken;     /* the connection ended before the answer came */
} WireFlavour;
extern const WireFlavour wire_flavour;

UINT64 wire_token(void);
HANDLE wire_dial(void); /* NULL: no service */

/*
 * One call over a connection. cancel is an event that ends the wait, or NULL.
 * Returns the answer's HRESULT, E_ABORT after a cancel, or flavour.broken;
 * *answer is always filled in.
 */
HRESULT wire_call(HANDLE connection, HANDLE cancel, const WireCall *call, WireAnswer *answer);

/* A call on a connection of its own. */
HRESULT wire_once(const WireCall *call, WireAnswer *answer);

/* Gives a string to a caller who may not want it. */
void wire_give(PWSTR string, PWSTR *out);
PWSTR wire_copy(PCWSTR string);

/* A callback: a thread that reads events and calls the client. */
typedef void (*WireEvent)(void *owner, DWORD type, HRESULT status, PCWSTR data);
typedef struct WireListener WireListener;

HRESULT wire_listen(const WireCall *call, WireEvent event, void *owner, WireListener **out);

/*
 * Ends a callback. A callback that is running is waited for, except by itself;
 * after the return the owner is not called any more.
 */
void wire_unlisten(WireListener *listener);

#endif
