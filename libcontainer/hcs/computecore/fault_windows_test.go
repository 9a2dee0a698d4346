package computecore

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Each call that hangs ends by its deadline and the grace, since
// HcsCancelOperation does nothing; what HCS still has is left open, and
// everything works again afterwards.
func TestHangs(t *testing.T) {
	for _, test := range []struct {
		function string
		keeps    bool // the system's handle stays open for good
		do       func(ctx context.Context, s *System) error
	}{
		{"HcsEnumerateComputeSystems", false, func(ctx context.Context, _ *System) error { _, err := Enumerate(ctx, nil); return err }},
		{"HcsOpenComputeSystem", false, func(ctx context.Context, s *System) error { _, err := Open(ctx, s.ID()); return err }},
		{"HcsStartComputeSystem", true, func(ctx context.Context, s *System) error { return s.Start(ctx) }},
		{"HcsGetComputeSystemProperties", true, func(ctx context.Context, s *System) error { _, err := s.Properties(ctx, nil); return err }},
		{"HcsSetComputeSystemCallback", false, func(ctx context.Context, s *System) error { return s.Watch(ctx) }},
		{"HcsGetServiceProperties", false, func(ctx context.Context, _ *System) error { _, err := ServiceProperties(ctx, nil); return err }},
	} {
		t.Run(test.function, func(t *testing.T) {
			emulator(t)
			s, _ := create(t)
			fault(t, "op="+test.function, "nth=1", "delay=3s")
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err := test.do(ctx, s)
			took := time.Since(begin)
			if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !inFlight(err) {
				t.Errorf("error %v", err)
			}
			if test.keeps && inFlight(err) {
				s.hold.leave() // as in TestCancelIsNotImplemented
			}
			if took > 300*time.Millisecond+2*limits.grace {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v after %v", err, took.Round(time.Millisecond))
			clearFaults(t)
			if _, err := Enumerate(within(t), nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A call that is cancelled in the middle ends at once where the cancelling
// works, as it may in a later Windows.
func TestCancel(t *testing.T) {
	emulator(t)
	s, _ := create(t)
	fault(t, "op=HcsCancelOperation", "hr=0")
	fault(t, "op=HcsStartComputeSystem", "nth=1", "delay=5s")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	begin := time.Now()
	err := s.Start(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Log(err)
}

// HcsCancelOperation is documented to do nothing but return E_NOTIMPL: the call
// ends after the grace, and Close does not close under what HCS still has.
func TestCancelIsNotImplemented(t *testing.T) {
	emulator(t)
	s, _ := create(t)
	fault(t, "op=HcsStartComputeSystem", "nth=1", "delay=6s")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := s.Start(ctx)
	took := time.Since(begin)
	if !errors.Is(err, ErrTimeout) || !inFlight(err) {
		t.Errorf("error %v", err)
	}
	if took < limits.grace || took > 2*limits.grace {
		t.Errorf("it took %v", took)
	}
	t.Logf("%v after %v", err, took.Round(time.Millisecond))
	if s.hold.close(100 * time.Millisecond) {
		t.Error("the handle was closed under the call")
	}
	s.hold.leave() // what the product never does, so that this process is clean for the next test
}

// A process whose wait fails although its handle lives is recovered by
// HcsGetProcessInfo.
func TestCreateProcessRecovers(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	fault(t, "op=HcsCreateProcess", "nth=1", "hr=0x80070057", "after")
	p, info, err := s.CreateProcess(ctx, command(`sh -c "exit 4"`))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer info.close()
	if info.PID == 0 || p.PID() != info.PID || info.Stdout == 0 {
		t.Errorf("process info %+v", info)
	}
	if err := p.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	if code, err := p.WaitExit(ctx); code != 4 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// Each failure arrives with its HCS name, from submissions, too.
func TestFailures(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	for _, test := range []struct {
		function, hr string
		is           Code
		do           func() error
	}{
		{"HcsEnumerateComputeSystems", "0x8037011B", ErrAccessDenied, func() error { _, err := Enumerate(ctx, nil); return err }},
		{"HcsGetComputeSystemProperties", "0xC0370109", ErrTimeout, func() error { _, err := s.Properties(ctx, nil); return err }},
		{"HcsGetComputeSystemProperties", "0x80370118", ErrTimeout, func() error { _, err := s.Properties(ctx, nil); return err }},
		{"HcsTerminateComputeSystem", "0xC0370110", ErrAlreadyStopped, func() error { return s.Terminate(ctx) }},
		{"HcsShutDownComputeSystem", "0xC0370103", ErrPending, func() error { return s.Shutdown(ctx) }},
		{"HcsCreateProcess", "0x8007010B", 0x0007_010B, func() error { _, _, err := s.CreateProcess(ctx, command("true")); return err }},
		{"HcsSetComputeSystemCallback", "0x80370119", ErrCallbackAlreadySet, func() error { return s.Watch(ctx) }},
	} {
		clearFaults(t)
		fault(t, "op="+test.function, "hr="+test.hr)
		begin := time.Now()
		err := test.do()
		if !errors.Is(err, test.is) || inFlight(err) {
			t.Errorf("%s %s: %v", test.function, test.hr, err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s %s took %v", test.function, test.hr, took)
		}
		t.Log(err)
	}
}

// The service goes away under a wait: it ends, and says why.
func TestServiceVanishes(t *testing.T) {
	emulator(t)
	ctx := within(t)
	s, _ := started(t)
	if err := s.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	p, info, err := s.CreateProcess(ctx, command("sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	info.close()
	defer p.Close()
	if err := p.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	fault(t, "op=HcsEnumerateComputeSystems", "vanish")
	ended := make(chan error, 2)
	go func() { _, err := p.WaitExit(ctx); ended <- err }()
	go func() { _, err := s.WaitExit(ctx); ended <- err }()
	time.Sleep(100 * time.Millisecond)
	if _, err := Enumerate(ctx, nil); !errors.Is(err, ErrServiceNotAvailable) && !errors.Is(err, ErrServiceDisconnect) {
		t.Errorf("listing: %v", err)
	}
	for range 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, ErrServiceDisconnect) {
				t.Errorf("waiting: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the wait goes on without a service")
		}
	}
}

// WaitExit ends with its context and with Close, and after a Close every call
// says so.
func TestWaitEnds(t *testing.T) {
	emulator(t)
	s, _ := started(t)
	if _, err := s.WaitExit(within(t)); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("without a watch: %v", err)
	}
	if err := s.Watch(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.WaitExit(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrTimeout) {
		t.Errorf("after the deadline: %v", err)
	}
	closed := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() {
		s.Close()
		close(closed)
	})
	if _, err := s.WaitExit(within(t)); !errors.Is(err, ErrInvalidHandle) {
		t.Errorf("after Close: %v", err)
	}
	<-closed
	if err := s.Start(within(t)); !errors.Is(err, ErrInvalidHandle) {
		t.Errorf("starting after Close: %v", err)
	}
	s.Close()
}

// BenchmarkEnumerate is a whole call, to the emulator and back.
func BenchmarkEnumerate(b *testing.B) {
	if _, err := control("faults-clear"); err != nil {
		b.Skip("no emulated HCS")
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for b.Loop() {
		if _, err := Enumerate(ctx, []byte(`{"Ids":["x"]}`)); err != nil {
			b.Fatal(err)
		}
	}
}
