/*
 * bcryptprimitives.dll for Wine 8, which has none. Go's run time loads it
 * first of all from system32, for ProcessPrng; so every Go program, without a
 * change, also gets two corrections of ntdll (measured on Wine 8.0 with Go
 * 1.26):
 *
 *   - NtSetInformationFile, class 64 (FileDispositionInformationEx), says "not
 *     implemented", which os.RemoveAll takes for a failure. "Not supported"
 *     makes it try the older class.
 *   - A pipe instance that was created without the right to read or write is
 *     disconnected on Windows: go-winio's listeners begin with one. Wine lets
 *     the first client connect to it, and that client then waits for ever.
 *
 * Only under Wine, only where a function begins as a system call's thunk does,
 * and not with WRUN_NOCOMPAT in the environment.
 */
#include <windows.h>
#include <winternl.h>

#define FILE_DISPOSITION_INFORMATION_EX 64
#define NOT_SUPPORTED ((NTSTATUS)0xC00000BB)
#define CASE_INSENSITIVE 0x40

BOOLEAN WINAPI SystemFunction036(PVOID bytes, ULONG length); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
	return SystemFunction036(bytes, (ULONG)length);
}

typedef NTSTATUS(NTAPI *SetInformationFile)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, ULONG);
typedef NTSTATUS(NTAPI *CreateNamedPipeFile)(PHANDLE, ULONG, POBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, ULONG, ULONG, ULONG, ULONG, ULONG,
	ULONG, ULONG, ULONG, ULONG, PLARGE_INTEGER);
static SetInformationFile original_set_information;
static CreateNamedPipeFile original_create_pipe;

static NTSTATUS NTAPI set_information(HANDLE file, PIO_STATUS_BLOCK io, PVOID data, ULONG length, ULONG class)
{
	if (class == FILE_DISPOSITION_INFORMATION_EX)
		return NOT_SUPPORTED;
	return original_set_information(file, io, data, length, class);
}

static NTSTATUS NTAPI create_pipe(PHANDLE pipe, ULONG access, POBJECT_ATTRIBUTES attributes, PIO_STATUS_BLOCK io, ULONG share,
	ULONG disposition, ULONG options, ULONG type, ULONG read_mode, ULONG completion, ULONG instances, ULONG in, ULONG out,
	PLARGE_INTEGER timeout)
{
	const ULONG data = GENERIC_READ | GENERIC_WRITE | GENERIC_ALL | FILE_READ_DATA | FILE_WRITE_DATA;
	OBJECT_ATTRIBUTES again;
	IO_STATUS_BLOCK again_io;
	HANDLE client;
	NTSTATUS status;

	attributes->Attributes |= CASE_INSENSITIVE; /* go-winio before 0.6 leaves it out; Windows does not mind */
	status = original_create_pipe(pipe, access, attributes, io, share, disposition, options, type, read_mode, completion, instances, in,
		out, timeout);
	if (status != 0 || (access & data))
		return status;
	again = *attributes;
	again.SecurityDescriptor = NULL;
	if (NtOpenFile(&client, GENERIC_READ | SYNCHRONIZE, &again, &again_io, FILE_SHARE_READ | FILE_SHARE_WRITE, 0) == 0) {
		DisconnectNamedPipe(*pipe);
		NtClose(client);
	}
	return status;
}

/*
 * Sends a thunk's callers to another function. *original is a copy of the
 * thunk, and set before the first caller can arrive.
 */
static void redirect(const char *name, void *to, void **original)
{
	static const BYTE thunk[] = {0x4c, 0x8b, 0xd1, 0xb8}; /* mov r10, rcx; mov eax, ... */
	static const BYTE jump[] = {0xff, 0x25, 0, 0, 0, 0};  /* jmp [rip+0] */
	BYTE *function = (BYTE *)GetProcAddress(GetModuleHandleA("ntdll"), name), *copy;
	DWORD protection;

	if (!function || memcmp(function, thunk, sizeof thunk) != 0)
		return;
	copy = VirtualAlloc(NULL, 64, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	if (!copy || !VirtualProtect(function, sizeof jump + sizeof to, PAGE_EXECUTE_READWRITE, &protection))
		return;
	memcpy(copy, function, 32);
	*original = copy;
	memcpy(function, jump, sizeof jump);
	memcpy(function + sizeof jump, &to, sizeof to);
	VirtualProtect(function, sizeof jump + sizeof to, protection, &protection);
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved)
{
	(void)instance;
	(void)reserved;
	if (reason != DLL_PROCESS_ATTACH || !GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version") ||
		GetEnvironmentVariableA("WRUN_NOCOMPAT", NULL, 0))
		return TRUE;
	redirect("NtSetInformationFile", set_information, (void **)&original_set_information);
	redirect("NtCreateNamedPipeFile", create_pipe, (void **)&original_create_pipe);
	return TRUE;
}
