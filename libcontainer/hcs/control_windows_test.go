package hcs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	winio "github.com/Microsoft/go-winio"

	"wrun/libcontainer"
	"wrun/libcontainer/hcs/computecore"
)

// TestAsk: what a monitor answers arrives as what commands decide by.
func TestAsk(t *testing.T) {
	taken := &computecore.Error{Op: "create compute system", Object: "c1", HRESULT: 0xC037010F}
	long := errors.New(strings.Repeat("<", 1<<20)) // six bytes each in JSON
	pipe := listener(t, new(sync.Mutex), func(_ context.Context, r request) error {
		switch r.Op {
		case "taken":
			return fmt.Errorf("making it: %w", taken)
		case "long":
			return long
		case "ended":
			return libcontainer.ErrNotRunning
		}
		return nil
	})
	ctx := context.Background()
	if err := ask(ctx, pipe, request{Op: "fine"}); err != nil {
		t.Error(err)
	}
	err := ask(ctx, pipe, request{Op: "taken"})
	if !errors.Is(err, computecore.ErrSystemAlreadyExists) || libcontainer.Hint(err) == "" || !strings.Contains(err.Error(), "making it") {
		t.Errorf("taken: %v (hint %q)", err, libcontainer.Hint(err))
	}
	if err := ask(ctx, pipe, request{Op: "long"}); err == nil || errors.Is(err, errNoMonitor) || !strings.HasPrefix(err.Error(), "<<<") {
		t.Errorf("long: %.100v", err)
	}
	if err := ask(ctx, pipe, request{Op: "ended"}); !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Errorf("ended: %v", err)
	}
	if err := ask(ctx, pipe+"-nobody", request{Op: "fine"}); !errors.Is(err, errNoMonitor) {
		t.Errorf("nobody: %v", err)
	}
}

// TestAnswersAreAwaited: a monitor that ends gives the answers first that it owes.
func TestAnswersAreAwaited(t *testing.T) {
	var answers sync.RWMutex
	asked, proceed := make(chan bool), make(chan bool)
	pipe := listener(t, answers.RLocker(), func(context.Context, request) error {
		asked <- true
		<-proceed
		return errors.New("late")
	})
	answered := make(chan error, 1)
	go func() { answered <- ask(context.Background(), pipe, request{Op: "x"}) }()
	<-asked
	if lockWithin(&answers, 50*time.Millisecond) {
		t.Fatal("nothing was waited for")
	}
	close(proceed)
	if err := <-answered; err == nil || err.Error() != "late" {
		t.Errorf("answer: %v", err)
	}
}

func listener(t *testing.T, held sync.Locker, handle func(context.Context, request) error) string {
	t.Helper()
	name, err := unique()
	if err != nil {
		t.Fatal(err)
	}
	l, err := winio.ListenPipe(pipeName(name), &winio.PipeConfig{SecurityDescriptor: pipeSecurity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l, held, handle)
	return pipeName(name)
}
