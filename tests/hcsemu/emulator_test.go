//go:build !windows

package hcsemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wrun/tests/hcsemu/build"
)

// TestUnderWine builds everything, starts the service in a Wine prefix and runs
// this package's Windows tests against it: clients that know only the DLLs.
// Afterwards nothing is left: no process, no virtual machine's prefix.
func TestUnderWine(t *testing.T) {
	if lacks := build.Missing(); lacks != "" {
		t.Skip("the machine lacks " + lacks)
	}
	if testing.Short() {
		t.Skip("takes half a minute; not with -short")
	}
	dir := t.TempDir()
	programs, template, host, vms := filepath.Join(dir, "bin"), filepath.Join(dir, "template"), filepath.Join(dir, "host"), filepath.Join(dir, "vms")
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("building", build.All(programs))
	must("making a prefix", build.Prefix(programs, template))
	must("cloning the prefix", build.Clone(template, host))
	must("making a directory", os.Mkdir(vms, 0o755))
	tests := exec.Command("go", "test", "-c", "-buildvcs=false", "-o", filepath.Join(programs, "tests.exe"), ".")
	tests.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := tests.CombinedOutput(); err != nil {
		t.Fatalf("building the tests: %v\n%s", err, out)
	}

	journal := filepath.Join(dir, "journal")
	serve := wine(t, dir, host, "serve", "hcsemu.exe", "serve", "-journal", "Z:"+journal, "-template", template, "-vms", vms)
	must("starting the service", serve.Start())
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() {
		kill := exec.Command("wineserver", "-k")
		kill.Env = append(os.Environ(), build.Env(host)...)
		_ = kill.Run() // fails where the prefix has ended by itself
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(said(t, dir, "serve"), "ready"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the service is not ready: %s", said(t, dir, "serve"))
		}
	}

	client := wine(t, dir, host, "client", "tests.exe", "-test.v", "-test.timeout=5m")
	client.Env = append(client.Env, "HCSEMU_EXE=Z:"+filepath.Join(programs, "hcsemu.exe"), "HCSEMU_JOURNAL=Z:"+journal)
	if err := client.Run(); err != nil {
		t.Errorf("the tests under Wine: %v\n%s", err, said(t, dir, "client"))
	}
	if out := said(t, dir, "client"); strings.Count(out, "--- PASS") < 15 {
		t.Errorf("few tests ran under Wine:\n%s", out)
	}

	leave := wine(t, dir, host, "leave", "tests.exe", "-test.run=^TestLeaveRunning$")
	leave.Env = append(leave.Env, "HCSEMU_EXE=x", "HCSEMU_LEAVE=1")
	if err := leave.Run(); leave.ProcessState == nil || leave.ProcessState.ExitCode() != 7 {
		t.Errorf("leaving things behind: %v: %s", err, said(t, dir, "leave"))
	}
	if left, err := filepath.Glob(filepath.Join(vms, "vm-*", "system.reg")); err != nil || len(left) != 1 {
		t.Errorf("before the stop: machines %v, %v; want one", left, err)
	}
	stop := wine(t, dir, host, "stop", "hcsemu.exe", "ctl", "stop")
	if err := stop.Run(); err != nil {
		t.Errorf("stopping: %v: %s", err, said(t, dir, "stop"))
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the service ended with %v: %s", err, said(t, dir, "serve"))
		}
	case <-time.After(30 * time.Second):
		t.Error("the service did not end")
	}
	left, err := os.ReadDir(vms)
	if err != nil || len(left) > 0 {
		t.Errorf("virtual machines left: %v, %v", left, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		running := processesOf(dir)
		if len(running) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes left: %q", running)
		}
	}
}

// processesOf are the command lines that name dir: programs of hosts and guests,
// and the shells of machines.
func processesOf(dir string) []string {
	var found []string
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if line := strings.ReplaceAll(string(data), "\x00", " "); err == nil && strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return found
}

// wine makes a command with its output in a file, which what it starts may keep
// open.
func wine(t *testing.T, dir, prefix, name, exe string, args ...string) *exec.Cmd {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	argv := build.Fixed(append([]string{"wine", filepath.Join(dir, "bin", exe)}, args...)...)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, append(os.Environ(), build.Env(prefix)...), out, out
	return c
}

func said(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
