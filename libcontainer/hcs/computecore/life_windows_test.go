package computecore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestLayouts(t *testing.T) {
	var info processInformation
	var event hcsEvent
	if unsafe.Sizeof(info) != 32 || unsafe.Offsetof(info.stdInput) != 8 || unsafe.Offsetof(info.stdError) != 24 {
		t.Errorf("HCS_PROCESS_INFORMATION has %d bytes", unsafe.Sizeof(info))
	}
	if unsafe.Sizeof(event) != 24 || unsafe.Offsetof(event.data) != 8 || unsafe.Offsetof(event.operation) != 16 {
		t.Errorf("HCS_EVENT has %d bytes", unsafe.Sizeof(event))
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]uint32{-1: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 1 << 62: 0xFFFFFFFE} {
		if got := milliseconds(d); got != want {
			t.Errorf("%v is %d ms, want %d", d, got, want)
		}
	}
}

// Without the DLL, and without a function in it, the error says what is missing.
func TestMissing(t *testing.T) {
	p := proc{name: "HcsNoSuchFunction", since: since2022}
	err := need("do", "c1", &p)
	if module.Load() != nil {
		if !errors.Is(err, ErrServiceNotAvailable) || !strings.Contains(err.Error(), "computecore.dll cannot be loaded: the Windows feature Containers is not enabled") {
			t.Error(err)
		}
		if _, err := Enumerate(within(t), nil); !errors.Is(err, ErrServiceNotAvailable) {
			t.Error(err)
		}
		if _, err := Open(within(t), "c1"); !errors.Is(err, ErrServiceNotAvailable) {
			t.Error(err)
		}
		if err := GrantVMAccess("vm", `C:\x`); !errors.Is(err, ErrServiceNotAvailable) {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, ErrNotSupported) || err.Error() != "do c1: ERROR_PROC_NOT_FOUND (0x8007007F): computecore.dll has no HcsNoSuchFunction: it needs Windows Server 2022" {
		t.Error(err)
	}
	if hr := uint32(p.call()); hr != 0x8007007F {
		t.Errorf("calling it: 0x%08X", hr)
	}
}

func TestNUL(t *testing.T) {
	if _, err := Open(within(t), "a\x00b"); !errors.Is(err, ErrInvalidParameter) {
		t.Error(err)
	}
}

func TestLifeCycle(t *testing.T) {
	emulator(t)
	ctx := within(t)
	if list, err := Enumerate(ctx, []byte(`{"Ids":["TestLifeCycle"]}`)); err != nil || string(list) != "[]" {
		t.Errorf("before: %s, %v", list, err)
	}
	if _, err := Open(ctx, "TestLifeCycle"); !errors.Is(err, ErrSystemNotFound) {
		t.Errorf("opening what is not there: %v", err)
	}
	s, id := create(t)
	if _, err := Create(ctx, id, siloDocument(t)); !errors.Is(err, ErrSystemAlreadyExists) {
		t.Errorf("creating it twice: %v", err)
	}
	if list, err := Enumerate(ctx, nil); err != nil || !strings.Contains(string(list), id) {
		t.Errorf("created: %s, %v", list, err)
	}
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Watch(ctx); err != nil {
		t.Errorf("watching twice: %v", err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); !errors.Is(err, ErrInvalidState) {
		t.Errorf("starting twice: %v", err)
	}
	if properties, err := s.Properties(ctx, nil); err != nil || !strings.Contains(string(properties), `"Running"`) {
		t.Errorf("properties %s, %v", properties, err)
	}
	if err := s.Modify(ctx, []byte(`{"NoSuchField":1}`)); err == nil {
		t.Error("a document that is none was taken")
	}
	if err := s.Pause(ctx); !errors.Is(err, ErrNotSupported) {
		t.Errorf("pausing a silo: %v", err)
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	exit, err := s.WaitExit(ctx)
	if err != nil || exit.Type != "GracefulExit" {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if err := s.Start(ctx); err == nil {
		t.Error("a stopped system was started")
	}
	if _, err := s.WaitExit(ctx); err != nil {
		t.Errorf("waiting again: %v", err)
	}
}

func TestProcess(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, id := started(t)
	p, info, err := s.CreateProcess(ctx, command(`sh -c "echo hello; exit 37"`))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if info.PID == 0 || info.PID != p.PID() || info.Stdout == 0 || info.Stdin != 0 || info.Stderr != 0 {
		t.Errorf("process info %+v", info)
	}
	if err := p.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(info.Stdout), "stdout")
	defer out.Close()
	if b, err := io.ReadAll(out); strings.TrimSpace(string(b)) != "hello" {
		t.Errorf("stdout %q, %v", b, err)
	}
	if code, err := p.WaitExit(ctx); code != 37 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if _, _, err := s.CreateProcess(ctx, command(`no-such-program.exe`)); !errors.Is(err, ErrFileNotFound) {
		t.Errorf("a program that is not there: %v", err)
	} else if !strings.HasPrefix(err.Error(), "create process in compute system "+id+": ERROR_FILE_NOT_FOUND (0x80070002)") {
		t.Error(err)
	}
	if _, err := s.OpenProcess(ctx, 999999); !errors.Is(err, ErrNotFound) {
		t.Errorf("a process that is not there: %v", err)
	}
}

// All 32 bits arrive, those of Terminate, too.
func TestExitCodes(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	for _, want := range []uint32{0, 1, 255, 1000, 0xC000013A} {
		p, info, err := s.CreateProcess(ctx, command(fmt.Sprintf(`sh -c "exit %d"`, want)))
		if err != nil {
			t.Fatal(err)
		}
		info.close()
		if err := p.Watch(ctx); err != nil {
			t.Error(err)
		}
		if code, err := p.WaitExit(ctx); code != want || err != nil {
			t.Errorf("exit code %d, want %d, %v", code, want, err)
		}
		p.Close()
	}
}

// An exit from before the callback was set is found, on this handle and on
// another one.
func TestExitBeforeWatch(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	p, info, err := s.CreateProcess(ctx, command(`sh -c "exit 9"`))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out := os.NewFile(uintptr(info.Stdout), "stdout")
	_, _ = io.ReadAll(out) // to its end, that of the process
	out.Close()
	for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		b, err := p.Properties(ctx)
		if exit, ok := parseProcessExit(b); err == nil && ok && exit.exited {
			break
		}
	}
	if err := p.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if code, err := p.WaitExit(ctx); code != 9 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	// The emulator does tell a late callback; an HCS that does not is one whose
	// event never comes.
	q, err := s.OpenProcess(ctx, info.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	q.watched.watch = newWatch()
	if code, err := q.WaitExit(ctx); code != 9 || err != nil {
		t.Errorf("without an event: exit code %d, %v", code, err)
	}
}

// The same for a system, which may have left HCS altogether.
func TestSystemExitBeforeWatch(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, id := started(t)
	other, err := Open(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	if exit, err := s.WaitExit(ctx); err != nil || exit.Type != "ForcedExit" {
		t.Errorf("exit %+v, %v", exit, err)
	}
	other.watched.watch = newWatch()
	if _, err := other.WaitExit(ctx); err != nil {
		t.Errorf("without an event: %v", err)
	}
}

func TestSignalAndTerminate(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	p, info, err := s.CreateProcess(ctx, command(`sleep 60`))
	if err != nil {
		t.Fatal(err)
	}
	info.close()
	defer p.Close()
	other, err := s.OpenProcess(ctx, info.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(ctx, []byte(`{"Signal":"NoSuchSignal"}`)); err == nil {
		t.Error("a signal that is none was taken")
	}
	if err := p.Terminate(ctx); err != nil {
		t.Error(err)
	}
	if _, err := other.WaitExit(ctx); err != nil {
		t.Error(err)
	}
	if err := p.Terminate(ctx); err == nil {
		t.Error("a process that has ended was terminated")
	} else if !errors.Is(err, ErrProcessAlreadyStopped) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAccessDenied) {
		t.Errorf("terminating what has ended: %v", err)
	}
}

// 200 short processes, 8 at a time, each closed the moment its exit is known:
// callbacks are drained, and none is delivered to another's watch.
func TestManyProcesses(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	begin := time.Now()
	work := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range work {
				p, info, err := s.CreateProcess(ctx, command(fmt.Sprintf(`sh -c "exit %d"`, i)))
				if err != nil {
					t.Errorf("%d: %v", i, err)
					continue
				}
				info.close()
				if err := p.Watch(ctx); err != nil {
					t.Errorf("%d: %v", i, err)
				}
				if i%10 == 0 { // closed while it runs, in the middle of its exit
					p.Close()
					if _, err := p.WaitExit(ctx); err != nil && !errors.Is(err, ErrInvalidHandle) {
						t.Errorf("%d: waiting after Close: %v", i, err)
					}
					continue
				}
				if code, err := p.WaitExit(ctx); code != uint32(i) || err != nil {
					t.Errorf("%d: exit code %d, %v", i, code, err)
				}
				p.Close()
			}
		}()
	}
	for i := range 200 {
		work <- i
	}
	close(work)
	workers.Wait()
	watches.mu.Lock()
	left := len(watches.all)
	watches.mu.Unlock()
	if left != 0 {
		t.Errorf("%d watches are left", left)
	}
	t.Logf("200 processes in %v", time.Since(begin).Round(time.Millisecond))
}

func TestService(t *testing.T) {
	emulator(t)
	ctx := within(t)
	if b, err := ServiceProperties(ctx, []byte(`{"PropertyTypes":["Basic"]}`)); err != nil || len(b) == 0 {
		t.Errorf("%s, %v", b, err)
	}
	if err := ModifyService(ctx, []byte(`{"NoSuchField":1}`)); err == nil {
		t.Error("a document that is none was taken")
	}
	file := t.TempDir() + `\disk.vhdx`
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := GrantVMAccess("vm1", file); err != nil {
		t.Error(err)
	}
	if left, err := control("leftovers"); err != nil || !strings.Contains(left, "disk.vhdx") {
		t.Errorf("granted: %s, %v", left, err)
	}
	if err := RevokeVMAccess("vm1", file); err != nil {
		t.Error(err)
	}
	if left, err := control("leftovers"); err != nil || strings.Contains(left, "disk.vhdx") {
		t.Errorf("revoked: %s, %v", left, err)
	}
}
