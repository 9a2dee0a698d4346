package computecore

// The tests in files ending _windows_test.go run under Wine against
// tests/hcsemu, which has to listen; without it they are skipped:
//
//	GOOS=windows go test -exec wine ./libcontainer/hcs/computecore/
//
// They show that this package and the emulator agree on what HCS's
// documentation says, not how Windows behaves.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"wrun/tests/hcsemu/wire"
)

// control sends one request of the emulator's ctl and answers its value.
func control(words ...string) (string, error) {
	pipe, err := os.OpenFile(wire.PipeName, os.O_RDWR, 0)
	for begin := time.Now(); errors.Is(err, windows.ERROR_PIPE_BUSY) && time.Since(begin) < 5*time.Second; {
		time.Sleep(10 * time.Millisecond)
		pipe, err = os.OpenFile(wire.PipeName, os.O_RDWR, 0)
	}
	if err != nil {
		return "", fmt.Errorf("connecting to the emulator: %w", err)
	}
	defer pipe.Close()
	q := &wire.Request{PID: uint32(os.Getpid()), DLL: "control", Function: words[0]}
	for i := range words[1:] {
		q.Args = append(q.Args, &words[1+i])
	}
	if err := wire.WriteRequest(pipe, q); err != nil {
		return "", err
	}
	a, err := wire.ReadAnswer(pipe)
	switch {
	case err != nil:
		return "", err
	case a.HR != 0:
		return "", fmt.Errorf("%v: 0x%08X", words, a.HR)
	case a.Value != nil:
		return *a.Value, nil
	}
	return "", nil
}

// emulator skips the test when none answers, and at its end clears faults and
// checks that the test has left no handle and no system.
func emulator(t *testing.T) {
	t.Helper()
	if _, err := control("faults-clear"); err != nil {
		t.Skipf("no emulated HCS (tests/hcsemu) answers at %s: %v", wire.PipeName, err)
	}
	t.Cleanup(func() {
		if _, err := control("faults-clear"); err != nil {
			t.Error(err)
			return
		}
		var left struct {
			Systems []struct{ ID string }
			Handles []string
		}
		for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			value, err := control("leftovers")
			if err != nil {
				t.Error(err)
				return
			}
			if err := json.Unmarshal([]byte(value), &left); err != nil {
				t.Error(err)
				return
			}
			if len(left.Systems)+len(left.Handles) == 0 {
				return
			}
			if time.Since(begin) > 5*time.Second {
				t.Errorf("left behind: %s", value)
				for _, s := range left.Systems {
					end(t, s.ID)
				}
				return
			}
		}
	})
}

func fault(t *testing.T, words ...string) {
	t.Helper()
	if _, err := control(append([]string{"fault"}, words...)...); err != nil {
		t.Fatal(err)
	}
}

func clearFaults(t *testing.T) {
	t.Helper()
	if _, err := control("faults-clear"); err != nil {
		t.Fatal(err)
	}
}

// within is a context that ends with the test or after a minute.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// siloDocument is the least that the emulator takes for a silo.
func siloDocument(t *testing.T) []byte {
	root := t.TempDir()
	d := map[string]any{
		"Owner":         "wrun",
		"SchemaVersion": map[string]int{"Major": 2, "Minor": 1},
		"Container": map[string]any{"Storage": map[string]any{
			"Path":   `\\?\Volume{0f2e2f4e-0000-0000-0000-000000000001}\`,
			"Layers": []map[string]string{{"Id": "0f2e2f4e-0000-0000-0000-000000000002", "Path": root}},
		}},
		"ShouldTerminateOnLastHandleClosed": false,
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// create makes a system of the test's own name, and terminates it at its end.
func create(t *testing.T) (*System, string) {
	t.Helper()
	id := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, t.Name())
	s, err := Create(within(t), id, siloDocument(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		end(t, id)
	})
	return s, id
}

// started is create, with the system running.
func started(t *testing.T) (*System, string) {
	t.Helper()
	s, id := create(t)
	if err := s.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	return s, id
}

// end terminates what may be left of a system and waits for its exit.
func end(t *testing.T, id string) {
	t.Helper()
	clearFaults(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Open(ctx, id)
	if err != nil {
		return // it has gone
	}
	defer s.Close()
	if err := s.Watch(ctx); err != nil {
		t.Errorf("watching %s: %v", id, err)
	}
	if err := s.Terminate(ctx); err != nil {
		t.Logf("terminating %s: %v", id, err)
	}
	if _, err := s.WaitExit(ctx); err != nil {
		t.Errorf("waiting for %s: %v", id, err)
	}
}

// command is a ProcessParameters document.
func command(line string) []byte {
	b, _ := json.Marshal(map[string]any{"CommandLine": line, "CreateStdOutPipe": true})
	return b
}
