package computecore

// This file owns the table of error numbers: name, cause and cure. It is pure,
// and static data: nothing is initialised at start. docs/windows.md shows it.
//
// Names, numbers and the gist of the causes of 0100 to 011F are those of
// Microsoft's HCSHResult.md and winerror.h (0103 and 0104 exist only as
// ERROR_VMCOMPUTE_*); the cures are wrun's.

// Row describes one code. Names are winerror.h's.
type Row struct {
	Code              Code
	Name, Cause, Cure string
}

// Describe tells what an HRESULT or a Win32 number means: its name, the cause
// in half a sentence, the cure or "". ok is false for a number that the table
// does not have.
func Describe(hresult uint32) (name, cause, cure string, ok bool) {
	row, ok := lookup(CodeOf(hresult))
	return row.Name, row.Cause, row.Cure, ok
}

// Table is every row, Win32's first, in the order of their codes.
func Table() []Row { return append([]Row(nil), rows[:]...) }

func lookup(c Code) (Row, bool) {
	low, high := 0, len(rows)
	for low < high {
		if mid := (low + high) / 2; rows[mid].Code < c {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(rows) && rows[low].Code == c {
		return rows[low], true
	}
	return Row{}, false
}

const (
	cureService  = "start it: `sc start vmcompute`, and look into the event log Microsoft-Windows-Hyper-V-Compute-Admin"
	cureFeature  = "enable the Windows feature Containers (Server 2019, Windows 10 1809 or later) and restart"
	cureHyperV   = "enable the Windows features Hyper-V and Containers and virtualisation in the firmware, or leave out windows.hyperv"
	cureAdmin    = "run wrun elevated, as an administrator"
	cureGuest    = "delete the container and create it again; a guest that does this repeatedly is short of memory or has a damaged image"
	cureGuestOld = "use an image of the host's build: the guest inside it speaks an older protocol than the host"
	cureRetry    = "try again; if it stays so, restart the service vmcompute"
)

// rows is sorted by Code.
var rows = [...]Row{
	{0x0000_4001, "E_NOTIMPL", "this Windows does not implement the call", "use a later build of Windows"},
	{0x0000_4005, "E_FAIL", "the service gave no reason", "look into the event log Microsoft-Windows-Hyper-V-Compute-Admin"},
	{0x0000_FFFF, "E_UNEXPECTED", "the service ran into a state it did not expect", cureRetry},
	{0x0001_0108, "RPC_E_DISCONNECTED", "the service has disconnected", cureService},
	{0x0007_0001, "ERROR_INVALID_FUNCTION", "the device or file system cannot do this", "keep bundles and layers on NTFS volumes"},
	{0x0007_0002, "ERROR_FILE_NOT_FOUND", "a file is missing: the program in the container, or a layer on the host", "check process.args and windows.layerFolders"},
	{0x0007_0003, "ERROR_PATH_NOT_FOUND", "a directory is missing: a mount's source, a layer, or the working directory", "check mounts, windows.layerFolders and process.cwd"},
	{0x0007_0005, "ERROR_ACCESS_DENIED", "the caller may not do this, or what it does it to is just ending", cureAdmin},
	{0x0007_0006, "ERROR_INVALID_HANDLE", "the handle is closed or belongs to something that has gone", ""},
	{0x0007_0008, "ERROR_NOT_ENOUGH_MEMORY", "the host has no memory left for this", "lower windows.resources.memory.limit or stop something"},
	{0x0007_000D, "ERROR_INVALID_DATA", "the service cannot read a value in the document", "look at the document: `wrun create --dry-run`"},
	{0x0007_000E, "E_OUTOFMEMORY", "the host has no memory left for this", "lower windows.resources.memory.limit or stop something"},
	{0x0007_0015, "ERROR_NOT_READY", "the volume of a layer is not ready yet", "try again"},
	{0x0007_001F, "ERROR_GEN_FAILURE", "a device does not work", ""},
	{0x0007_0020, "ERROR_SHARING_VIOLATION", "another process has a file of the container open", "close what uses the layers or the scratch: virus scanners, shells, a container that still runs"},
	{0x0007_0032, "ERROR_NOT_SUPPORTED", "this kind of compute system cannot do this; only utility VMs can pause, for one", "ask for Hyper-V isolation (windows.hyperv), or do without"},
	{0x0007_0035, "ERROR_BAD_NETPATH", "a network path was not found", ""},
	{0x0007_0057, "E_INVALIDARG", "a parameter is invalid", "look at the document: `wrun create --dry-run`"},
	{0x0007_0070, "ERROR_DISK_FULL", "a disk is full: the host's or the container's scratch", "free space, or raise windows.resources.storage.sandboxSize"},
	{0x0007_0079, "ERROR_SEM_TIMEOUT", "Windows waited too long for a device", "try again"},
	{0x0007_007B, "ERROR_INVALID_NAME", "a file name is not one Windows can have", "check the paths in config.json"},
	{0x0007_007E, "ERROR_MOD_NOT_FOUND", "computecore.dll is not on this machine", cureFeature},
	{0x0007_007F, "ERROR_PROC_NOT_FOUND", "computecore.dll of this Windows lacks a function", "use a later build of Windows"},
	{0x0007_00B7, "ERROR_ALREADY_EXISTS", "it exists already", ""},
	{0x0007_00C1, "ERROR_BAD_EXE_FORMAT", "the program is not one this Windows can run", "check the program's architecture against the image's"},
	{0x0007_00CE, "ERROR_FILENAME_EXCED_RANGE", "a path is too long", "shorten the paths of bundle and layers"},
	{0x0007_0102, "WAIT_TIMEOUT", "Windows waited too long", "try again"},
	{0x0007_010B, "ERROR_DIRECTORY", "the working directory does not exist in the container or is a file", "check process.cwd"},
	{0x0007_041D, "ERROR_SERVICE_REQUEST_TIMEOUT", "the service did not answer in time", cureService},
	{0x0007_0422, "ERROR_SERVICE_DISABLED", "the service vmcompute is disabled", "enable it: `sc config vmcompute start= demand`"},
	{0x0007_0424, "ERROR_SERVICE_DOES_NOT_EXIST", "the service vmcompute is not installed", cureFeature},
	{0x0007_0426, "ERROR_SERVICE_NOT_ACTIVE", "the service vmcompute is not started", cureService},
	{0x0007_048F, "ERROR_DEVICE_NOT_CONNECTED", "the volume of a layer has gone or is not there yet", "try again"},
	{0x0007_0490, "ERROR_NOT_FOUND", "there is no such process, device or share in the container", ""},
	{0x0007_04C7, "ERROR_CANCELLED", "the call was cancelled", ""},
	{0x0007_0522, "ERROR_PRIVILEGE_NOT_HELD", "the caller lacks a privilege", cureAdmin},
	{0x0007_0525, "ERROR_NO_SUCH_USER", "the image has no such user", "check process.user.username"},
	{0x0007_052E, "ERROR_LOGON_FAILURE", "the user cannot be logged on in the container", "check process.user.username; ContainerUser and ContainerAdministrator always exist"},
	{0x0007_0534, "ERROR_NONE_MAPPED", "the image has no such user", "check process.user.username"},
	{0x0007_0570, "ERROR_FILE_CORRUPT", "a file or disk is damaged", "import the image again"},
	{0x0007_05AA, "ERROR_NO_SYSTEM_RESOURCES", "the host has no resources left for this", "lower the container's memory or stop something"},
	{0x0007_05AF, "ERROR_COMMITMENT_LIMIT", "the host's paging file is too small for this", "lower windows.resources.memory.limit or enlarge the paging file"},
	{0x0007_05B4, "ERROR_TIMEOUT", "the service did not answer in time", cureRetry},
	{0x0007_06BA, "RPC_S_SERVER_UNAVAILABLE", "nothing answers for the service vmcompute", cureService},
	{0x0007_06BE, "RPC_S_CALL_FAILED", "the service ended during the call", cureService},
	{0x0007_06BF, "RPC_S_CALL_FAILED_DNE", "the service ended before the call", cureService},
	{0x0007_071A, "RPC_S_CALL_CANCELLED", "the call was cancelled", cureRetry},
	{0x0037_0100, "HCS_E_TERMINATED_DURING_START", "the container ended while it was starting", cureGuest},
	{0x0037_0101, "HCS_E_IMAGE_MISMATCH", "the container's operating system does not match the host's", "use an image of the host's build, or Hyper-V isolation (windows.hyperv)"},
	{0x0037_0102, "HCS_E_HYPERV_NOT_INSTALLED", "Hyper-V isolation needs a feature that is not installed", cureHyperV},
	{0x0037_0103, "ERROR_VMCOMPUTE_OPERATION_PENDING", "the operation goes on in the background", ""},
	{0x0037_0104, "ERROR_VMCOMPUTE_TOO_MANY_NOTIFICATIONS", "the container has too many subscribers for its notifications", cureRetry},
	{0x0037_0105, "HCS_E_INVALID_STATE", "the container's state does not allow this now", "look at its state: `wrun state`"},
	{0x0037_0106, "HCS_E_UNEXPECTED_EXIT", "the container ended unexpectedly", cureGuest},
	{0x0037_0107, "HCS_E_TERMINATED", "the container was ended by force", ""},
	{0x0037_0108, "HCS_E_CONNECT_FAILED", "no connection to the container's guest could be made", cureGuest},
	{0x0037_0109, "HCS_E_CONNECTION_TIMEOUT", "the container's guest did not answer in time", cureGuest},
	{0x0037_010A, "HCS_E_CONNECTION_CLOSED", "the connection to the container's guest was closed", cureGuest},
	{0x0037_010B, "HCS_E_UNKNOWN_MESSAGE", "the container's guest does not know this message", cureGuestOld},
	{0x0037_010C, "HCS_E_UNSUPPORTED_PROTOCOL_VERSION", "host and guest have no version of their protocol in common", cureGuestOld},
	{0x0037_010D, "HCS_E_INVALID_JSON", "the service or the guest rejects the document: it does not know a field or a value", "look at the document: `wrun create --dry-run`; fields depend on the Windows build"},
	{0x0037_010E, "HCS_E_SYSTEM_NOT_FOUND", "there is no compute system with this id", ""},
	{0x0037_010F, "HCS_E_SYSTEM_ALREADY_EXISTS", "there already is a compute system with this id", "delete it: `wrun delete --force`, or if it is not wrun's, `hcsdiag kill`"},
	{0x0037_0110, "HCS_E_SYSTEM_ALREADY_STOPPED", "the container has already stopped", ""},
	{0x0037_0111, "HCS_E_PROTOCOL_ERROR", "host and guest misunderstood each other", cureGuest},
	{0x0037_0112, "HCS_E_INVALID_LAYER", "a layer of the image has a format this Windows does not know", "use an image of the host's build, or import the image again"},
	{0x0037_0113, "HCS_E_WINDOWS_INSIDER_REQUIRED", "the image is for members of the Windows Insider Program", "use a released image"},
	{0x0037_0114, "HCS_E_SERVICE_NOT_AVAILABLE", "a feature that the operation needs is not installed", cureFeature},
	{0x0037_0115, "HCS_E_OPERATION_NOT_STARTED", "the operation has not started", cureRetry},
	{0x0037_0116, "HCS_E_OPERATION_ALREADY_STARTED", "the operation is already running", cureRetry},
	{0x0037_0117, "HCS_E_OPERATION_PENDING", "the operation is still running", ""},
	{0x0037_0118, "HCS_E_OPERATION_TIMEOUT", "the operation did not complete in time", cureRetry},
	{0x0037_0119, "HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET", "this handle already has a callback", ""},
	{0x0037_011A, "HCS_E_OPERATION_RESULT_ALLOCATION_FAILED", "there is no memory for the operation's result", "stop something: the host is out of memory"},
	{0x0037_011B, "HCS_E_ACCESS_DENIED", "only administrators and members of Hyper-V Administrators may use compute systems", cureAdmin},
	{0x0037_011C, "HCS_E_GUEST_CRITICAL_ERROR", "the guest reported a critical error and was stopped or restarted", cureGuest},
	{0x0037_011D, "HCS_E_PROCESS_INFO_NOT_AVAILABLE", "there is no information on the process", ""},
	{0x0037_011E, "HCS_E_SERVICE_DISCONNECT", "the service has disconnected; its containers may be gone with it", cureService},
	{0x0037_011F, "HCS_E_PROCESS_ALREADY_STOPPED", "the process has already ended", ""},
}
