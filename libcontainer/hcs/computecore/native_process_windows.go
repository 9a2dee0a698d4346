package computecore

// This file binds the functions of processes in compute systems, and those of
// the service itself. Each process function returns the HRESULT of the
// submission; the operation has the result. HcsWaitForProcessExit is not bound:
// it came with Server 2022, and the callback does the same on both.

import "unsafe"

type hcsProcess uintptr

/*
HRESULT WINAPI HcsCreateProcess(

	_In_ HCS_SYSTEM computeSystem,
	_In_ PCWSTR processParameters,
	_In_ HCS_OPERATION operation,
	_In_opt_ const SECURITY_DESCRIPTOR* securityDescriptor,
	_Out_ HCS_PROCESS* process);
*/
var procCreateProcess = proc{name: "HcsCreateProcess"}

func createProcess(system hcsSystem, parameters *uint16, operation hcsOperation, process *hcsProcess) uint32 {
	return uint32(procCreateProcess.call(uintptr(system), uintptr(unsafe.Pointer(parameters)), uintptr(operation), 0,
		uintptr(unsafe.Pointer(process))))
}

/*
HRESULT WINAPI HcsOpenProcess(

	_In_ HCS_SYSTEM computeSystem,
	_In_ DWORD processId,
	_In_ DWORD requestedAccess,
	_Out_ HCS_PROCESS* process);
*/
var procOpenProcess = proc{name: "HcsOpenProcess"}

func openProcess(system hcsSystem, pid uint32, process *hcsProcess) uint32 {
	return uint32(procOpenProcess.call(uintptr(system), uintptr(pid), genericAll, uintptr(unsafe.Pointer(process))))
}

/*
void WINAPI HcsCloseProcess(_In_ HCS_PROCESS process);
*/
var procCloseProcess = proc{name: "HcsCloseProcess"}

func closeProcess(process hcsProcess) {
	procCloseProcess.call(uintptr(process))
}

/*
HRESULT WINAPI HcsTerminateProcess(

	_In_ HCS_PROCESS process,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procTerminateProcess = proc{name: "HcsTerminateProcess"}

func terminateProcess(process hcsProcess, operation hcsOperation) uint32 {
	return uint32(procTerminateProcess.call(uintptr(process), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsSignalProcess(

	_In_ HCS_PROCESS process,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR options);
*/
var procSignalProcess = proc{name: "HcsSignalProcess"}

func signalProcess(process hcsProcess, operation hcsOperation, options *uint16) uint32 {
	return uint32(procSignalProcess.call(uintptr(process), uintptr(operation), uintptr(unsafe.Pointer(options))))
}

/*
HRESULT WINAPI HcsGetProcessInfo(

	_In_ HCS_PROCESS process,
	_In_ HCS_OPERATION operation);
*/
var procGetProcessInfo = proc{name: "HcsGetProcessInfo"}

func getProcessInfo(process hcsProcess, operation hcsOperation) uint32 {
	return uint32(procGetProcessInfo.call(uintptr(process), uintptr(operation)))
}

/*
HRESULT WINAPI HcsGetProcessProperties(

	_In_ HCS_PROCESS process,
	_In_ HCS_OPERATION operation,
	_In_opt_ PCWSTR propertyQuery);
*/
var procGetProcessProperties = proc{name: "HcsGetProcessProperties"}

func getProcessProperties(process hcsProcess, operation hcsOperation) uint32 {
	return uint32(procGetProcessProperties.call(uintptr(process), uintptr(operation), 0))
}

/*
HRESULT WINAPI HcsModifyProcess(

	_In_ HCS_PROCESS process,
	_In_ HCS_OPERATION operation,
	_In_ PCWSTR settings);
*/
var procModifyProcess = proc{name: "HcsModifyProcess"}

func modifyProcess(process hcsProcess, operation hcsOperation, settings *uint16) uint32 {
	return uint32(procModifyProcess.call(uintptr(process), uintptr(operation), uintptr(unsafe.Pointer(settings))))
}

/*
HRESULT WINAPI HcsSetProcessCallback(

	_In_ HCS_PROCESS process,
	_In_ HCS_EVENT_OPTIONS callbackOptions,
	_In_ void* context,
	_In_ HCS_EVENT_CALLBACK callback);
*/
var procSetProcessCallback = proc{name: "HcsSetProcessCallback"}

func setProcessCallback(process hcsProcess, context, callback uintptr) uint32 {
	return uint32(procSetProcessCallback.call(uintptr(process), eventOptionNone, context, callback))
}

/*
HRESULT WINAPI HcsGetServiceProperties(

	_In_opt_ PCWSTR propertyQuery,
	_Outptr_ PWSTR* result);
*/
var procGetServiceProperties = proc{name: "HcsGetServiceProperties"}

func getServiceProperties(query *uint16) (hresult uint32, document []byte) {
	var result *uint16
	hresult = uint32(procGetServiceProperties.call(uintptr(unsafe.Pointer(query)), uintptr(unsafe.Pointer(&result))))
	return hresult, takeString(result)
}

/*
HRESULT WINAPI HcsModifyServiceSettings(

	_In_ PCWSTR settings,
	_Outptr_opt_ PWSTR* result);
*/
var procModifyServiceSettings = proc{name: "HcsModifyServiceSettings"}

func modifyServiceSettings(settings *uint16) (hresult uint32, document []byte) {
	var result *uint16
	hresult = uint32(procModifyServiceSettings.call(uintptr(unsafe.Pointer(settings)), uintptr(unsafe.Pointer(&result))))
	return hresult, takeString(result)
}

/*
HRESULT WINAPI HcsGrantVmAccess(

	_In_ PCWSTR vmId,
	_In_ PCWSTR filePath);
*/
var procGrantVMAccess = proc{name: "HcsGrantVmAccess"}

func grantVMAccess(vm, path *uint16) uint32 {
	return uint32(procGrantVMAccess.call(uintptr(unsafe.Pointer(vm)), uintptr(unsafe.Pointer(path))))
}

/*
HRESULT WINAPI HcsRevokeVmAccess(

	_In_ PCWSTR vmId,
	_In_ PCWSTR filePath);
*/
var procRevokeVMAccess = proc{name: "HcsRevokeVmAccess"}

func revokeVMAccess(vm, path *uint16) uint32 {
	return uint32(procRevokeVMAccess.call(uintptr(unsafe.Pointer(vm)), uintptr(unsafe.Pointer(path))))
}
