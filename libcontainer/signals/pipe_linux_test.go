package signals

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The handler is the process's, so each case has a process of its own: this
// test binary, which then is one of the roles.
func TestMain(m *testing.M) {
	switch os.Getenv("SIGNALS_ROLE") {
	case "echo":
		os.Exit(echo(Collect))
	case "blocked":
		os.Exit(blocked())
	case "all":
		os.Exit(echo(CollectAll, unix.SIGTTIN, unix.SIGTTOU))
	case "exec":
		os.Exit(execute())
	case "burst":
		os.Exit(burst())
	}
	// Whoever runs the tests may ignore some (nohup); what is executed has those that
	// are handled by default.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	os.Exit(m.Run())
}

// echo sends itself signals, those that are passed on and more, from busy threads
// and prints what it collected.
func echo(collect func() (*Pipe, error), more ...unix.Signal) int {
	p, err := collect()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for range 4 { // whatever thread a signal finds
		go func() {
			for {
				runtime.Gosched()
			}
		}()
	}
	var sent []unix.Signal
	for n := unix.Signal(1); n <= highest; n++ {
		if passedOn(n) {
			sent = append(sent, n)
		}
	}
	for _, n := range append(sent, more...) {
		if err := unix.Kill(os.Getpid(), n); err != nil {
			fmt.Println(err)
			return 1
		}
		got, err := p.Next()
		fmt.Println(int(got), err)
	}
	return 0
}

// burst stops, and prints what it collected of what was sent meanwhile.
func burst() int {
	p, err := Collect()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := unix.Kill(os.Getpid(), unix.SIGSTOP); err != nil {
		fmt.Println(err)
		return 1
	}
	for range inBurst() {
		got, err := p.Next()
		fmt.Println(int(got), err)
	}
	return 0
}

// inBurst are the signals that a stopped process keeps, the one that has it go on
// last: that takes away the one that would stop it.
func inBurst() (list []unix.Signal) {
	for n := unix.Signal(1); n <= highest; n++ {
		if passedOn(n) && n != unix.SIGCONT && n != unix.SIGTSTP {
			list = append(list, n)
		}
	}
	return append(list, unix.SIGCONT)
}

// blocked becomes one that collects all, with two signals blocked.
func blocked() int {
	runtime.LockOSThread()
	set := unix.Sigset_t{Val: [16]uint64{1<<(unix.SIGTERM-1) | 1<<(unix.SIGUSR1-1)}}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(unix.Exec("/proc/self/exe", os.Args, []string{"SIGNALS_ROLE=all"}))
	return 1
}

// execute collects and becomes a program that shows its dispositions.
func execute() int {
	if _, err := Collect(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(unix.Exec("/bin/cat", []string{"cat", "/proc/self/status"}, nil))
	return 1
}

// role runs this test binary in a role, by way of a command in front of it.
func role(t *testing.T, name string, by ...string) string {
	t.Helper()
	words := append(by, os.Args[0])
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "SIGNALS_ROLE="+name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// TestEverySignalArrives: each signal that is passed on ends up in the pipe
// and does nothing else to the process.
func TestEverySignalArrives(t *testing.T) {
	var want strings.Builder
	for n := 1; n <= highest; n++ {
		if passedOn(unix.Signal(n)) {
			want.WriteString(strconv.Itoa(n) + " <nil>\n")
		}
	}
	if got := role(t, "echo"); got != want.String() {
		t.Errorf("got %q, want %q", got, want.String())
	}
	for _, n := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTSTP, highest} {
		if !passedOn(n) {
			t.Errorf("%v is not passed on", n)
		}
	}
}

// TestBurst: who was stopped gets all at once what was sent meanwhile.
func TestBurst(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNALS_ROLE=burst")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var is unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &is, unix.WSTOPPED|unix.WNOWAIT|unix.WEXITED, nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range inBurst() {
		if err := cmd.Process.Signal(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, n := range inBurst() {
		if !strings.Contains("\n"+out.String(), fmt.Sprintf("\n%d <nil>\n", n)) {
			t.Errorf("%v did not arrive: %q", n, out.String())
		}
	}
}

// TestAllArrive: who stands for another process gets also the signals that its
// caller had ignored or blocked, and those of a terminal.
func TestAllArrive(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skipf("what ignores a signal is sh: %v", err)
	}
	got := role(t, "blocked", "/bin/sh", "-c", `trap "" HUP; exec "$0"`)
	for _, n := range []unix.Signal{unix.SIGHUP, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTTIN, unix.SIGTTOU, highest} {
		if !strings.Contains("\n"+got, fmt.Sprintf("\n%d <nil>\n", n)) {
			t.Errorf("%v does not arrive: %q", n, got)
		}
	}
}

// TestNothingIsInherited: a program executed afterwards finds no handler, and
// what was ignored before is ignored still.
func TestNothingIsInherited(t *testing.T) {
	if _, err := os.Stat("/bin/cat"); err != nil {
		t.Skipf("the program that looks is cat: %v", err)
	}
	status := role(t, "exec", "/bin/sh", "-c", `trap "" HUP; exec "$0"`)
	for name, bit := range map[string]bool{"SigCgt": false, "SigIgn": true} {
		_, rest, _ := strings.Cut(status, name+":\t")
		word, _, _ := strings.Cut(rest, "\n")
		set, err := strconv.ParseUint(word, 16, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, status)
		}
		if name == "SigCgt" && set != 0 {
			t.Errorf("handlers are inherited: %x", set)
		}
		if got := set&(1<<(unix.SIGHUP-1)) != 0; got != bit {
			t.Errorf("%s has SIGHUP: %v, want %v", name, got, bit)
		}
	}
}
