/*
 * hello.exe says its arguments, the version of Windows and a counter that it
 * keeps in the registry, and ends with an exit code that Linux has no room for:
 * x86_64-w64-mingw32-gcc -municode.
 */
#include <windows.h>
#include <stdio.h>

int wmain(int argc, WCHAR **argv)
{
	DWORD runs = 0, size = sizeof runs;
	WCHAR build[32] = L"?";
	DWORD room = sizeof build;

	RegGetValueW(HKEY_CURRENT_USER, L"Software\\hello", L"runs", RRF_RT_REG_DWORD, NULL, &runs, &size);
	runs++;
	if (RegSetKeyValueW(HKEY_CURRENT_USER, L"Software\\hello", L"runs", REG_DWORD, &runs, sizeof runs))
		return 1;
	RegGetValueW(HKEY_LOCAL_MACHINE, L"Software\\Microsoft\\Windows NT\\CurrentVersion", L"CurrentBuild", RRF_RT_REG_SZ, NULL, build, &room);
	printf("hello, %d arguments, build %ls, run %lu\n", argc - 1, build, (unsigned long)runs);
	fflush(stdout);
	ExitProcess(argc > 1 ? wcstoul(argv[1], NULL, 0) : 0);
}
