/*
 * What computecore.c (the calls) and operation.c (their asynchronous results)
 * share. The handles that clients see are pointers to these.
 */
#ifndef COMPUTECORE_H
#define COMPUTECORE_H

#include "wire.h"

#define EXPORT __declspec(dllexport)

#define HCS_E_SERVICE_NOT_AVAILABLE ((HRESULT)0x80370114)
#define HCS_E_OPERATION_NOT_STARTED ((HRESULT)0x80370115)
#define HCS_E_OPERATION_ALREADY_STARTED ((HRESULT)0x80370116)
#define HCS_E_OPERATION_PENDING ((HRESULT)0x80370117)
#define HCS_E_OPERATION_TIMEOUT ((HRESULT)0x80370118)
#define HCS_E_CALLBACK_ALREADY_SET ((HRESULT)0x80370119)
#define HCS_E_PROCESS_INFO_NOT_AVAILABLE ((HRESULT)0x8037011D)
#define HCS_E_SERVICE_DISCONNECT ((HRESULT)0x8037011E)

typedef struct {
	DWORD ProcessId, Reserved;
	HANDLE StdInput, StdOutput, StdError;
} HCS_PROCESS_INFORMATION;

typedef struct {
	DWORD Type;
	PCWSTR EventData;
	void *Operation;
} HCS_EVENT;
typedef void(CALLBACK *HCS_EVENT_CALLBACK)(HCS_EVENT *event, void *context);

/* HCS_OPERATION_TYPE */
enum {
	HcsOperationTypeNone = -1,
	HcsOperationTypeEnumerate,
	HcsOperationTypeCreate,
	HcsOperationTypeStart,
	HcsOperationTypeShutdown,
	HcsOperationTypePause,
	HcsOperationTypeResume,
	HcsOperationTypeSave,
	HcsOperationTypeTerminate,
	HcsOperationTypeModify,
	HcsOperationTypeGetProperties,
	HcsOperationTypeCreateProcess,
	HcsOperationTypeSignalProcess,
	HcsOperationTypeGetProcessInfo,
	HcsOperationTypeGetProcessProperties,
	HcsOperationTypeModifyProcess,
	HcsOperationTypeCrash,
};

/* HCS_SYSTEM and HCS_PROCESS. */
typedef struct Object {
	LONG references; /* the client's, and one for each operation on its way */
	SRWLOCK lock;
	UINT64 token;
	HANDLE life; /* the connection that holds the handle; NULL before it is made */
	BOOL closed;
	WireListener *listener;
	HCS_EVENT_CALLBACK callback;
	void *context;
} Object;

Object *object_new(void);
void object_hold(Object *object, HANDLE life); /* takes over the connection */
void object_reference(Object *object);
void object_release(Object *object);

typedef struct Operation Operation;

/*
 * Sends a call on its way and returns at once. about, fresh and the strings
 * may be NULL. fresh is the handle that the call makes.
 */
HRESULT operation_start(Operation *operation, int type, Object *about, Object *fresh, PCWSTR function, PCWSTR a, PCWSTR b);

#endif
