package rights

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T, backlog int) (socket int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
			err = unix.Listen(fd, backlog)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd, path
}

func TestSend(t *testing.T) {
	socket, path := listen(t, 1)
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	if err := Send(path, []byte("text"), pipe[1]); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[1])
	peer, _, err := unix.Accept4(socket, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(peer)
	text, control := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(peer, text, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || string(text[:n]) != "text" {
		t.Fatalf("got %q, %v", text[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:m])
	if err != nil || len(messages) != 1 {
		t.Fatalf("got %v, %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("got %v, %v", fds, err)
	}
	if _, err := unix.Write(fds[0], []byte("x")); err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[0])
	if n, err := unix.Read(pipe[0], text); n != 1 || err != nil {
		t.Errorf("through the descriptor came %d, %v", n, err)
	}
}

func TestNobody(t *testing.T) {
	if err := Send(filepath.Join(t.TempDir(), "none"), nil, 0); !errors.Is(err, unix.ENOENT) {
		t.Errorf("to nobody: %v", err)
	}
}

// TestPatience: whoever listens and accepts nobody keeps nobody for ever.
func TestPatience(t *testing.T) {
	t.Parallel()
	_, path := listen(t, 0)
	begun := time.Now()
	for range 3 { // one waits to be accepted, in the kernel's hands
		if err := Send(path, []byte("x"), 0); err != nil {
			if took := time.Since(begun); !errors.Is(err, unix.EAGAIN) || took > (patience+5)*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
			return
		}
	}
	t.Error("three were sent to who accepts none")
}
