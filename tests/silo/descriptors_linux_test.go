package silo

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listFDs shows a program's own descriptors. A shell's would come and go.
var listFDs = []string{"ls", "-l", "/proc/self/fd"}

// fds reads listFDs' output: the numbers, but for the one ls reads the
// directory by, and where others than the standard streams lead.
func fds(listing string) string {
	var found []string
	for line := range strings.Lines(listing) {
		left, to, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		if !ok || strings.HasPrefix(to, "/proc/") {
			continue
		}
		n := left[strings.LastIndex(left, " ")+1:]
		if n > "2" || len(n) > 1 {
			n += " -> " + to
		}
		found = append(found, n)
	}
	return strings.Join(found, " ")
}

// TestDescriptors: nothing but the standard streams reaches a program, however
// it is started and whatever wrun's caller has open.
func TestDescriptors(t *testing.T) {
	r := newRig(t, listFDs...)
	leak, err := os.Open(r.write("leak", "secret"))
	r.must(err)
	defer leak.Close()
	r.extra = []*os.File{leak, leak, leak}
	r.equal("run", fds(r.output()), "0 1 2")

	r.spec.Process.Args = []string{"sleep", "100"}
	pid := r.start()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	r.must(err)
	if len(names) != 3 {
		t.Errorf("create and start: %v", names)
	}
	r.equal("exec", fds(r.ok(append([]string{"exec", r.id}, listFDs...)...)), "0 1 2")
}

func TestPreserved(t *testing.T) {
	r := newRig(t, sh("echo $LISTEN_FDS $LISTEN_PID $$; cat <&3; cat <&4; [ -e /proc/$$/fd/5 ] && echo more; true")...)
	one, err := os.Open(r.write("one", "one\n"))
	r.must(err)
	two, err := os.Open(r.write("two", "two\n"))
	r.must(err)
	defer one.Close()
	defer two.Close()
	r.extra = []*os.File{one, two, two}
	if res := r.run("--preserve-fds", "2"); strings.TrimSpace(res.out) != "1\none\ntwo" {
		t.Errorf("--preserve-fds 2: %s", res)
	}
	for _, f := range []*os.File{one, two} {
		_, err := f.Seek(0, 0)
		r.must(err)
	}
	// sd_listen_fds(3): meant for the process whose pid it names.
	cmd, done := r.command("run", r.id)
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"`, "sh"}, append([]string{wrun}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
	r.must(cmd.Start())
	res := done(cmd.Wait())
	if strings.TrimSpace(res.out) != "2 1 1\none\ntwo" {
		t.Errorf("LISTEN_FDS: %s", res)
	}
	r.extra = nil
	if res := r.run("--preserve-fds", "2"); res.code == 0 || !strings.Contains(res.err, "descriptor 3") {
		t.Errorf("nothing handed down: %s", res)
	}
	r.extra = []*os.File{one}
	r.spec.Process.Args = []string{"sleep", "100"}
	r.start()
	_, err = one.Seek(0, 0)
	r.must(err)
	r.equal("exec", r.ok("exec", "--preserve-fds", "1", r.id, "sh", "-c", "cat <&3"), "one")
}

// TestPidFile: go-runc reads it with a strict Atoi.
func TestPidFile(t *testing.T) {
	r := newRig(t, "sleep", "100")
	file := filepath.Join(r.dir, "pid")
	pid := r.start("--pid-file", file)
	if got := r.read(file); got != fmt.Sprint(pid) {
		t.Errorf("pid file %q, state says %d", got, pid)
	}
	r.ok("exec", "--detach", "--pid-file", file, r.id, "sleep", "99")
	if comm := r.read("/proc/" + r.read(file) + "/cmdline"); comm != "sleep\x0099\x00" {
		t.Errorf("exec's pid file %q names %q", r.read(file), comm)
	}
}

// listen gives the descriptor that is sent to a unix socket.
func (r *rig) listen(name string) (path string, receive func() int) {
	r.Helper()
	path = filepath.Join(r.dir, name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	r.must(err)
	r.Cleanup(func() { l.Close() })
	return path, func() int {
		r.Helper()
		r.must(l.SetDeadline(time.Now().Add(patience)))
		c, err := l.AcceptUnix()
		r.must(err)
		defer c.Close()
		r.must(c.SetDeadline(time.Now().Add(patience)))
		data, control := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := c.ReadMsgUnix(data, control)
		r.must(err)
		messages, err := unix.ParseSocketControlMessage(control[:n])
		r.must(err)
		if len(messages) != 1 {
			r.Fatalf("%d control messages", len(messages))
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		r.must(err)
		if len(fds) != 1 {
			r.Fatalf("%d descriptors", len(fds))
		}
		r.Cleanup(func() { unix.Close(fds[0]) })
		return fds[0]
	}
}

func TestPidfdSocket(t *testing.T) {
	r := newRig(t, "sleep", "100")
	path, receive := r.listen("pidfd")
	pid := r.start("--pidfd-socket", path)
	fd := receive()
	info := r.read(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if got := field(info, "Pid"); got != fmt.Sprint(pid) {
		t.Errorf("the descriptor is of process %q, state says %d", got, pid)
	}
	r.must(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
	r.until("end", func() bool { return r.state(r.id).Status == "stopped" })
}

func TestConsoleSocket(t *testing.T) {
	r := newRig(t, sh("tty; stty size; stat -c '%u' $(tty); stat -c '%t' /dev/console; echo on-console >/dev/console; echo on-tty >/dev/tty; read x; echo got $x; exec sleep 100")...)
	r.spec.Process.Terminal = true
	r.spec.Process.ConsoleSize = ptr(boxOf(33, 77))
	r.spec.Process.User.UID = 9
	path, receive := r.listen("console")
	r.save()
	r.ok("create", "--console-socket", path, r.id)
	master := os.NewFile(uintptr(receiveNonblock(receive())), "master")
	r.ok("start", r.id)
	var got strings.Builder
	until := func(text string) {
		t.Helper()
		r.must(master.SetReadDeadline(time.Now().Add(patience)))
		buf := make([]byte, 4096)
		for !strings.Contains(got.String(), text) {
			n, err := master.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				t.Fatalf("%v after %q", err, got.String())
			}
		}
	}
	until("on-tty")
	if want := "/dev/pts/0\r\n33 77\r\n9\r\n88\r\non-console\r\non-tty"; strings.TrimSpace(got.String()) != want {
		t.Errorf("terminal shows %q, want %q", got.String(), want)
	}
	_, err := master.WriteString("hello\n")
	r.must(err)
	until("got hello")

	// A controlling terminal: its interrupt key reaches the program's group.
	path, receive = r.listen("console2")
	r.ok("exec", "--tty", "--detach", "--console-socket", path, r.id, "sh", "-c", "trap 'echo interrupted' INT; tty; echo ready; while :; do sleep 0.1; done")
	master.Close()
	master = os.NewFile(uintptr(receiveNonblock(receive())), "master")
	got.Reset()
	until("ready")
	if !strings.Contains(got.String(), "/dev/pts/1") {
		t.Errorf("exec's terminal: %q", got.String())
	}
	_, err = master.Write([]byte{3})
	r.must(err)
	until("interrupted")
	master.Close()
}

// receiveNonblock lets os.File have deadlines.
func receiveNonblock(fd int) int {
	fd, _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	_ = unix.SetNonblock(fd, true)
	return fd
}

// TestOwnDescriptors: a wrun that stays with its program holds nothing of the
// container's, to whose mounts it has opened the way.
func TestOwnDescriptors(t *testing.T) {
	r := newRig(t, "sleep", "100")
	r.save()
	cmd, done := r.command("run", r.id)
	r.must(cmd.Start())
	r.until("it runs", func() bool {
		res := r.wrun("state", r.id)
		return res.code == 0 && strings.Contains(res.out, `"running"`)
	})
	dir := fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid)
	r.until("wrun has let go of the container's directories", func() bool {
		names, err := os.ReadDir(dir)
		r.must(err)
		for _, n := range names {
			info, err := os.Stat(filepath.Join(dir, n.Name()))
			if err == nil && (info.IsDir() || info.Mode().Type() == os.ModeSocket) {
				return false
			}
		}
		return len(names) > 2
	})
	r.ok("kill", r.id, "KILL")
	if res := done(cmd.Wait()); res.code != 137 {
		t.Errorf("its end: %s", res)
	}
}
