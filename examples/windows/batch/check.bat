@echo off
rem Windows' own tools: variables, redirection, a loop, an exit code.
echo %USERNAME% on %COMPUTERNAME%, %GREETING%
for %%n in (one two three) do echo %%n>> C:\list.txt
type C:\list.txt
if exist Z:\ exit /b 1
exit /b 3
