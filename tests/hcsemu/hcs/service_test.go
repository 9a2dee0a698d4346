package hcs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	l := newLab(t)
	h, conn, a := l.make("HcsCreateComputeSystem", 0, "c1", siloText)
	l.want(a, ok)
	_, _, a = l.make("HcsCreateComputeSystem", 0, "C1", siloText)
	l.want(a, systemExists)
	if l.m.rooms["c1"] != 1 {
		t.Error("a created silo has no job")
	}
	l.want(l.do("HcsPauseComputeSystem", h), notSupported)
	l.want(l.do("HcsShutDownComputeSystem", h), invalidState)
	_, _, a = l.make("HcsCreateProcess", h, `{"CommandLine":"x"}`)
	l.want(a, invalidState)
	l.want(l.do("HcsStartComputeSystem", h), ok)
	l.want(l.do("HcsStartComputeSystem", h), invalidState)
	e := l.events("computecore", "HcsSetComputeSystemCallback", h)
	l.want(l.do("HcsTerminateComputeSystem", h), ok)
	if got := l.next(e); got.Type != 1 || *got.Data != `{"Status":0,"ExitType":"ForcedExit"}` {
		t.Errorf("event %+v %s", got, *got.Data)
	}
	l.want(l.do("HcsTerminateComputeSystem", h), systemStopped)
	l.want(l.do("HcsWaitForComputeSystemExit", h), ok, "ForcedExit")
	if got := l.states("")["c1"]; got != "Stopped" {
		t.Errorf("state %q", got)
	}
	if n := l.m.rooms["c1"]; n != 0 {
		t.Errorf("a stopped silo has %d jobs", n)
	}
	l.want(l.on(conn, "computecore", "HcsCloseComputeSystem", h, 0, 0), ok)
	if got := l.states(""); len(got) != 0 {
		t.Errorf("after the last close: %v", got)
	}
	_, _, a = l.make("HcsOpenComputeSystem", 0, "c1")
	l.want(a, systemNotFound)
	l.want(l.do("HcsStartComputeSystem", h), invalidHandle)
}

func TestFilters(t *testing.T) {
	l := newLab(t)
	l.create("a", siloText)
	l.create("b", strings.Replace(siloText, `"Owner":"o"`, `"Owner":"p"`, 1))
	l.create("v", vmText)
	for query, want := range map[string]string{
		``: "a b v", `{"Ids":["B","none"]}`: "b", `{"Owners":["o"]}`: "a", `{"Types":["VirtualMachine"]}`: "v", `{"Names":["x"]}`: "",
	} {
		var got []string
		states := l.states(query)
		for _, id := range []string{"a", "b", "v"} {
			if states[id] != "" {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	l.want(l.do("HcsEnumerateComputeSystems", 0, `{"Id":["x"]}`), invalidJSON, "Id")
}

func TestProcesses(t *testing.T) {
	l := newLab(t)
	h := l.create("c", siloText)
	l.want(l.do("HcsStartComputeSystem", h), ok)
	p, _, a := l.make("HcsCreateProcess", h, `{"CommandLine":"exit 7"}`)
	l.want(a, ok)
	if a.Numbers[1] != 100 || a.Numbers[3] != 11 {
		t.Errorf("info %v", a.Numbers)
	}
	l.want(l.do("HcsWaitForProcessExit", p), ok, `{"ProcessId":100,"Exited":true,"ExitCode":7,"LastWaitResult":0}`)
	e := l.events("computecore", "HcsSetProcessCallback", p) // late, and told at once
	if got := l.next(e); got.Type != 0x10000 || !strings.Contains(*got.Data, `"ExitCode":7`) {
		t.Errorf("event %+v", got)
	}
	l.want(l.do("HcsTerminateProcess", p), ProcessStopped)

	q, _, a := l.make("HcsCreateProcess", h, `{"CommandLine":"sleep"}`)
	l.want(a, ok)
	c := l.dial()
	l.want(l.on(c, "computecore", "HcsWaitForProcessExit", q, 0, 10), operationTimeout)
	l.want(l.do("HcsSignalProcess", q, `{"Signal":"CtrlShutdown"}`), ok)
	l.want(l.do("HcsWaitForProcessExit", q), ok, fmt.Sprintf(`"ExitCode":%d`, uint32(controlCode)))

	q, _, a = l.make("HcsCreateProcess", h, `{"CommandLine":"handler"}`)
	l.want(a, ok)
	l.want(l.do("HcsSignalProcess", q, `{"Signal":"TERM"}`), invalidJSON, "Signal")
	l.want(l.do("HcsSignalProcess", q, `{"Signal":"CtrlC"}`), ok)
	l.want(l.do("HcsWaitForProcessExit", q), ok, `"ExitCode":5`)
	q, _, a = l.make("HcsCreateProcess", h, `{"CommandLine":"handler"}`)
	l.want(a, ok)
	l.want(l.do("HcsSignalProcess", q, "null"), ok) // as runhcs kills
	l.want(l.do("HcsWaitForProcessExit", q), ok, `"ExitCode":1067`)
	_, _, a = l.make("HcsCreateProcess", h, `{"CommandLine":"nosuch"}`)
	l.want(a, fileNotFound)
	_, _, a = l.make("HcsCreateProcess", h, `{"CommandLine":"x","CommandArgs":["y"]}`)
	l.want(a, notSupported)
	l.want(l.do("HcsGetComputeSystemProperties", h, `{"PropertyTypes":["Statistics"]}`), ok, `"TotalRuntime100ns":7`)
}

func TestHandles(t *testing.T) {
	l := newLab(t)
	text := strings.Replace(siloText, `"Owner"`, `"ShouldTerminateOnLastHandleClosed":true,"Owner"`, 1)
	h, first, a := l.make("HcsCreateComputeSystem", 0, "c", text)
	l.want(a, ok)
	l.want(l.do("HcsStartComputeSystem", h), ok)
	_, second, a := l.make("HcsOpenComputeSystem", 0, "c")
	l.want(a, ok)
	first.Close()
	time.Sleep(20 * time.Millisecond) // what must not happen has no event
	if got := l.states(""); got["c"] != "Running" {
		t.Fatalf("with a handle left: %v", got)
	}
	second.Close()
	for deadline := time.Now().Add(5 * time.Second); len(l.states("")) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the system outlives its handles")
		}
	}
	dropped := 0
	for _, e := range l.journal.entries(t) {
		if e.Op == "dropped" && e.System == "c" {
			dropped++
		}
	}
	if dropped != 2 {
		t.Errorf("%d dropped handles in the journal", dropped)
	}
}

func TestFirstSchema(t *testing.T) {
	l := newLab(t)
	text := `{"SystemType":"Container","Name":"n","Owner":"o","LayerFolderPath":"C:\\scratch","Layers":[{"ID":"11111111-2222-3333-4444-555555555555","Path":"C:\\base"}],"HvPartition":true,"HvRuntime":{"ImagePath":"C:\\base\\UtilityVM"}}`
	c := l.dial()
	create := func(text string) Result {
		l.last++
		return Result(l.on(c, "vmcompute", "HcsCreateComputeSystem", 0, l.last, 0, "v1", text).HR)
	}
	if hr := create(text); hr != fileNotFound {
		t.Errorf("without a scratch disk: %v", hr)
	}
	if err := l.m.WriteFile(`C:\scratch\sandbox.vhdx`, nil); err != nil {
		t.Fatal(err)
	}
	if hr := create(strings.Replace(text, "ImagePath", "imagePath", 1)); hr != 0xC037010D {
		t.Errorf("another field: %v", hr)
	}
	if hr := create(strings.Replace(text, `,"HvRuntime":{"ImagePath":"C:\\base\\UtilityVM"}`, "", 1)); hr != 0xC037010D {
		t.Errorf("without an image: %v", hr)
	}
	if hr := create(text); hr != pending {
		t.Fatalf("create: %v", hr)
	}
	h := l.last
	if hr := create(text); hr != 0xC037010F {
		t.Errorf("create again: %v", hr)
	}
	e := l.events("vmcompute", "HcsRegisterComputeSystemCallback", h)
	if got := l.next(e); got.Type != noteCreated || got.Status != 0 {
		t.Errorf("note %+v, want the creation's, which waited", got)
	}
	for _, step := range []struct {
		function string
		note     uint32
	}{{"HcsStartComputeSystem", noteStarted}, {"HcsPauseComputeSystem", notePaused}, {"HcsResumeComputeSystem", noteResumed}} {
		if a := l.on(c, "vmcompute", step.function, h, 0, 0); Result(a.HR) != pending {
			t.Fatalf("%s: %#x", step.function, a.HR)
		}
		if got := l.next(e); got.Type != step.note || got.Status != 0 {
			t.Errorf("note %+v after %s", got, step.function)
		}
	}
	if a := l.on(c, "vmcompute", "HcsStartComputeSystem", h, 0, 0); a.HR != 0xC0370105 {
		t.Errorf("second start: %#x", a.HR)
	}
	if a := l.on(c, "vmcompute", "HcsTerminateComputeSystem", h, 0, 0); Result(a.HR) != pending {
		t.Errorf("terminate: %#x", a.HR)
	}
	if got := l.next(e); got.Type != eventSystemExited {
		t.Errorf("note %+v", got)
	}
	if l.m.booted != 0 {
		t.Errorf("%d machines are left", l.m.booted)
	}
}

func TestJournal(t *testing.T) {
	l := newLab(t)
	h := l.create("c", siloText)
	l.want(l.do("HcsGetComputeSystemProperties", h, `{"PropertyTypes":["Nonsense"]}`), invalidJSON, "PropertyTypes[0]", "ErrorEvents")
	all := l.journal.entries(t)
	if len(all) != 2 {
		t.Fatalf("%d entries", len(all))
	}
	e := all[0]
	if e.DLL != "computecore" || e.Op != "HcsCreateComputeSystem" || e.System != "c" || e.Document != siloText || e.HResult != "0x00000000" || e.PID != 1 || e.Time == "" {
		t.Errorf("create: %+v", e)
	}
	if e = all[1]; e.System != "c" || e.HResult != "0x8037010d" || !strings.Contains(e.Result, "Nonsense") || e.Document == "" {
		t.Errorf("properties: %+v", e)
	}
}

func TestFaults(t *testing.T) {
	l := newLab(t)
	control := func(words ...string) {
		t.Helper()
		l.want(l.on(l.dial(), controlDLL, words[0], 0, 0, 0, words[1:]...), ok)
	}
	h := l.create("c", siloText)
	e := l.events("computecore", "HcsSetComputeSystemCallback", h)
	control("fault", "op=HcsStartComputeSystem", "nth=2", "hr=0x80370109", "after")
	control("fault", "op=HcsStartComputeSystem", "nth=1", "hr=0x80370108")
	l.want(l.do("HcsStartComputeSystem", h), connectFailed)
	if got := l.states("")["c"]; got != "Created" {
		t.Errorf("after a refused start: %s", got)
	}
	l.want(l.do("HcsStartComputeSystem", h), 0x80370109)
	if got := l.states("")["c"]; got != "Running" {
		t.Errorf("after a start whose answer was an error: %s", got)
	}
	control("fault", "system=c", "delay=50ms")
	start := time.Now()
	l.want(l.do("HcsGetComputeSystemProperties", h), ok)
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("the delay took %v", took)
	}
	control("faults-clear")
	control("fault", "vanish")
	l.want(l.do("HcsGetComputeSystemProperties", h), serviceNotAvailable)
	if got := l.next(e); got.Type != eventServiceDisconnect {
		t.Errorf("event %+v", got)
	}
	_, _, a := l.make("HcsOpenComputeSystem", 0, "c")
	l.want(a, serviceNotAvailable)
	control("faults-clear")
	l.want(l.do("HcsGetComputeSystemProperties", h), ok)
	l.want(l.do("HcsCancelOperation", h), notImpl)
	control("fault", "op=HcsCancelOperation", "hr=0")
	l.want(l.do("HcsCancelOperation", h), ok)
	control("fault", "op=HcsCreateProcess", "nth=1", "hr=0x80370109", "after")
	p, c, a := l.make("HcsCreateProcess", h, `{"CommandLine":"sleep"}`)
	l.want(a, 0x80370109)
	if a.Numbers != [5]uint64{1, 0, 0, 11, 0} {
		t.Errorf("numbers %v", a.Numbers)
	}
	if a := l.do("HcsGetProcessInfo", p); a.HR != 0 || a.Numbers[1] != 100 {
		t.Errorf("the process whose creation failed: %#x %v", a.HR, a.Numbers)
	}
	l.want(l.on(c, "computecore", "HcsCloseProcess", p, 0, 0), ok)
	for _, bad := range [][]string{{"op=x"}, {"after", "hr=0"}, {"nth=one", "drop"}, {"what=1"}, {"after", "delay=1s"}} {
		l.want(l.on(l.dial(), controlDLL, "fault", 0, 0, 0, bad...), invalidParam)
	}
}
