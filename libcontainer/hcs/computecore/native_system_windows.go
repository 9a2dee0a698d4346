package computecore

// This file binds the functions of compute systems. Each returns the HRESULT of
// the submission; the operation has the result. All exist since Windows 10 1809
// and Windows Server 2019. HcsWaitForComputeSystemExit is not bound: it came
// with Server 2022, and the callback does the same on both.

import "unsafe"

type hcsSystem uintptr

// genericAll is requestedAccess: GENERIC_ALL, the value that HcsOpenComputeSystem
// and HcsOpenProcess document.
const genericAll = 0x1000_0000

/*
HRESULT WINAPI HcsEnumerateComputeSystems(

	_In_opt_ PCWSTR query,
	_In_ HCS_OPERATION operation);
*/
var procEnumerateComputeSystems = proc{name: "HcsEnumerateComputeSystems"}

func enumerateComputeSystems(query *uint16, operation hcsOperation) uint32 {
	return uint32(procEnumerateComputeSystems.call(uintptr(unsafe.Pointer(query)), uintptr(operation)))
}

/*
HRESULT WINAPI HcsCreateComputeSystem(

	_In_ PCWSTR id,
	_In_ PCWSTR configuration,
	_In_ HCS_OPERATION operation,
	_In_opt_ const SECURITY_DESCRIPTOR* securityDescriptor,
	_Out_ HCS_SYSTEM* computeSystem);
*/
var procCreateComputeSystem = proc{name: "HcsCreateComputeSystem"}

// createComputeSystem passes no security descriptor: "Reserved for future use,
// must be NULL".
func createComputeSystem(id, configuration *uint16, operation hcsOperation, system *hcsSystem) uint32 {
	return uint32(procCreateComputeSystem.call(uintptr(unsafe.Pointer(id)), uintptr(unsafe.Pointer(configuration)),
		uintptr(operation), 0, uintptr(unsafe.Pointer(system))))
}

/*
HRESULT WINAPI HcsOpenComputeSystem(

	_In_ PCWSTR id,
	_In_ DWORD requestedAccess,
	_Out_ HCS_SYSTEM* computeSystem);
*/
var procOpenComputeSystem = proc{name: "HcsOpenComputeSystem"}

func openComputeSystem(id *uint16, system *hcsSystem) uint32 {
	return uint32(procOpenComputeSystem.call(uintptr(unsafe.Pointer(id)), genericAll, uintptr(unsafe.Pointer(system))))
}

/*
void WINAPI HcsCloseComputeSystem(_In_ HCS_SYSTEM computeSystem);
*/
var procCloseComputeSystem = proc{name: "HcsCloseComputeSystem"}

func closeComputeSystem(system hcsSystem) {
	procCloseComputeSystem.call(uintptr(system))
}

/*
HRESULT WINAPI HcsStartComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procStartComputeSystem = proc{name: "HcsStartComputeSystem"}

func startComputeSystem(system hcsSystem, operation hcsOperation) uint32 {
	return uint32(procStartComputeSystem.call(uintptr(system), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsShutDownComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procShutDownComputeSystem = proc{name: "HcsShutDownComputeSystem"}

func shutDownComputeSystem(system hcsSystem, operation hcsOperation) uint32 {
	return uint32(procShutDownComputeSystem.call(uintptr(system), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsTerminateComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procTerminateComputeSystem = proc{name: "HcsTerminateComputeSystem"}

func terminateComputeSystem(system hcsSystem, operation hcsOperation) uint32 {
	return uint32(procTerminateComputeSystem.call(uintptr(system), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsPauseComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procPauseComputeSystem = proc{name: "HcsPauseComputeSystem"}

func pauseComputeSystem(system hcsSystem, operation hcsOperation) uint32 {
	return uint32(procPauseComputeSystem.call(uintptr(system), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsResumeComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procResumeComputeSystem = proc{name: "HcsResumeComputeSystem"}

func resumeComputeSystem(system hcsSystem, operation hcsOperation) uint32 {
	return uint32(procResumeComputeSystem.call(uintptr(system), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsGetComputeSystemProperties(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR propertyQuery);
*/
var procGetComputeSystemProperties = proc{name: "HcsGetComputeSystemProperties"}

func getComputeSystemProperties(system hcsSystem, operation hcsOperation, query *uint16) uint32 {
	return uint32(procGetComputeSystemProperties.call(uintptr(system), uintptr(operation), uintptr(unsafe.Pointer(query))))
}

/*
HRESULT WINAPI HcsModifyComputeSystem(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_OPERATION operation,
	_In_ PCWSTR configuration,
	_In_opt_ HANDLE identity);
*/
var procModifyComputeSystem = proc{name: "HcsModifyComputeSystem"}

func modifyComputeSystem(system hcsSystem, operation hcsOperation, configuration *uint16) uint32 {
	return uint32(procModifyComputeSystem.call(uintptr(system), uintptr(operation), uintptr(unsafe.Pointer(configuration)), 0))
}

/*
HRESULT WINAPI HcsSetComputeSystemCallback(

	_In_ HCS_SYSTEM computeSystem,
	_In_ HCS_EVENT_OPTIONS callbackOptions,
	_In_opt_ const void* context,
	_In_ HCS_EVENT_CALLBACK callback);
*/
var procSetComputeSystemCallback = proc{name: "HcsSetComputeSystemCallback"}

func setComputeSystemCallback(system hcsSystem, context, callback uintptr) uint32 {
	return uint32(procSetComputeSystemCallback.call(uintptr(system), eventOptionNone, context, callback))
}

// eventOptionNone is HcsEventOptionNone: no events for completed operations.
const eventOptionNone = 0
