// Command make builds what runs inside a Windows container on Linux, beside
// Wine: launcher.exe and bcryptprimitives.dll, C for mingw, and session, Go.
//
//	go run ./libcontainer/wine/make -o bin/wine
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// compiler is Debian's gcc-mingw-w64-x86-64-win32.
const compiler = "x86_64-w64-mingw32-gcc"

func main() {
	out := flag.String("o", "bin/wine", "the `directory` to write to")
	source := flag.String("source", "libcontainer/wine", "the `directory` of the sources")
	flag.Parse()
	if err := build(*source, *out); err != nil {
		fmt.Fprintln(os.Stderr, "building what runs beside Wine:", err)
		os.Exit(1)
	}
}

func build(source, out string) error {
	if _, err := exec.LookPath(compiler); err != nil {
		return errors.New("the C compiler for Windows is missing: sh tests/setup.sh gcc-mingw-w64-x86-64-win32")
	}
	// A container's user reads it, whatever the builder's umask is.
	syscall.Umask(0o022)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	strict := []string{"-Wall", "-Wextra", "-Werror", "-O2", "-s", "-Wl,--no-insert-timestamp"}
	c := func(name string, more ...string) error {
		args := append(append([]string{}, strict...), "-o", filepath.Join(out, name))
		return run(nil, compiler, append(args, more...)...)
	}
	if err := c("launcher.exe", "-municode", filepath.Join(source, "windows", "launcher.c"), "-lws2_32"); err != nil {
		return err
	}
	if err := c("bcryptprimitives.dll", "-shared", filepath.Join(source, "windows", "bcryptprimitives.c"), "-ladvapi32", "-lntdll"); err != nil {
		return err
	}
	return run([]string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w",
		"-o", filepath.Join(out, "session"), "./"+filepath.Join(source, "session"))
}

func run(env []string, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
