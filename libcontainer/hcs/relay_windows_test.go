package hcs

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"
)

// said is a process that has printed its output and ended; its stream stays
// open as long as its child lives.
type said struct {
	process
	out io.ReadCloser
}

func (p said) stdio() (io.WriteCloser, io.ReadCloser, io.ReadCloser) { return nil, p.out, nil }
func (p said) closeStdin(context.Context) error                      { return nil }

// TestSlowReader: who reads the last of the output late gets all of it.
func TestSlowReader(t *testing.T) {
	in, out := pipes(t)
	text := bytes.Repeat([]byte("output "), 200_000)
	r := startRelay(said{out: io.NopCloser(bytes.NewReader(text))}, nil, out, nil)
	got := make(chan []byte, 1)
	go func() {
		time.Sleep(500 * time.Millisecond)
		data, _ := io.ReadAll(in)
		got <- data
	}()
	r.wait(50*time.Millisecond, time.Minute, nil)
	out.Close()
	if data := <-got; !bytes.Equal(data, text) {
		t.Errorf("%d of %d bytes were relayed", len(data), len(text))
	}
}

// TestNoReader: a reader that reads nothing is not waited for for ever, and a
// child that keeps the stream open and prints nothing is not either.
func TestNoReader(t *testing.T) {
	_, out := pipes(t)
	child, hold := io.Pipe()
	defer hold.Close()
	for name, from := range map[string]io.Reader{"reader": bytes.NewReader(make([]byte, 1<<20)), "child": child} {
		begin := time.Now()
		startRelay(said{out: io.NopCloser(from)}, nil, out, nil).wait(20*time.Millisecond, 100*time.Millisecond, nil)
		if took := time.Since(begin); took < 20*time.Millisecond || took > 5*time.Second {
			t.Errorf("%s: waited for %v", name, took)
		}
	}
}

// TestChatter: what is still on its way when the process has ended is waited
// for, and a child that never stops is not.
func TestChatter(t *testing.T) {
	in, out := pipes(t)
	child, chatter := io.Pipe()
	defer chatter.Close()
	go func() {
		for {
			if _, err := chatter.Write([]byte("still here\n")); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	go io.Copy(io.Discard, in)
	begin := time.Now()
	startRelay(said{out: io.NopCloser(child)}, nil, out, nil).wait(50*time.Millisecond, time.Minute, nil)
	if took := time.Since(begin); took < 500*time.Millisecond || took > 10*time.Second {
		t.Errorf("waited for %v", took)
	}
}

// TestHurry: who wants the container gone waits for no reader.
func TestHurry(t *testing.T) {
	_, out := pipes(t)
	r := startRelay(said{out: io.NopCloser(bytes.NewReader(make([]byte, 1<<20)))}, nil, out, nil)
	hurry := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(hurry) })
	begin := time.Now()
	r.wait(20*time.Millisecond, time.Minute, hurry)
	if took := time.Since(begin); took < 100*time.Millisecond || took > 10*time.Second {
		t.Errorf("waited for %v", took)
	}
}

func pipes(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
