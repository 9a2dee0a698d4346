//go:build windows

// Command probe looks at the Windows machine of the tests from inside and
// outside of containers, beside the shell of tests/hcsemu/box. What it prints
// ends with \n alone. It knows nothing of wrun.
//
//	exit CODE          all 32 bits
//	args …             its arguments, one JSON string a line
//	cmdline            the command line as Windows has it
//	env  cwd           its environment, its working directory
//	err …              its arguments to stderr
//	sleep              for ever
//	hash               bytes and SHA-256 of stdin
//	spew N             N bytes, always the same, to stdout
//	family             starts a child that sleeps, prints both pids and sleeps
//	launch FILE …      runs a program and writes its 32-bit exit code to FILE
//	ps                 pid, parent and image of every process of this machine
//	kill PID [CODE]    TerminateProcess
//	dial PIPE …        writes its arguments to a named pipe, prints the answer
//	serve PIPE         answers one client of a named pipe with what it said
//	version            what RtlGetVersion says
//	network …          endpoint | namespace | remove ID…, as a CNI plugin does
//	append FILE …      a line for FILE: what it was told and its stdin, for hooks
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

func main() {
	if len(os.Args) < 2 || verb(os.Args[1]) == nil {
		fmt.Fprintf(os.Stderr, "probe: cannot do %q\n", os.Args[1:])
		os.Exit(2)
	}
	code, err := verb(os.Args[1])(os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "probe %s: %v\n", os.Args[1], err)
		code = max(code, 1)
	}
	windows.ExitProcess(code) // all 32 bits
}

func verb(name string) func([]string) (uint32, error) {
	switch name {
	case "err":
		return func(args []string) (uint32, error) { return 0, say(os.Stderr, strings.Join(args, " ")) }
	case "sleep":
		return wordless(func() error { time.Sleep(1e6 * time.Second); return nil })
	case "exit":
		return func(args []string) (uint32, error) { return code(first(args)) }
	case "args":
		return printArgs
	case "cmdline":
		return wordless(func() error { return say(os.Stdout, commandLine()) })
	case "env":
		return wordless(func() error {
			all := os.Environ()
			slices.Sort(all)
			return say(os.Stdout, strings.Join(all, "\n"))
		})
	case "cwd":
		return wordless(func() error {
			dir, err := os.Getwd()
			return errors.Join(err, say(os.Stdout, dir))
		})
	case "hash":
		return wordless(hash)
	case "spew":
		return func(args []string) (uint32, error) { return 0, spew(first(args)) }
	case "family":
		return wordless(family)
	case "launch":
		return launch
	case "ps":
		return wordless(printProcesses)
	case "kill":
		return kill
	case "dial":
		return dial
	case "serve":
		return serve
	case "version":
		return wordless(printVersion)
	case "append":
		return appendLine
	case "network":
		return network
	}
	return nil
}

func wordless(f func() error) func([]string) (uint32, error) {
	return func([]string) (uint32, error) { return 0, f() }
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func say(w io.Writer, line string) error {
	_, err := fmt.Fprintf(w, "%s\n", line)
	return err
}

func code(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 0, 32)
	return uint32(n), err
}

func printArgs(args []string) (uint32, error) {
	for _, a := range args {
		line, err := json.Marshal(a)
		if err != nil {
			return 1, err
		}
		if err := say(os.Stdout, string(line)); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

func hash() error {
	sum := sha256.New()
	n, err := io.Copy(sum, os.Stdin)
	return errors.Join(err, say(os.Stdout, fmt.Sprintf("%d %x", n, sum.Sum(nil))))
}

// pattern is byte i of what spew writes.
func pattern(i int) byte { return byte(i*7 + i>>8) }

func spew(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(os.Stdout, 32<<10)
	for i := range n {
		if err := w.WriteByte(pattern(i)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// family shows that a container is more than its first process.
func family() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "sleep")
	// A console of its own would bring more of Windows into the container.
	child.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
	if err := child.Start(); err != nil {
		return err
	}
	if err := say(os.Stdout, fmt.Sprintf("%d %d", os.Getpid(), child.Process.Pid)); err != nil {
		return err
	}
	return child.Wait()
}

// launch exists because Linux sees eight bits of a Windows exit code.
func launch(args []string) (uint32, error) {
	if len(args) < 2 {
		return 2, errors.New("FILE and a program")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		return 2, err
	}
	return 0, os.WriteFile(args[0], []byte(strconv.FormatUint(uint64(uint32(cmd.ProcessState.ExitCode())), 10)), 0o600)
}

// appendLine lets a hook tell that it ran, with what it was told: its own
// arguments and the state that came by stdin.
func appendLine(args []string) (uint32, error) {
	if len(args) == 0 {
		return 2, errors.New("FILE")
	}
	state, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1, err
	}
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1, err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", strings.Join(args[1:], " "), strings.Join(strings.Fields(string(state)), " "))
	return 0, errors.Join(err, f.Close())
}
