package hcs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs"
	"wrun/libcontainer/hosttest"
)

// TestMain also is the monitor: the host starts the program that it is part of.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == hcs.MonitorCommand {
		ready, _ := strconv.ParseUint(os.Args[3], 10, 64)
		creator, _ := strconv.ParseUint(os.Args[4], 10, 64)
		os.Exit(hcs.Monitor(os.Args[2], uintptr(ready), uintptr(creator)))
	}
	os.Exit(m.Run())
}

// The emulator's: what real Windows makes of HcsTerminateProcess was never seen
// here.
var ends = hosttest.Windows{Killed: 1067, Terminated: 0xC000013A}

// TestHost holds the host against the contract on the emulated service, in each
// way to make a container.
func TestHost(t *testing.T) {
	ctl := emulator(t)
	parked := "the service pauses what runs, and no container that waits for its start"
	for _, kind := range []struct {
		name  string
		edit  func(*specs.Spec)
		lacks map[string]string
	}{
		{"silo", func(*specs.Spec) {}, map[string]string{
			"Pause": "the service pauses utility VMs, not silos", "PauseParked": parked,
		}},
		{"single", hyperv, map[string]string{
			"PauseParked":   parked,
			"Update":        "a container of schema v1 keeps its limits for its life",
			"ExecSignal":    "hcsshim's public package has no signals; a further process is ended",
			"SignalHandled": "hcsshim's public package has no signals; the container is shut down",
		}},
		{"hosted", func(s *specs.Spec) {
			hyperv(s)
			s.Annotations = map[string]string{"org.wrun.hyperv.schema": "v2"}
		}, map[string]string{"PauseParked": parked}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // each boot is a wait
			hosttest.Run(t, hosttest.Setup{
				Host:      hcs.New(),
				Windows:   &ends,
				Monitored: true,
				Lacks:     kind.lacks,
				Left:      func() []string { return leftovers(ctl, kind.name) },
				Config: func(t *testing.T, args ...string) *libcontainer.Config {
					spec := bundle(t, args)
					kind.edit(spec)
					return &libcontainer.Config{
						ID: fmt.Sprintf("host-%s-%d", kind.name, last.Add(1)), Owner: "wrun", Dir: t.TempDir(), Spec: spec,
						Isolation: libcontainer.Decide(spec),
					}
				},
			})
		})
	}
}

// TestSingleExecSignal: hcsshim has no signals for a container of schema v1, and
// what is sent to a further process must not reach the container in their place.
func TestSingleExecSignal(t *testing.T) {
	emulator(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	spec := bundle(t, []string{"sleep", "1000"})
	hyperv(spec)
	s, err := hcs.New().Create(ctx, &libcontainer.Config{
		ID: fmt.Sprintf("host-signal-%d", last.Add(1)), Owner: "wrun", Dir: t.TempDir(), Spec: spec, Isolation: libcontainer.Decide(spec),
		Record: func(libcontainer.Handle) error { return nil }, Warn: t.Logf,
	}, libcontainer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	p, err := s.Exec(ctx, &libcontainer.Exec{Spec: &specs.Process{Args: []string{"sleep", "1000"}, Cwd: `C:\`}, Container: spec, Warn: t.Logf}, libcontainer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(libcontainer.CtrlC); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
	if live, err := s.Live(ctx); err != nil || !live.Exists || !live.Started {
		t.Errorf("the container after Ctrl-C for another process: %+v, %v", live, err)
	}
}

var last atomic.Int32

func hyperv(s *specs.Spec) { s.Windows.HyperV = &specs.WindowsHyperV{} }

// bundle is a container of a base layer with a utility VM's image, and a scratch.
func bundle(t *testing.T, args []string) *specs.Spec {
	t.Helper()
	dir := t.TempDir()
	base, scratch := filepath.Join(dir, "base"), filepath.Join(dir, "scratch")
	for _, d := range []string{filepath.Join(base, "Files"), filepath.Join(base, "UtilityVM", "Files"), scratch} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "UtilityVM", "SystemTemplate.vhdx"), []byte("vhdx"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{Args: args, Cwd: `C:\`},
		Windows: &specs.Windows{LayerFolders: []string{base, scratch}},
	}
}

// emulator is the path of the emulated service's program, through which its
// state can be asked for. Without one there is nothing to test against.
func emulator(t *testing.T) string {
	t.Helper()
	ctl := os.Getenv("HCSEMU_EXE")
	if ctl == "" {
		t.Skip("no emulated host compute service: HCSEMU_EXE is not set (tests/wine sets it)")
	}
	return ctl
}

// leftovers are what the service holds for the containers of one kind, by
// their ids or their folders.
func leftovers(ctl, kind string) []string {
	out, err := exec.Command(ctl, "ctl", "leftovers").Output()
	var all map[string][]json.RawMessage
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) < 5 {
		return []string{fmt.Sprintf("nobody knows what: the emulator said %q, %v", out, err)}
	}
	var list []string
	for name, things := range all {
		for _, thing := range things {
			if s := string(thing); strings.Contains(s, "host-"+kind) || strings.Contains(s, "TestHost"+kind) {
				list = append(list, name+" "+s)
			}
		}
	}
	return list
}
