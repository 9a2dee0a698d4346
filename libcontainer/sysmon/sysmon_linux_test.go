package sysmon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlacken: one thread gets the slack, and none that goroutines run on and
// that a program could be started from, which would inherit it.
func TestSlacken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the kernel asks for CAP_SYS_NICE")
	}
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	Slacken()
	if got := slackened(t); len(got) != 0 {
		t.Fatalf("with one processor, the threads %v got the slack", got)
	}
	runtime.GOMAXPROCS(2)
	Slacken()
	got := slackened(t)
	if len(got) == 0 && wrapped(t) {
		t.Skip("the kernel's numbers have begun anew between this process and its threads")
	}
	if len(got) != 1 {
		t.Fatalf("the threads %v got the slack, want one", got)
	}
	defer func() {
		if err := os.WriteFile("/proc/"+strconv.Itoa(got[0])+"/timerslack_ns", []byte("0"), 0); err != nil { // the default
			t.Error(err)
		}
	}()
	// Every thread that goroutines run on, as far as they can be made to.
	const many = 20
	on := make(chan int)
	done := make(chan struct{})
	defer close(done)
	for range many {
		go func() {
			runtime.LockOSThread()
			on <- unix.Gettid()
			<-done
		}()
	}
	for range many {
		if tid := <-on; tid == got[0] {
			t.Errorf("a goroutine runs on the thread with the slack, %d", tid)
		}
	}
}

// wrapped tells whether a thread has a smaller number than its process.
func wrapped(t *testing.T) bool {
	t.Helper()
	for _, tid := range threads(t) {
		if tid < os.Getpid() {
			return true
		}
	}
	return false
}

func threads(t *testing.T) (all []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%v, %v", tasks, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tid)
	}
	return all
}

func slackened(t *testing.T) (those []int) {
	t.Helper()
	for _, tid := range threads(t) {
		value, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/timerslack_ns")
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it has ended meanwhile
			continue
		case err != nil:
			t.Fatal(err)
		}
		if strings.TrimSpace(string(value)) == slack {
			those = append(those, tid)
		}
	}
	return those
}
