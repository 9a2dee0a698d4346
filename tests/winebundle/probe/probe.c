/*
 * probe.exe says what a Windows program sees of its container, one thing per
 * call, in UTF-8:
 *
 *   args ...             its arguments, one a line
 *   line                 its command line as it is
 *   exit N               ends with all 32 bits of N
 *   handle               prints "ready", then each console control event; ends with 7
 *   wait                 prints "ready" and sleeps
 *   version              major.minor.build product
 *   user                 the user's name
 *   regset KEY VALUE     writes HKEY_LOCAL_MACHINE\Software\KEY
 *   regget KEY           reads it
 *   mutex NAME           makes a mutex: "made", or "there already"; sleeps
 *   event NAME           the same with an event
 *   section NAME         the same with shared memory
 *   listen PORT          binds it, prints "listening", answers each client "hello"
 *   connect PORT [IPV4]  connects, by default to itself, and prints what it reads
 *   processes NAME       the number of processes that are called that
 *   talk PIPE TEXT       writes TEXT into \\.\pipe\PIPE and prints the answer
 *   open PATH ...        opens files for reading, for each: "open", or the error
 *   write PATH TEXT      writes a file
 *   console              columns and rows of its console
 */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <tlhelp32.h>
#include <stdio.h>
#include <stdlib.h>

static void say(const WCHAR *text)
{
	char utf8[32768];

	WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, sizeof utf8, NULL, NULL);
	printf("%s\n", utf8);
	fflush(stdout);
}

static BOOL WINAPI handler(DWORD event)
{
	printf("event %lu\n", (unsigned long)event);
	fflush(stdout);
	ExitProcess(7);
	return TRUE;
}

static int failed(const char *what)
{
	printf("%s: error %lu\n", what, (unsigned long)GetLastError());
	fflush(stdout);
	return 1;
}

static int object(HANDLE made)
{
	DWORD error = GetLastError();

	if (!made)
		return failed("make it");
	puts(error == ERROR_ALREADY_EXISTS ? "there already" : "made");
	fflush(stdout);
	Sleep(INFINITE);
	return 0;
}

static SOCKET port(int listens, const WCHAR *number, const WCHAR *address)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((u_short)_wtoi(number))};
	SOCKET s = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(listens ? INADDR_ANY : INADDR_LOOPBACK);
	if (address)
		InetPtonW(AF_INET, address, &at.sin_addr);
	if ((listens ? bind(s, (struct sockaddr *)&at, sizeof at) : connect(s, (struct sockaddr *)&at, sizeof at)) != 0)
		return INVALID_SOCKET;
	return s;
}

static int talk(const WCHAR *name, const WCHAR *text)
{
	WCHAR path[300];
	char out[1000], in[4096];
	DWORD n;
	HANDLE pipe;

	swprintf(path, 300, L"\\\\.\\pipe\\%ls", name);
	pipe = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	if (pipe == INVALID_HANDLE_VALUE)
		return failed("open the pipe");
	n = WideCharToMultiByte(CP_UTF8, 0, text, -1, out, sizeof out, NULL, NULL) - 1;
	if (!WriteFile(pipe, out, n, &n, NULL))
		return failed("write");
	while (ReadFile(pipe, in, sizeof in, &n, NULL) && n)
		fwrite(in, 1, n, stdout);
	printf("\n");
	return 0;
}

int wmain(int argc, WCHAR **argv)
{
	const WCHAR *what = argc > 1 ? argv[1] : L"";
	WSADATA winsock;
	WCHAR text[1024];
	DWORD size = sizeof text;

	WSAStartup(MAKEWORD(2, 2), &winsock);
	if (!wcscmp(what, L"args")) {
		for (int i = 2; i < argc; i++)
			say(argv[i]);
	} else if (!wcscmp(what, L"line")) {
		say(GetCommandLineW());
	} else if (!wcscmp(what, L"exit")) {
		ExitProcess(wcstoul(argv[2], NULL, 0));
	} else if (!wcscmp(what, L"handle") || !wcscmp(what, L"wait")) {
		if (what[0] == 'h')
			SetConsoleCtrlHandler(handler, TRUE);
		say(L"ready");
		Sleep(INFINITE);
	} else if (!wcscmp(what, L"version")) {
		OSVERSIONINFOEXW v = {.dwOSVersionInfoSize = sizeof v};
		LONG(WINAPI * get)(OSVERSIONINFOEXW *) = (void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion");
		get(&v);
		printf("%lu.%lu.%lu %s\n", (unsigned long)v.dwMajorVersion, (unsigned long)v.dwMinorVersion, (unsigned long)v.dwBuildNumber,
			v.wProductType == VER_NT_SERVER ? "server" : "client");
	} else if (!wcscmp(what, L"user")) {
		size = 1024;
		GetUserNameW(text, &size);
		say(text);
	} else if (!wcscmp(what, L"regset")) {
		HKEY key;
		swprintf(text, 1024, L"Software\\%ls", argv[2]);
		if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, text, 0, NULL, 0, KEY_ALL_ACCESS, NULL, &key, NULL) ||
			RegSetValueExW(key, L"v", 0, REG_SZ, (BYTE *)argv[3], (wcslen(argv[3]) + 1) * sizeof *argv[3]))
			return failed("write the registry");
		say(L"written");
	} else if (!wcscmp(what, L"regget")) {
		WCHAR key[300];
		swprintf(key, 300, L"Software\\%ls", argv[2]);
		if (RegGetValueW(HKEY_LOCAL_MACHINE, key, L"v", RRF_RT_REG_SZ, NULL, text, &size))
			say(L"absent");
		else
			say(text);
	} else if (!wcscmp(what, L"mutex")) {
		return object(CreateMutexW(NULL, FALSE, argv[2]));
	} else if (!wcscmp(what, L"event")) {
		return object(CreateEventW(NULL, FALSE, FALSE, argv[2]));
	} else if (!wcscmp(what, L"section")) {
		return object(CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, argv[2]));
	} else if (!wcscmp(what, L"listen")) {
		SOCKET s = port(1, argv[2], NULL), client;
		if (s == INVALID_SOCKET || listen(s, 4))
			return failed("listen");
		say(L"listening");
		while ((client = accept(s, NULL, NULL)) != INVALID_SOCKET) {
			send(client, "hello\n", 6, 0);
			closesocket(client);
		}
	} else if (!wcscmp(what, L"connect")) {
		SOCKET s = port(0, argv[2], argc > 3 ? argv[3] : NULL);
		char in[100];
		int n;
		if (s == INVALID_SOCKET)
			return failed("connect");
		while ((n = recv(s, in, sizeof in, 0)) > 0)
			fwrite(in, 1, n, stdout);
	} else if (!wcscmp(what, L"processes")) {
		HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
		PROCESSENTRY32W p = {.dwSize = sizeof p};
		int n = 0;
		for (BOOL more = Process32FirstW(all, &p); more; more = Process32NextW(all, &p))
			n += !_wcsicmp(p.szExeFile, argv[2]);
		printf("%d\n", n);
	} else if (!wcscmp(what, L"talk")) {
		return talk(argv[2], argv[3]);
	} else if (!wcscmp(what, L"open")) {
		int bad = 0;
		for (int i = 2; i < argc; i++) {
			HANDLE f = CreateFileW(argv[i], GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
			if (f == INVALID_HANDLE_VALUE)
				bad = failed("open");
			else
				say(L"open");
		}
		return bad;
	} else if (!wcscmp(what, L"write")) {
		HANDLE f = CreateFileW(argv[2], GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
		char out[1000];
		DWORD n;
		if (f == INVALID_HANDLE_VALUE)
			return failed("write");
		n = WideCharToMultiByte(CP_UTF8, 0, argv[3], -1, out, sizeof out, NULL, NULL) - 1;
		if (!WriteFile(f, out, n, &n, NULL))
			return failed("write");
		say(L"written");
	} else if (!wcscmp(what, L"console")) {
		CONSOLE_SCREEN_BUFFER_INFO info;
		if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info))
			return failed("console");
		printf("%d x %d\n", info.srWindow.Right - info.srWindow.Left + 1, info.srWindow.Bottom - info.srWindow.Top + 1);
	} else {
		return 99;
	}
	return 0;
}
