package sysmon

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlacken: the thread that is found is late then, and is none that goroutines
// run on.
func TestSlacken(t *testing.T) {
	slacken(t)
	found := monitor()
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
		if tid := <-on; tid == found {
			t.Errorf("a goroutine runs on the thread that is made late, %d", tid)
		}
	}
}

// TestExact: what is started from a thread that is late is not.
func TestExact(t *testing.T) {
	slacken(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	started := func(by func(func() error) error) string {
		t.Helper()
		ns, err := strconv.Atoi(late)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0)
		}
		var out []byte
		if err == nil {
			err = by(func() (err error) {
				out, err = exec.Command("cat", "/proc/self/timerslack_ns").Output()
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if got := started(func(start func() error) error { return start() }); got != late {
		t.Errorf("what a late thread starts has %s: the test sees nothing", got)
	}
	if got := started(Exact); got != strconv.Itoa(was) || Slack() != uintptr(was) {
		t.Errorf("started exactly it has %s, and Slack is %d; want %d", got, Slack(), was)
	}
}

// TestForeignProc: where /proc is another pid namespace's, whoever has the thread's
// number there is left alone.
func TestForeignProc(t *testing.T) {
	const inside = "SYSMON_INSIDE"
	if os.Geteuid() != 0 {
		t.Skip("a pid namespace is root's to make")
	}
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestForeignProc$")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	runtime.GOMAXPROCS(2)
	if Slacken(); ours() || Slack() != 0 || monitor() == 0 {
		t.Errorf("/proc is ours: %v, the slack was %d, the monitor is %d", ours(), Slack(), monitor())
	}
}

// slacken slackens, for one test, and looks that it does so where it should.
func slacken(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the kernel asks for CAP_SYS_NICE")
	}
	old := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
	Slacken()
	if got := slackened(t); len(got) != 0 || Slack() != 0 {
		t.Fatalf("with one processor, the threads %v got the slack", got)
	}
	runtime.GOMAXPROCS(2)
	Slacken()
	got := slackened(t)
	if len(got) == 0 && wrapped(t) {
		t.Skip("the kernel's numbers have begun anew between this process and its threads")
	}
	if !slices.Contains(got, monitor()) {
		t.Fatalf("the threads %v got the slack, the monitor is %d", got, monitor())
	}
	t.Cleanup(func() {
		had := strconv.Itoa(int(Slack()))
		slack = 0
		for _, thread := range slackened(t) {
			if err := os.WriteFile("/proc/"+strconv.Itoa(thread)+"/timerslack_ns", []byte(had), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
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
		if strings.TrimSpace(string(value)) == late {
			those = append(those, tid)
		}
	}
	return those
}
