package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestRealSilo lives a container's life through this machine's own Host Compute
// Service, with WRUN_TEST_REAL_HCS=1 and the layer folders of an image, topmost
// first and a scratch last, in WRUN_TEST_LAYERS with ";" between them
// (.github/workflows/windows.yml has docker lend its own). It has never run:
// the tests under Wine have an emulated service and live in tests/wine.
func TestRealSilo(t *testing.T) {
	if os.Getenv("WRUN_TEST_REAL_HCS") != "1" {
		t.Skip("WRUN_TEST_REAL_HCS is not 1: this needs Windows itself")
	}
	layers := os.Getenv("WRUN_TEST_LAYERS")
	if layers == "" {
		t.Fatal("WRUN_TEST_LAYERS names no image")
	}
	root := filepath.Join(t.TempDir(), "state")
	bundle := func(args ...string) string {
		t.Helper()
		dir := t.TempDir()
		data, err := json.Marshal(&specs.Spec{
			Version: specs.Version,
			Process: &specs.Process{Args: args, Cwd: `C:\`, Env: []string{"A=1"}},
			Windows: &specs.Windows{LayerFolders: strings.Split(layers, ";")},
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// A file instead of a pipe: the monitor keeps its streams open.
	wrun := func(want int, args ...string) string {
		t.Helper()
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := exec.Command("wrun", append([]string{"--root", root}, args...)...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		cmd.Wait()
		text, _ := os.ReadFile(out.Name())
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("wrun %s: exit code %d, want %d: %s", strings.Join(args, " "), got, want, text)
		}
		return string(text)
	}
	const id = "wrun-test-real"
	t.Cleanup(func() { wrun(0, "delete", "--force", id) })

	if out := wrun(7, "run", "--bundle", bundle("cmd", "/c", "echo hello %A%& exit 7"), id); strings.TrimSpace(out) != "hello 1" {
		t.Errorf("run printed %q", out)
	}
	wrun(0, "create", "--bundle", bundle("ping", "-t", "127.0.0.1"), id)
	wrun(1, "create", "--bundle", bundle("cmd"), id)
	if out := wrun(0, "state", id); !strings.Contains(out, `"status": "created"`) {
		t.Errorf("after create: %s", out)
	}
	wrun(0, "start", id)
	if out := wrun(0, "state", id); !strings.Contains(out, `"status": "running"`) {
		t.Errorf("after start: %s", out)
	}
	if out := wrun(0, "ps", id); !strings.Contains(strings.ToLower(out), "ping.exe") {
		t.Errorf("ps: %s", out)
	}
	if out := wrun(42, "exec", id, "cmd", "/c", "echo inside& exit 42"); strings.TrimSpace(out) != "inside" {
		t.Errorf("exec printed %q", out)
	}
	wrun(0, "update", "--cpu-maximum", "5000", id)
	wrun(0, "kill", id, "KILL")
	for end := time.Now().Add(time.Minute); !strings.Contains(wrun(0, "state", id), `"status": "stopped"`); {
		if time.Now().After(end) {
			t.Fatal("killed, and not stopped after a minute")
		}
		time.Sleep(100 * time.Millisecond)
	}
	wrun(0, "delete", id)
	if out := wrun(0, "list", "-q"); out != "" {
		t.Errorf("left: %s", out)
	}
}
