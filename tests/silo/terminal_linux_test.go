package silo

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bindOf is a bind mount with all below it.
func bindOf(source, destination string) specs.Mount {
	return specs.Mount{Source: source, Destination: destination, Options: []string{"rbind"}}
}

func boxOf(height, width uint) specs.Box { return specs.Box{Height: height, Width: width} }

// pty is a pseudoterminal of the test's, as a user at a terminal has it.
func (r *rig) pty() (master, slave *os.File) {
	r.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	r.must(err)
	r.must(unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	r.must(err)
	r.must(unix.IoctlSetWinsize(m, unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}))
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	r.must(err)
	return os.NewFile(uintptr(m), "master"), slave
}

// TestTerminal: a user at a terminal runs and execs with one.
func TestTerminal(t *testing.T) {
	r := newRig(t, sh("tty; stty size; test -c /dev/console && echo console; echo x >/dev/tty; read line; echo $line | tr a-z A-Z")...)
	r.spec.Process.Terminal = true
	r.save()
	at := func(args ...string) string {
		t.Helper()
		master, slave := r.pty()
		defer master.Close()
		cmd := exec.Command(wrun, append([]string{"--root", r.root}, args...)...)
		cmd.Dir, cmd.Env = r.dir, r.env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		r.must(cmd.Start())
		_, err := master.WriteString("typed\n")
		r.must(err)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var out strings.Builder
		buf := make([]byte, 4096)
		r.must(master.SetReadDeadline(time.Now().Add(patience)))
		for !strings.Contains(out.String(), "TYPED") {
			n, err := master.Read(buf)
			out.Write(buf[:n])
			if err != nil {
				_ = cmd.Process.Kill()
				t.Fatalf("%v: %v after %q", args, err, out.String())
			}
		}
		slave.Close()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", args, err)
		}
		return out.String()
	}
	out := at("run", r.id)
	for _, want := range []string{"/dev/pts/0", "11 22", "console", "x"} {
		if !strings.Contains(out, want) {
			t.Errorf("run: no %q in %q", want, out)
		}
	}
	r.spec.Process.Terminal = false
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	out = at("exec", "-t", r.id, "sh", "-c", "tty; stty size; read line; echo $line | tr a-z A-Z")
	for _, want := range []string{"/dev/pts/0", "11 22"} {
		if !strings.Contains(out, want) {
			t.Errorf("exec: no %q in %q", want, out)
		}
	}
}

// TestConsoleOfEvilImage: an image's /dev/console and /dev/pts are links.
func TestConsoleOfEvilImage(t *testing.T) {
	r := newRig(t, "true")
	r.spec.Process.Terminal = true
	r.spec.Mounts = append(r.spec.Mounts[:1:1], specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}})
	victim := r.write("victim", "kept")
	r.must(os.Symlink(victim, r.rootfs+"/dev/console"))
	path, _ := r.listen("console")
	r.save()
	res := r.wrun("create", "--console-socket", path, r.id)
	if res.code == 0 || !strings.Contains(res.err, "/dev/console") {
		t.Errorf("%s", res)
	}
	r.equal("the host's file", r.read(victim), "kept")
}
