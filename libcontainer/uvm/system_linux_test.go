package uvm

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wrun/libcontainer"
	"wrun/libcontainer/procstat"
)

// TestLiveWhileEnding: a monitor that answers nothing any more is waited for, and
// one that stays all the same has a container still. It is never one that was not
// started.
func TestLiveWhileEnding(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skipf("the monitor of this test is sleep: %v", err)
	}
	dir := t.TempDir()
	sock, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := sock.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	monitor := exec.Command(sleep, "1000")
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- monitor.Wait() }()
	t.Cleanup(func() {
		_ = monitor.Process.Kill()
		<-ended
	})
	s := &system{h: &handle{ID: "c", Dir: dir, Pid: monitor.Process.Pid}}
	if s.h.Start, _, err = procstat.StartTime(s.h.Pid); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if l, err := s.Live(t.Context()); err != nil || l != (libcontainer.Live{Exists: true, Started: true}) {
		t.Errorf("a monitor that stays: %+v, %v", l, err)
	}
	if took := time.Since(begun); took < lookWait || took > 2*lookWait {
		t.Errorf("it was waited for during %v, want %v", took, lookWait)
	}
	sock.(*net.UnixListener).SetUnlinkOnClose(false) // nor does a monitor remove it
	sock.Close()
	time.AfterFunc(100*time.Millisecond, func() { _ = monitor.Process.Kill() })
	if l, err := s.Live(t.Context()); err != nil || l != (libcontainer.Live{}) {
		t.Errorf("a monitor that ends: %+v, %v", l, err)
	}
}
