package hcsemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// A client of computecore.dll, as bare as can be: what is tested is the DLL.

var (
	computecore = windows.NewLazySystemDLL("computecore.dll")
	ole32       = windows.NewLazySystemDLL("ole32.dll")
	freeString  = ole32.NewProc("CoTaskMemFree")
)

func TestMain(m *testing.M) {
	if os.Getenv("HCSEMU_EXE") == "" {
		fmt.Println("skipped: HCSEMU_EXE is not set; emulator_test.go runs these tests under Wine")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func wide(s string) uintptr {
	if s == "" {
		return 0
	}
	p, err := windows.UTF16PtrFromString(s)
	if err != nil {
		panic(err)
	}
	keep.Store(p, true) // for as long as the test runs
	return uintptr(unsafe.Pointer(p))
}

var keep sync.Map

func call(name string, args ...uintptr) uint32 {
	hr, _, _ := computecore.NewProc(name).Call(args...)
	return uint32(hr)
}

func takeString(p *uint16) string {
	if p == nil {
		return ""
	}
	s := windows.UTF16PtrToString(p)
	_, _, _ = freeString.Call(uintptr(unsafe.Pointer(p)))
	return s
}

// operation starts a call with an operation, and waits.
func operation(start func(op uintptr) uint32) (string, uint32) {
	op, _, _ := computecore.NewProc("HcsCreateOperation").Call(0, 0)
	defer call("HcsCloseOperation", op)
	if hr := start(op); hr != 0 {
		return "", hr
	}
	var doc *uint16
	hr := call("HcsWaitForOperationResult", op, 30000, uintptr(unsafe.Pointer(&doc)))
	return takeString(doc), hr
}

type system struct {
	t *testing.T
	h uintptr
}

func expect(t *testing.T, what string, hr, want uint32, doc string) {
	t.Helper()
	if hr != want {
		t.Fatalf("%s: %#08x %s; want %#08x", what, hr, doc, want)
	}
}

func create(id, document string) (uintptr, string, uint32) {
	var h uintptr
	doc, hr := operation(func(op uintptr) uint32 {
		return call("HcsCreateComputeSystem", wide(id), wide(document), op, 0, uintptr(unsafe.Pointer(&h)))
	})
	return h, doc, hr
}

func mustCreate(t *testing.T, id, document string) *system {
	t.Helper()
	h, doc, hr := create(id, document)
	expect(t, "create "+id, hr, 0, doc)
	s := &system{t, h}
	t.Cleanup(func() {
		if s.h == 0 {
			return
		}
		_, _ = s.do("HcsTerminateComputeSystem", "")
		s.close()
	})
	return s
}

func openSystem(id string) (uintptr, uint32) {
	var h uintptr
	hr := call("HcsOpenComputeSystem", wide(id), windows.GENERIC_ALL, uintptr(unsafe.Pointer(&h)))
	return h, hr
}

func (s *system) do(name, document string) (string, uint32) {
	return operation(func(op uintptr) uint32 { return call(name, s.h, op, wide(document), 0) })
}

func (s *system) must(name, document string) string {
	s.t.Helper()
	doc, hr := s.do(name, document)
	expect(s.t, name, hr, 0, doc)
	return doc
}

func (s *system) close() {
	call("HcsCloseComputeSystem", s.h)
	s.h = 0
}

func enumerate(t *testing.T, query string) []map[string]any {
	t.Helper()
	doc, hr := operation(func(op uintptr) uint32 { return call("HcsEnumerateComputeSystems", wide(query), op) })
	expect(t, "enumerate", hr, 0, doc)
	var list []map[string]any
	if err := json.Unmarshal([]byte(doc), &list); err != nil {
		t.Fatalf("enumerate: %v: %s", err, doc)
	}
	return list
}

type process struct {
	t    *testing.T
	h    uintptr
	pid  uint32
	pipe [3]io.ReadWriteCloser
}

func (s *system) tryRun(parameters string) (*process, string, uint32) {
	p := &process{t: s.t}
	op, _, _ := computecore.NewProc("HcsCreateOperation").Call(0, 0)
	defer call("HcsCloseOperation", op)
	if hr := call("HcsCreateProcess", s.h, wide(parameters), op, 0, uintptr(unsafe.Pointer(&p.h))); hr != 0 {
		return nil, "", hr
	}
	var info struct {
		PID, Reserved uint32
		Std           [3]windows.Handle
	}
	var doc *uint16
	hr := call("HcsWaitForOperationResultAndProcessInfo", op, 30000, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&doc)))
	if hr != 0 {
		call("HcsCloseProcess", p.h)
		return nil, takeString(doc), hr
	}
	p.pid = info.PID
	for i, h := range info.Std {
		if h != 0 {
			f, err := winio.NewOpenFile(h)
			if err != nil {
				s.t.Fatal(err)
			}
			p.pipe[i] = f
		}
	}
	return p, "", 0
}

func (s *system) run(line string) *process {
	s.t.Helper()
	parameters, err := json.Marshal(map[string]any{
		"CommandLine": line, "WorkingDirectory": `C:\`, "Environment": map[string]string{"A": "1"},
		"CreateStdInPipe": true, "CreateStdOutPipe": true, "CreateStdErrPipe": true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	p, doc, hr := s.tryRun(string(parameters))
	expect(s.t, line, hr, 0, doc)
	s.t.Cleanup(p.close)
	return p
}

func (p *process) close() {
	if p.h == 0 {
		return
	}
	for _, f := range p.pipe {
		if f != nil {
			f.Close()
		}
	}
	call("HcsCloseProcess", p.h)
	p.h = 0
}

func (p *process) do(name, document string) (string, uint32) {
	return operation(func(op uintptr) uint32 { return call(name, p.h, op, wide(document)) })
}

func (p *process) line() string {
	p.t.Helper()
	s, err := bufio.NewReader(p.pipe[1]).ReadString('\n')
	if err != nil {
		p.t.Fatalf("reading a line: %q, %v", s, err)
	}
	return s
}

func (p *process) rest(i int) string {
	p.t.Helper()
	b, err := io.ReadAll(p.pipe[i])
	if err != nil {
		p.t.Errorf("reading: %v", err)
	}
	return string(b)
}

// code waits for the exit code.
func (p *process) code() uint32 {
	p.t.Helper()
	var doc *uint16
	hr := call("HcsWaitForProcessExit", p.h, 30000, uintptr(unsafe.Pointer(&doc)))
	text := takeString(doc)
	expect(p.t, "wait for exit", hr, 0, text)
	var status struct {
		ProcessID uint32 `json:"ProcessId"`
		Exited    bool
		ExitCode  uint32
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || !status.Exited || status.ProcessID != p.pid {
		p.t.Fatalf("exit document %s, %v", text, err)
	}
	return status.ExitCode
}

// events collects what a callback is told.
type events struct {
	all chan event
}

type event struct {
	kind uint32
	data string
}

func listen(t *testing.T, set string, h uintptr) *events {
	t.Helper()
	e := &events{make(chan event, 100)}
	cb := syscall.NewCallback(func(ev *struct {
		Type uint32
		Data *uint16
		Op   uintptr
	}, _ uintptr) uintptr {
		text := ""
		if ev.Data != nil {
			text = windows.UTF16PtrToString(ev.Data)
		}
		e.all <- event{ev.Type, text}
		return 0
	})
	expect(t, set, call(set, h, 0, 0, cb), 0, "")
	return e
}

func (e *events) next(t *testing.T) event {
	t.Helper()
	select {
	case got := <-e.all:
		return got
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
		return event{}
	}
}

// ctl runs the service's command line.
func ctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(os.Getenv("HCSEMU_EXE"), append([]string{"ctl"}, args...)...).Output()
	if err != nil {
		t.Fatalf("ctl %v: %v", args, err)
	}
	return string(out)
}
