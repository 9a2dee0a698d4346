package hcsemu

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// siloDocument names a layer and a root that exist.
func siloDocument(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	return fmt.Sprintf(`{"Owner":"test","SchemaVersion":{"Major":2,"Minor":1},"Container":{"Storage":{
		"Layers":[{"Id":"11111111-2222-3333-4444-555555555555","Path":%s}],"Path":"\\\\?\\Volume{aaaaaaaa-2222-3333-4444-555555555555}\\"}}}`, quoted(dir))
}

func startSilo(t *testing.T, id string) *system {
	t.Helper()
	s := mustCreate(t, id, siloDocument(t))
	s.must("HcsStartComputeSystem", "")
	return s
}

func TestSiloLife(t *testing.T) {
	s := mustCreate(t, "life", siloDocument(t))
	if list := enumerate(t, `{"Ids":["life"]}`); len(list) != 1 || list[0]["State"] != "Created" || list[0]["Owner"] != "test" {
		t.Fatalf("after create: %v", list)
	}
	_, _, hr := create("life", siloDocument(t))
	expect(t, "second create", hr, 0x8037010F, "")
	s.close() // it lives on without a handle
	h, hr := openSystem("life")
	expect(t, "open", hr, 0, "")
	s.h = h
	e := listen(t, "HcsSetComputeSystemCallback", s.h)
	expect(t, "second callback", call("HcsSetComputeSystemCallback", s.h, 0, 0, 1), 0x80370119, "")
	s.must("HcsStartComputeSystem", "")
	_, hr = s.do("HcsStartComputeSystem", "")
	expect(t, "second start", hr, 0x80370105, "")
	_, hr = s.do("HcsPauseComputeSystem", "")
	expect(t, "pause", hr, 0x80070032, "")
	if list := enumerate(t, `{"Owners":["test"]}`); len(list) != 1 || list[0]["State"] != "Running" {
		t.Fatalf("after start: %v", list)
	}
	s.must("HcsShutDownComputeSystem", "")
	if got := e.next(t); got.kind != 1 || got.data != `{"Status":0,"ExitType":"GracefulExit"}` {
		t.Errorf("event %+v", got)
	}
	var doc *uint16
	hr = call("HcsWaitForComputeSystemExit", s.h, 1000, uintptr(unsafe.Pointer(&doc)))
	expect(t, "wait for exit", hr, 0, takeString(doc))
	if list := enumerate(t, `{"Ids":["life"]}`); len(list) != 1 || list[0]["State"] != "Stopped" || list[0]["ExitType"] != "GracefulExit" {
		t.Errorf("stopped and open: %v", list)
	}
	_, hr = s.do("HcsTerminateComputeSystem", "")
	expect(t, "terminate of a stopped system", hr, 0x80370110, "")
	s.close()
	if list := enumerate(t, `{"Ids":["life"]}`); len(list) != 0 {
		t.Errorf("after the last close: %v", list)
	}
	_, hr = openSystem("life")
	expect(t, "open of none", hr, 0x8037010E, "")
}

func TestProcess(t *testing.T) {
	s := startSilo(t, "process")
	p := s.run(`sh -c "read x; echo got $x $A; echo bad >&2; exit 300"`)
	if _, err := p.pipe[0].Write([]byte("it\n")); err != nil {
		t.Fatal(err)
	}
	if out := p.rest(1); out != "got it 1\n" {
		t.Errorf("stdout %q", out)
	}
	if out := p.rest(2); out != "bad\n" {
		t.Errorf("stderr %q", out)
	}
	if code := p.code(); code != 300 {
		t.Errorf("code %d", code)
	}
	_, hr := p.do("HcsSignalProcess", `{"Signal":"CtrlC"}`)
	expect(t, "signal after the end", hr, 0x8037011F, "")
	doc, hr := p.do("HcsGetProcessProperties", "")
	if want := fmt.Sprintf(`{"ProcessId":%d,"Exited":true,"ExitCode":300,"LastWaitResult":0}`, p.pid); hr != 0 || doc != want {
		t.Errorf("properties %#x %s, want %s", hr, doc, want)
	}
}

func TestStdinEnds(t *testing.T) {
	s := startSilo(t, "stdin")
	p := s.run("cat")
	text := strings.Repeat("0123456789", 300000)
	go func() {
		_, _ = p.pipe[0].Write([]byte(text))
		p.pipe[0].Close()
		_, _ = p.do("HcsModifyProcess", `{"Operation":"CloseHandle","CloseHandle":{"Handle":"StdIn"}}`)
	}()
	if out := p.rest(1); out != text {
		t.Errorf("%d bytes came back of %d", len(out), len(text))
	}
	if code := p.code(); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestSignals(t *testing.T) {
	s := startSilo(t, "signals")
	handled := s.run(`sh -c "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"`)
	if line := handled.line(); line != "ready\n" {
		t.Fatalf("line %q", line)
	}
	e := listen(t, "HcsSetProcessCallback", handled.h)
	_, hr := handled.do("HcsSignalProcess", `{"Signal":"CtrlShutdown"}`)
	expect(t, "signal", hr, 0, "")
	if code := handled.code(); code != 5 {
		t.Errorf("handled: code %d", code)
	}
	if got := e.next(t); got.kind != 0x10000 || !strings.Contains(got.data, `"ExitCode":5`) {
		t.Errorf("event %+v", got)
	}
	plain := s.run("sleep 1000")
	_, hr = plain.do("HcsSignalProcess", `{"Signal":"CtrlBreak"}`)
	expect(t, "signal", hr, 0, "")
	if code := plain.code(); code != 0xC000013A {
		t.Errorf("not handled: code %#x", code)
	}
	ended := s.run("sleep 1000")
	_, hr = ended.do("HcsTerminateProcess", "")
	expect(t, "terminate", hr, 0, "")
	if code := ended.code(); code != 1067 {
		t.Errorf("terminated: code %d", code)
	}
	doc, hr := ended.do("HcsSignalProcess", `{"Signal":"CTRLC"}`)
	expect(t, "signal after the end", hr, 0x8037011F, doc)
}

func TestProcessErrors(t *testing.T) {
	s := startSilo(t, "errors")
	for _, c := range []struct {
		parameters string
		want       uint32
		says       string
	}{
		{`{"CommandLine":"C:\\no\\such.exe"}`, 0x80070002, "such.exe"},
		{`{"CommandLine":"nosuch"}`, 0x80070002, "nosuch"},
		{`{"CommandLine":"/no/such/program"}`, 0x80070002, "program"},
		{`{"CommandLine":"true","WorkingDirectory":"C:\\nowhere"}`, 0x8007010B, "nowhere"},
		{`{"commandLine":"true"}`, 0x8037010D, "commandLine"},
		{`{"CommandLine":"true","ConsoleSize":[1,2,3]}`, 0x8037010D, "ConsoleSize"},
	} {
		_, doc, hr := s.tryRun(c.parameters)
		if hr != c.want || !strings.Contains(doc, c.says) {
			t.Errorf("%s: %#x %s; want %#x and %q", c.parameters, hr, doc, c.want, c.says)
		}
	}
	var h uintptr
	hr := call("HcsOpenProcess", s.h, 99999, 0, uintptr(unsafe.Pointer(&h)))
	expect(t, "open of no process", hr, 0x80070490, "")
}

func TestProcessList(t *testing.T) {
	s := startSilo(t, "list")
	first := s.run("sleep 1000")
	second := s.run("sleep 1000")
	var p struct {
		ProcessList []struct {
			ProcessID uint32 `json:"ProcessId"`
			ImageName string
		}
		Statistics struct {
			Memory struct{ MemoryUsageCommitBytes uint64 }
		}
	}
	doc := s.must("HcsGetComputeSystemProperties", `{"PropertyTypes":["ProcessList","Statistics"]}`)
	if err := json.Unmarshal([]byte(doc), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.ProcessList) != 2 || p.ProcessList[0].ProcessID != first.pid || p.ProcessList[1].ProcessID != second.pid || p.ProcessList[0].ImageName != "sleep.exe" {
		t.Errorf("%d and %d are in %s", first.pid, second.pid, doc)
	}
	if p.Statistics.Memory.MemoryUsageCommitBytes == 0 {
		t.Errorf("no memory in %s", doc)
	}
	e := listen(t, "HcsSetComputeSystemCallback", s.h)
	s.must("HcsTerminateComputeSystem", "")
	if got := e.next(t); got.data != `{"Status":0,"ExitType":"ForcedExit"}` {
		t.Errorf("event %+v", got)
	}
	if code := first.code(); code != 1067 {
		t.Errorf("code %d of a process that was ended with its system", code)
	}
}

func TestConsoleIsOneStream(t *testing.T) {
	s := startSilo(t, "console")
	p, doc, hr := s.tryRun(`{"CommandLine":"sh -c \"echo a; echo b >&2\"","EmulateConsole":true,"ConsoleSize":[24,80],"CreateStdOutPipe":true,"CreateStdErrPipe":true}`)
	expect(t, "run", hr, 0, doc)
	defer p.close()
	if out := p.rest(1); out != "a\nb\n" || p.pipe[2] != nil {
		t.Errorf("output %q, stderr %v", out, p.pipe[2])
	}
}

func TestStrictDocuments(t *testing.T) {
	good := siloDocument(t)
	for _, c := range []struct {
		old, new string
		want     uint32
		says     string
	}{
		{`"Owner"`, `"owner"`, 0x8037010D, "owner"},
		{`"Storage"`, `"Storge"`, 0x8037010D, "Container.Storge"},
		{`"Path":"\\`, `"Path":1,"X":"\\`, 0x8037010D, "Storage"},
		{`"Major":2`, `"Major":1`, 0x8037010D, "SchemaVersion"},
		{`"Container":{`, `"Container":{"Processor":{"Count":1,"Maximum":5},`, 0x80070057, "exclude"},
		{`"Container":{`, `"VirtualMachine":{},"Container":{`, 0x8037010D, "exactly one"},
		{`"Container":{`, `"Container":{"MappedDirectories":[{"HostPath":"C:\\nowhere","ContainerPath":"C:\\x"}],`, 0x80070003, "nowhere"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s is not in the document", c.old)
		}
		_, doc, hr := create("strict", strings.Replace(good, c.old, c.new, 1))
		if hr != c.want || !strings.Contains(doc, c.says) || !strings.Contains(doc, "ErrorEvents") {
			t.Errorf("%s: %#x %s; want %#x and %q", c.new, hr, doc, c.want, c.says)
		}
	}
}

func TestTerminateOnLastHandleClosed(t *testing.T) {
	doc := strings.Replace(siloDocument(t), `"Owner"`, `"ShouldTerminateOnLastHandleClosed":true,"Owner"`, 1)
	s := mustCreate(t, "last", doc)
	s.must("HcsStartComputeSystem", "")
	p := s.run("sleep 1000")
	s.close()
	if code := p.code(); code != 1067 {
		t.Errorf("code %d", code)
	}
	if list := enumerate(t, `{"Ids":["last"]}`); len(list) != 0 {
		t.Errorf("after the last close: %v", list)
	}
}

func TestOperations(t *testing.T) {
	op, _, _ := computecore.NewProc("HcsCreateOperation").Call(0, 0)
	defer call("HcsCloseOperation", op)
	var doc *uint16
	expect(t, "not started", call("HcsWaitForOperationResult", op, 0, uintptr(unsafe.Pointer(&doc))), 0x80370115, "")
	ctl(t, "fault", "op=HcsEnumerateComputeSystems", "nth=1", "delay=1s")
	defer ctl(t, "faults-clear")
	expect(t, "start", call("HcsEnumerateComputeSystems", 0, op), 0, "")
	expect(t, "again", call("HcsEnumerateComputeSystems", 0, op), 0x80370116, "")
	expect(t, "pending", call("HcsGetOperationResult", op, uintptr(unsafe.Pointer(&doc))), 0x80370117, "")
	expect(t, "late", call("HcsWaitForOperationResult", op, 50, uintptr(unsafe.Pointer(&doc))), 0x80370118, "")
	expect(t, "done", call("HcsWaitForOperationResult", op, 5000, uintptr(unsafe.Pointer(&doc))), 0, takeString(doc))
	ctl(t, "fault", "op=HcsEnumerateComputeSystems", "delay=30s")
	expect(t, "start", call("HcsEnumerateComputeSystems", 0, op), 0, "")
	expect(t, "cancel, as documented", call("HcsCancelOperation", op), 0x80004001, "")
	expect(t, "not cancelled", call("HcsWaitForOperationResult", op, 50, uintptr(unsafe.Pointer(&doc))), 0x80370118, "")
	ctl(t, "fault", "op=HcsCancelOperation", "hr=0")
	start := time.Now()
	expect(t, "cancel", call("HcsCancelOperation", op), 0, "")
	expect(t, "cancelled", call("HcsWaitForOperationResult", op, 5000, uintptr(unsafe.Pointer(&doc))), 0x80004004, "")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the cancel took %v", took)
	}
}

func TestFaults(t *testing.T) {
	s := mustCreate(t, "faulty", siloDocument(t))
	e := listen(t, "HcsSetComputeSystemCallback", s.h)
	defer ctl(t, "faults-clear")
	ctl(t, "fault", "op=HcsStartComputeSystem", "nth=1", "hr=0x80370109", "system=faulty")
	doc, hr := s.do("HcsStartComputeSystem", "")
	expect(t, "failing start", hr, 0x80370109, doc)
	ctl(t, "fault", "op=HcsStartComputeSystem", "nth=1", "drop")
	_, hr = s.do("HcsStartComputeSystem", "")
	expect(t, "dropped start", hr, 0x8037011E, "")
	s.must("HcsStartComputeSystem", "")
	ctl(t, "fault", "op=HcsCreateProcess", "nth=1", "hr=0x80370118", "after")
	op, _, _ := computecore.NewProc("HcsCreateOperation").Call(0, 0)
	defer call("HcsCloseOperation", op)
	p := &process{t: t}
	expect(t, "create process", call("HcsCreateProcess", s.h, wide(`{"CommandLine":"sleep 1000","CreateStdOutPipe":true}`), op, 0, uintptr(unsafe.Pointer(&p.h))), 0, "")
	defer p.close()
	var info struct {
		PID, Reserved uint32
		Std           [3]windows.Handle
	}
	const waitInfo = "HcsWaitForOperationResultAndProcessInfo"
	expect(t, "its result", call(waitInfo, op, 30000, uintptr(unsafe.Pointer(&info)), 0), 0x80370118, "")
	expect(t, "asking for it", call("HcsGetProcessInfo", p.h, op), 0, "")
	expect(t, "the process that is there all the same", call(waitInfo, op, 30000, uintptr(unsafe.Pointer(&info)), 0), 0, "")
	if info.PID == 0 || info.Std[1] == 0 {
		t.Errorf("process info %+v", info)
	}
	windows.CloseHandle(info.Std[1])
	ctl(t, "fault", "op=HcsGetComputeSystemProperties", "vanish")
	_, hr = s.do("HcsGetComputeSystemProperties", "")
	expect(t, "the service goes", hr, 0x80370114, "")
	if got := e.next(t); got.kind != 0x02000000 {
		t.Errorf("event %+v, want ServiceDisconnect", got)
	}
	_, hr = openSystem("faulty")
	expect(t, "the service is gone", hr, 0x80370114, "")
	ctl(t, "faults-clear")
	if list := enumerate(t, `{"Ids":["faulty"]}`); len(list) != 1 || list[0]["State"] != "Running" {
		t.Errorf("after the service came back: %v", list)
	}
}
