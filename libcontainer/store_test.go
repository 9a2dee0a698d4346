package libcontainer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "c1", "A_b+c-d.e", "...", ".a", strings.Repeat("x", 1024)} {
		if err := validID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "../x", "a b", "a\x00", "ä", "a:b", "a\\b", strings.Repeat("x", 1025)} {
		if err := validID(id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestReserveRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root", "c1")
	for range 50 {
		const racers = 8
		var wg sync.WaitGroup
		start := make(chan struct{})
		var mu sync.Mutex
		var won []*lock
		for range racers {
			wg.Go(func() {
				<-start
				l, err := reserve(t.Context(), dir)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, l)
				} else if !errors.Is(err, ErrExist) {
					t.Errorf("loser: %v", err)
				}
			})
		}
		close(start)
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of %d reserved one id", len(won), racers)
		}
		if err := remove(dir, won[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Fatal("the directory is still there")
		}
	}
}

// As above, with winners that are done at once: who looked before and locks
// after must not take the finished container for nothing.
func TestReserveFinishedRace(t *testing.T) {
	for range 200 {
		dir := filepath.Join(t.TempDir(), "c1")
		var wg sync.WaitGroup
		var won atomic.Int32
		for range 8 {
			wg.Go(func() {
				l, err := reserve(t.Context(), dir)
				if err != nil {
					return
				}
				won.Add(1)
				f := facts{Version: factsVersion, ID: "c1", Handle: Handle("{}")}
				if err := save(dir, &f); err != nil {
					t.Errorf("save: %v", err)
				}
				l.release()
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d created one container", n)
		}
	}
}

// Reserving and removing at once: a reservation is never of a directory that
// somebody else then removes.
func TestReserveAgainstRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c1")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				l, err := reserve(t.Context(), dir)
				if errors.Is(err, ErrExist) {
					continue
				}
				if err != nil {
					t.Errorf("reserve: %v", err)
					return
				}
				f := facts{Version: factsVersion, ID: "c1", Handle: Handle("{}")}
				if err := save(dir, &f); err != nil {
					t.Errorf("save into the reserved directory: %v", err)
				}
				if _, err := load(dir, "c1"); err != nil {
					t.Errorf("load from the reserved directory: %v", err)
				}
				if err := remove(dir, l); err != nil {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReserveTakesOverNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c1")
	if err := os.MkdirAll(filepath.Join(dir, "sub", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := reserve(t.Context(), dir)
	if err != nil {
		t.Fatalf("what a dead creator left of nothing: %v", err)
	}
	defer l.release()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 1 {
		t.Errorf("taken over with %v", left)
	}
	if _, err := reserve(t.Context(), dir); !errors.Is(err, ErrExist) {
		t.Errorf("reserving what another one is creating: %v", err)
	}
}

// holdersKnown: Linux has /proc/locks.
const holdersKnown = runtime.GOOS == "linux"

func TestLock(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	x, err := acquire(ctx, dir, exclusive, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(ctx, dir, shared, 0); !errors.Is(err, errHeld) {
		t.Errorf("shared beside exclusive: %v", err)
	}
	_, err = acquire(ctx, dir, exclusive, 30*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "busy") || !strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("deadline: %v", err)
	}
	// Where the kernel tells who it is, the message does.
	if holder := "process " + strconv.Itoa(os.Getpid()) + " ("; holdersKnown && !strings.Contains(err.Error(), holder) {
		t.Errorf("deadline: %v does not name %s", err, holder)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := acquire(canceled, dir, exclusive, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}

	got := make(chan error)
	go func() {
		l, err := acquire(ctx, dir, exclusive, 10*time.Second)
		if err == nil {
			l.release()
		}
		got <- err
	}()
	time.Sleep(10 * time.Millisecond)
	x.release()
	x.release() // twice is once
	if err := <-got; err != nil {
		t.Errorf("waiting for a lock that is given up: %v", err)
	}

	// A wait that was given up must not keep the lock when it gets it at last.
	a, err := acquire(ctx, dir, shared, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b, err := acquire(ctx, dir, shared, time.Second)
	if err != nil {
		t.Fatalf("shared beside shared: %v", err)
	}
	a.release()
	b.release()
	if l, err := acquire(ctx, dir, exclusive, 5*time.Second); err != nil {
		t.Errorf("after all: %v", err)
	} else {
		l.release()
	}
	if _, err := acquire(ctx, filepath.Join(dir, "none"), exclusive, 0); !errors.Is(err, ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// Who waited for a container that is removed meanwhile must not get the lock
// on a new one of the same name, nor on nothing.
func TestLockOfRemoved(t *testing.T) {
	for _, again := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "c1")
		x, err := reserve(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			l, err := acquire(t.Context(), dir, exclusive, 10*time.Second)
			if err == nil {
				l.release()
			}
			got <- err
		}()
		time.Sleep(20 * time.Millisecond)
		if again { // by hand: remove would let the waiter in before the new one is there
			if err := os.RemoveAll(dir); err != nil {
				x.release()
				<-got
				t.Skipf("an open file keeps its directory here: %v", err)
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			x.release()
		} else if err := remove(dir, x); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, ErrNotExist) {
			t.Errorf("made again %v: the waiter got %v", again, err)
		}
	}
}

func TestSaveIsAtomic(t *testing.T) {
	dir := t.TempDir()
	f := fullFacts()
	if err := save(dir, f); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := load(dir, "c1"); err != nil {
					t.Errorf("a reader saw %v", err)
					return
				}
			}
		})
	}
	for i := range 500 {
		f.Handle = Handle(`"` + strings.Repeat("x", i*10) + `"`)
		if err := save(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info, err)
	}
}

// A wrun that was killed while saving left its temporary file, longer than the
// next one.
func TestSaveOverHalfSaved(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, stateFile)
	if err := os.WriteFile(name+".new", make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := save(dir, fullFacts()); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir, "c1"); err != nil {
		t.Error(err)
	}
}

func TestPidFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pid")
	if err := writePidFile(name, 4711); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "4711" {
		t.Errorf("%q, %v; go-runc wants the number alone", data, err)
	}
	if err := writePidFile(filepath.Join(name, "x"), 1); err == nil {
		t.Error("a pid file below a file was written")
	}
}

func BenchmarkSave(b *testing.B) {
	dir := b.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if d, err := os.MkdirTemp("/dev/shm", "wrun-bench"); err == nil {
			b.Cleanup(func() { os.RemoveAll(d) })
			dir = d
		}
	}
	f := fullFacts()
	for b.Loop() {
		if err := save(dir, f); err != nil {
			b.Fatal(err)
		}
	}
}
