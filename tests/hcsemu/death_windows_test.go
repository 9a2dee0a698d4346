package hcsemu

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHolder is not a test: it is the client of TestClientDies, which makes a
// system that ends with its last handle, and dies.
func TestHolder(t *testing.T) {
	if os.Getenv("HCSEMU_HOLDER") == "" {
		t.Skip("only for TestClientDies")
	}
	doc := strings.Replace(siloDocument(t), `"Owner"`, `"ShouldTerminateOnLastHandleClosed":true,"Owner"`, 1)
	h, text, hr := create("orphan", doc)
	expect(t, "create", hr, 0, text)
	s := &system{t, h}
	s.must("HcsStartComputeSystem", "")
	s.run("sleep 1000")
	os.Exit(7)
}

func TestClientDies(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(os.Getenv("HCSEMU_JOURNAL"))
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^TestHolder$")
	child.Env = append(os.Environ(), "HCSEMU_HOLDER=1")
	if err := child.Run(); child.ProcessState == nil || child.ProcessState.ExitCode() != 7 {
		t.Fatalf("the holder: %v", err)
	}
	// The service sees the end of the connections, some time after.
	for deadline := time.Now().Add(10 * time.Second); len(enumerate(t, `{"Ids":["orphan"]}`)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the system outlives its client")
		}
	}
	if pids := hostProcesses(t, "sleep.exe"); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	data, err := os.ReadFile(os.Getenv("HCSEMU_JOURNAL"))
	if err != nil {
		t.Fatal(err)
	}
	dropped := 0
	for _, line := range strings.Split(strings.TrimSpace(string(data[len(before):])), "\n") {
		var e struct{ Op, System string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("the journal has %q: %v", line, err)
		}
		if e.Op == "dropped" && e.System == "orphan" {
			dropped++
		}
	}
	if dropped != 2 {
		t.Errorf("%d dropped handles in the journal, want the system's and the process's", dropped)
	}
}

// TestTerminateDuringStart: a boot that is terminated ends, and leaves no machine.
func TestTerminateDuringStart(t *testing.T) {
	vm := mustCreate(t, "hasty@vm", vmDocument(t))
	e := listen(t, "HcsSetComputeSystemCallback", vm.h)
	started := make(chan uint32, 1)
	go func() {
		_, hr := vm.do("HcsStartComputeSystem", "")
		started <- hr
	}()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(ctl(t, "leftovers"), "/vm-"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the start does not begin")
		}
	}
	vm.must("HcsTerminateComputeSystem", "")
	if hr := <-started; hr != 0x80370100 && hr != 0 {
		t.Errorf("the start said %#x", hr)
	}
	if got := e.next(t); !strings.Contains(got.data, "ForcedExit") {
		t.Errorf("event %+v", got)
	}
	if left := ctl(t, "leftovers"); strings.Contains(left, "/vm-") {
		t.Errorf("left: %s", left)
	}
}

// TestLeaveRunning is not a test: it leaves what ctl stop has to end.
func TestLeaveRunning(t *testing.T) {
	if os.Getenv("HCSEMU_LEAVE") == "" {
		t.Skip("only for TestUnderWine")
	}
	for id, document := range map[string]string{"left": siloDocument(t), "left@vm": vmDocument(t)} {
		h, text, hr := create(id, document)
		expect(t, "create", hr, 0, text)
		s := &system{t, h}
		s.must("HcsStartComputeSystem", "")
		s.run("sleep 1000")
	}
	os.Exit(7)
}

// TestCloseDrains: who closes a handle finds no callback running afterwards.
func TestCloseDrains(t *testing.T) {
	s := startSilo(t, "drains")
	begun, ended := make(chan bool, 1), false
	cb := syscall.NewCallback(func(uintptr, uintptr) uintptr {
		begun <- true
		time.Sleep(300 * time.Millisecond)
		ended = true
		return 0
	})
	expect(t, "callback", call("HcsSetComputeSystemCallback", s.h, 0, 0, cb), 0, "")
	s.must("HcsTerminateComputeSystem", "")
	<-begun
	s.close()
	if !ended {
		t.Error("the handle was closed while its callback ran")
	}
}
