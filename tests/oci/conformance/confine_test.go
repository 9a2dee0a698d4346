//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == confinedCommand {
		os.Exit(confinedMain())
	}
	os.Exit(m.Run())
}

// confined runs a shell script as if it were a test of the suite.
func confined(t *testing.T, script string, timeout time.Duration) (result, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces and cgroups")
	}
	m, err := readMachine()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	r, tap, diagnostics, err := runConfined(subject{Name: "echo", Path: "/bin/echo"}, suite{Dir: dir}, m, "script", timeout)
	if err != nil {
		t.Fatalf("%v\n%s", err, diagnostics)
	}
	if err := m.leftBehind(); err != nil {
		t.Error(err)
	}
	return r, string(tap)
}

func TestConfinementCallsTheRuntimeThroughItsWrapper(t *testing.T) {
	r, tap := confined(t, `echo "ok 1 - $($RUNTIME state id)"; exit 3`, time.Minute)
	if r.OK != 1 || r.Exit != 3 || !strings.Contains(tap, "--root /") || !strings.Contains(tap, "state id\n") {
		t.Errorf("%+v, output %q", r, tap)
	}
}

func TestConfinementNamesAndEndsLeftProcesses(t *testing.T) {
	r, _ := confined(t, "sleep 987 </dev/null >/dev/null 2>&1 &\nuntil grep -q sleep /proc/$!/comm; do :; done\n", time.Minute)
	if len(r.Left) != 1 || r.Left[0] != "sleep 987" {
		t.Errorf("left %q, want the sleep", r.Left)
	}
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		if line, _ := os.ReadFile(path); string(line) == "sleep\x00987\x00" {
			t.Errorf("%s still runs", path)
		}
	}
}

func TestConfinementKeepsMountsAndCgroups(t *testing.T) {
	_, tap := confined(t, `
mount -t tmpfs wrun-oci-mount /mnt && echo "ok 1 - mounted"
for dir in /sys/fs/cgroup/*/; do mkdir -p "$dir/cgrouptest/below" && echo "ok 2 - $dir"; done
`, time.Minute)
	if !strings.Contains(tap, "ok 1") || !strings.Contains(tap, "ok 2") {
		t.Errorf("the script could not leave anything: %q", tap)
	}
	// leftBehind has looked for the mount and the cgroups.
}

func TestConfinementEndsFrozenProcesses(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/freezer"); err != nil {
		t.Skip("no v1 freezer here")
	}
	r, tap := confined(t, `
mkdir /sys/fs/cgroup/freezer/cold
sleep 986 </dev/null >/dev/null 2>&1 &
echo $! >/sys/fs/cgroup/freezer/cold/cgroup.procs
echo FROZEN >/sys/fs/cgroup/freezer/cold/freezer.state
cat /sys/fs/cgroup/freezer/cold/freezer.state
`, time.Minute)
	if !strings.Contains(tap, "FR") || len(r.Left) != 1 {
		t.Errorf("%+v, state %q", r, tap)
	}
}

func TestConfinementKeepsTheTimeLimit(t *testing.T) {
	start := time.Now()
	r, _ := confined(t, "sleep 985\n", 300*time.Millisecond)
	if !r.TimedOut || time.Since(start) > 10*time.Second {
		t.Errorf("%+v after %v", r, time.Since(start))
	}
}
