/*
 * launcher.exe: wrun's hands inside a Wine session. It is the first Windows
 * process of a container and the parent of each one that exec starts.
 *
 *   launcher run           starts the command line of WRUN_COMMAND, unchanged,
 *                          waits, and writes what becomes of it, with all 32 bits of
 *                          its exit code, which Unix has only 8 of, to WRUN_STATUS
 *   launcher signal E PID  raises console control event E (0 Ctrl-C, 1 Ctrl-Break,
 *                          2 close, 5 logoff, 6 shutdown) in a process, or in "all"
 *   launcher kill PID      ends a process, or "all"
 *   launcher list          prints the processes, one a line
 *   launcher pipe NAME     serves a named pipe: what a client writes goes to a TCP
 *                          port of the session's, which has the host's socket
 *
 * What to start comes by the environment, because Wine's conversion of arguments
 * is bounded by 32,767 characters for all of them: WRUN_CWD, WRUN_COMMAND and,
 * for each variable of the program, WRUN_ENV_<n>.
 */
#include <winsock2.h>
#include <windows.h>
#include <psapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <tlhelp32.h>
#include <wchar.h>

enum { failed = 255 };

/* variable returns a variable of this process and takes it out of the environment; NULL if there is none. */
static WCHAR *variable(const WCHAR *name)
{
	DWORD size = GetEnvironmentVariableW(name, NULL, 0);
	WCHAR *value;

	if (!size)
		return NULL;
	value = malloc(size * sizeof *value);
	if (value)
		GetEnvironmentVariableW(name, value, size);
	SetEnvironmentVariableW(name, NULL);
	return value;
}

/* What Linux gave Wine. Wine itself adds some variables to every process, which stay. */
static void clean_environment(void)
{
	static const WCHAR *const foreign[] = {L"LC_ALL", L"WINEPREFIX", L"WINEDEBUG", L"WINESERVER"};
	WCHAR name[32];

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		SetEnvironmentVariableW(foreign[i], NULL);
	for (int i = 0;; i++) {
		WCHAR *set, *value;

		swprintf(name, 32, L"WRUN_ENV_%d", i);
		set = variable(name);
		if (!set)
			break;
		value = *set ? wcschr(set + 1, '=') : NULL; /* names of Windows's own begin with "=" */
		if (value) {
			*value++ = 0;
			SetEnvironmentVariableW(set, value);
		}
		free(set);
	}
}

static HANDLE status = INVALID_HANDLE_VALUE;
static char nonce[64];

/* report adds a line for the host, which believes the last one. */
static void report(const char *what, DWORD number, DWORD more)
{
	char line[160];
	DWORD done;
	int size = snprintf(line, sizeof line, "%s %s %lu %lu\n", nonce, what, (unsigned long)number, (unsigned long)more);

	if (status == INVALID_HANDLE_VALUE)
		return;
	WriteFile(status, line, size, &done, NULL);
}

static int run(void)
{
	WCHAR *command = variable(L"WRUN_COMMAND"), *cwd = variable(L"WRUN_CWD"), *file = variable(L"WRUN_STATUS"), *token = variable(L"WRUN_NONCE");
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation.LimitFlags =
							       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK};
	STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
	PROCESS_INFORMATION process;
	DWORD code = failed, error;
	HANDLE job;

	if (token)
		snprintf(nonce, sizeof nonce, "%ls", token);
	if (file)
		status = CreateFileW(file, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
	clean_environment();
	if (!command) {
		report("failed", ERROR_BAD_ARGUMENTS, 0);
		return failed;
	}
	start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
	start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
	start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	/* Ends with this process: who kills the launcher means the program. What the program starts lives on. */
	job = CreateJobObjectW(NULL, NULL);
	if (job)
		SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof limit);
	if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, cwd && *cwd ? cwd : NULL, &start, &process)) {
		error = GetLastError();
		report("failed", error, 0);
		return failed;
	}
	if (job)
		AssignProcessToJobObject(job, process.hProcess);
	report("started", process.dwProcessId, 0);
	SetConsoleCtrlHandler(NULL, TRUE); /* Ctrl-C at a terminal is the program's */
	ResumeThread(process.hThread);
	WaitForSingleObject(process.hProcess, INFINITE);
	GetExitCodeProcess(process.hProcess, &code);
	report("exited", code, process.dwProcessId);
	return (int)code;
}

/*
 * imported is where kernelbase.dll keeps the address of ntdll's
 * RtlExitUserProcess, NULL if it does not look as expected.
 */
static void **imported(void *target)
{
	BYTE *base = (BYTE *)GetModuleHandleW(L"kernelbase.dll");
	IMAGE_NT_HEADERS *head;
	IMAGE_DATA_DIRECTORY *directory;
	IMAGE_IMPORT_DESCRIPTOR *from;

	if (!base)
		return NULL;
	head = (IMAGE_NT_HEADERS *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
	directory = &head->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
	if (!directory->VirtualAddress)
		return NULL;
	for (from = (IMAGE_IMPORT_DESCRIPTOR *)(base + directory->VirtualAddress); from->Name; from++)
		for (void **slot = (void **)(base + from->FirstThunk); *slot; slot++)
			if (*slot == target)
				return slot;
	return NULL;
}

/*
 * A program that handles no event ends by it with STATUS_CONTROL_C_EXIT on
 * Windows, with 0 on Wine, whose last handler calls RtlExitUserProcess(0) from
 * kernelbase.dll. Nothing else of that DLL's ends a process, a program's own exit
 * goes another way, so this one call is sent over an instruction that puts the
 * right code in. Where memory does not look like that, nothing is changed.
 */
static void correct_exit_code(HANDLE process)
{
	BYTE code[] = {0xb9, 0x3a, 0x01, 0x00, 0xc0, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* mov ecx, STATUS_CONTROL_C_EXIT; mov rax, ...; jmp rax */
	void *exit_process = (void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlExitUserProcess"), *there, *now = NULL;
	void **slot = imported(exit_process);
	DWORD protection;

	if (!slot || !ReadProcessMemory(process, slot, &now, sizeof now, NULL) || now != exit_process)
		return;
	there = VirtualAllocEx(process, NULL, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	if (!there)
		return;
	memcpy(code + 7, &exit_process, sizeof exit_process);
	if (!WriteProcessMemory(process, there, code, sizeof code, NULL) ||
		!VirtualProtectEx(process, slot, sizeof there, PAGE_READWRITE, &protection))
		return;
	WriteProcessMemory(process, slot, &there, sizeof there, NULL);
	VirtualProtectEx(process, slot, sizeof there, protection, &protection);
}

/* raise_event runs the system's own routine for an event in another process, as Windows does it. */
static DWORD raise_event(DWORD pid, DWORD_PTR event)
{
	LPTHREAD_START_ROUTINE routine = (LPTHREAD_START_ROUTINE)(void *)GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "CtrlRoutine");
	HANDLE process, thread;
	DWORD error = 0;

	if (!routine)
		return ERROR_PROC_NOT_FOUND;
	process = OpenProcess(PROCESS_CREATE_THREAD | PROCESS_QUERY_INFORMATION | PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE, FALSE, pid);
	if (!process)
		return GetLastError();
	correct_exit_code(process);
	thread = CreateRemoteThread(process, NULL, 0, routine, (void *)event, 0, NULL);
	if (thread)
		CloseHandle(thread);
	else
		error = GetLastError();
	CloseHandle(process);
	return error;
}

static DWORD end_process(DWORD pid, DWORD_PTR code)
{
	HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, pid);
	DWORD error = 0;

	if (!process)
		return GetLastError();
	if (!TerminateProcess(process, (UINT)code))
		error = GetLastError();
	CloseHandle(process);
	return error;
}

/* Of Wine's own, and of this program's: no process of the container's in the eyes of a user of Windows. */
static int is_system(const WCHAR *image)
{
	static const WCHAR *const names[] = {L"services.exe", L"winedevice.exe", L"plugplay.exe", L"svchost.exe", L"rpcss.exe", L"explorer.exe",
		L"conhost.exe", L"wineboot.exe", L"winemenubuilder.exe", L"start.exe", L"launcher.exe"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!_wcsicmp(image, names[i]))
			return 1;
	return 0;
}

static int each(int include_system, int (*do_it)(const PROCESSENTRY32W *, void *), void *with)
{
	PROCESSENTRY32W entry = {.dwSize = sizeof entry};
	HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
	int bad = 0;

	if (snapshot == INVALID_HANDLE_VALUE)
		return failed;
	for (BOOL more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
		if (include_system || !is_system(entry.szExeFile))
			bad |= do_it(&entry, with);
	CloseHandle(snapshot);
	return bad;
}

struct action {
	DWORD (*act)(DWORD, DWORD_PTR);
	DWORD_PTR argument;
};

static int act(const PROCESSENTRY32W *entry, void *with)
{
	struct action *a = with;

	a->act(entry->th32ProcessID, a->argument); /* it may have ended */
	return 0;
}

/* reach acts on a process or on all of them. */
static int reach(const WCHAR *whom, struct action a)
{
	DWORD error;

	if (!wcscmp(whom, L"all"))
		return each(0, act, &a);
	error = a.act(wcstoul(whom, NULL, 10), a.argument);
	if (error)
		fprintf(stderr, "process %ls: error %lu\n", whom, (unsigned long)error);
	return error ? 1 : 0;
}

static unsigned long long ticks(FILETIME t)
{
	return (unsigned long long)t.dwHighDateTime << 32 | t.dwLowDateTime;
}

/* pid, parent, creation, kernel and user time in units of 100 ns, memory in bytes, name in UTF-8 */
static int print(const PROCESSENTRY32W *entry, void *unused)
{
	FILETIME created = {0}, ended = {0}, kernel = {0}, user = {0};
	PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
	char name[MAX_PATH * 3] = "";
	HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_QUERY_INFORMATION, FALSE, entry->th32ProcessID);

	(void)unused;
	if (process) {
		GetProcessTimes(process, &created, &ended, &kernel, &user);
		K32GetProcessMemoryInfo(process, &memory, sizeof memory);
		CloseHandle(process);
	}
	WideCharToMultiByte(CP_UTF8, 0, entry->szExeFile, -1, name, sizeof name, NULL, NULL);
	printf("%lu %lu %llu %llu %llu %llu %s\n", (unsigned long)entry->th32ProcessID, (unsigned long)entry->th32ParentProcessID, ticks(created),
		ticks(kernel), ticks(user), (unsigned long long)memory.PagefileUsage, name);
	return 0;
}

/* Where the session listens, and the word that it wants to hear first. */
static struct sockaddr_in session = {.sin_family = AF_INET};
static char password[64];
static WCHAR pipe_name[MAX_PATH];

struct connection {
	HANDLE pipe;
	SOCKET socket;
};

/* transfer reads or writes an overlapped pipe and waits. Two threads use it, one for each direction. */
static BOOL transfer(HANDLE pipe, int write, char *data, DWORD size, DWORD *done)
{
	OVERLAPPED o = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
	BOOL ok = write ? WriteFile(pipe, data, size, NULL, &o) : ReadFile(pipe, data, size, NULL, &o);

	if (ok || GetLastError() == ERROR_IO_PENDING)
		ok = GetOverlappedResult(pipe, &o, done, TRUE);
	CloseHandle(o.hEvent);
	return ok;
}

static DWORD WINAPI from_client(void *argument)
{
	struct connection *c = argument;
	char data[16384];
	DWORD got;

	while (transfer(c->pipe, 0, data, sizeof data, &got))
		for (DWORD sent = 0; sent < got;) {
			int n = send(c->socket, data + sent, got - sent, 0);
			if (n <= 0)
				return 0;
			sent += n;
		}
	shutdown(c->socket, SD_SEND);
	return 0;
}

/* to_client returns when the host's side has said all, and the client has read it. */
static void to_client(struct connection *c)
{
	char data[16384];
	int got;

	while ((got = recv(c->socket, data, sizeof data, 0)) > 0)
		for (DWORD sent = 0, n; sent < (DWORD)got; sent += n)
			if (!transfer(c->pipe, 1, data + sent, got - sent, &n))
				return;
	FlushFileBuffers(c->pipe);
}

static HANDLE instance(void)
{
	return CreateNamedPipeW(pipe_name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT,
		PIPE_UNLIMITED_INSTANCES, 65536, 65536, 0, NULL);
}

/* serve waits for one client. There is a successor before it is served, so that the next one finds the pipe. */
static DWORD WINAPI serve(void *argument)
{
	struct connection c = {argument, INVALID_SOCKET};
	OVERLAPPED o = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
	HANDLE next, thread;
	DWORD none;

	if (!ConnectNamedPipe(c.pipe, &o) && GetLastError() == ERROR_IO_PENDING)
		GetOverlappedResult(c.pipe, &o, &none, TRUE);
	CloseHandle(o.hEvent);
	next = instance();
	if (next != INVALID_HANDLE_VALUE && (thread = CreateThread(NULL, 0, serve, next, 0, NULL)))
		CloseHandle(thread);
	c.socket = socket(AF_INET, SOCK_STREAM, 0);
	if (c.socket != INVALID_SOCKET && connect(c.socket, (struct sockaddr *)&session, sizeof session) == 0 &&
		send(c.socket, password, strlen(password), 0) == (int)strlen(password)) {
		thread = CreateThread(NULL, 0, from_client, &c, 0, NULL);
		to_client(&c);
		DisconnectNamedPipe(c.pipe);
		if (thread) {
			WaitForSingleObject(thread, INFINITE);
			CloseHandle(thread);
		}
	}
	closesocket(c.socket);
	CloseHandle(c.pipe);
	return 0;
}

static int serve_pipe(const WCHAR *name)
{
	WCHAR *port = variable(L"WRUN_PORT"), *word = variable(L"WRUN_NONCE");
	WSADATA unused;
	HANDLE first, second;

	if (!port || !word || WSAStartup(MAKEWORD(2, 2), &unused))
		return failed;
	session.sin_port = htons((u_short)wcstoul(port, NULL, 10));
	session.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	snprintf(password, sizeof password, "%ls\n", word);
	swprintf(pipe_name, MAX_PATH, L"\\\\.\\pipe\\%ls", name);
	first = instance();
	second = instance();
	if (first == INVALID_HANDLE_VALUE || second == INVALID_HANDLE_VALUE || !CreateThread(NULL, 0, serve, first, 0, NULL))
		return failed;
	puts("ready");
	fflush(stdout);
	serve(second);
	Sleep(INFINITE);
	return 0;
}

int wmain(int argc, WCHAR **argv)
{
	if (argc == 2 && !wcscmp(argv[1], L"run"))
		return run();
	if (argc == 4 && !wcscmp(argv[1], L"signal"))
		return reach(argv[3], (struct action){raise_event, wcstoul(argv[2], NULL, 10)});
	if (argc == 3 && !wcscmp(argv[1], L"kill"))
		return reach(argv[2], (struct action){end_process, 1});
	if (argc == 2 && !wcscmp(argv[1], L"list"))
		return each(0, print, NULL);
	if (argc == 3 && !wcscmp(argv[1], L"pipe"))
		return serve_pipe(argv[2]);
	fprintf(stderr, "usage: launcher run | signal EVENT PID | kill PID | list | pipe NAME\n");
	return failed;
}
