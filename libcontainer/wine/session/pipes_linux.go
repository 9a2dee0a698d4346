package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A named pipe is an object of the wineserver's, and Wine's programs know no unix
// sockets. So a launcher serves the pipe, and for each client connects to a port
// of the loopback interface, on which this process listens and relays to the
// host's socket. A word that only the launcher is told comes first, for others
// may share the network namespace.

const pipesDir = "/pipes/"

// readyTime bounds what the container's start waits for its pipes.
const readyTime = 30 * time.Second

// pipes serves WRUN_PIPE_0, WRUN_PIPE_1 …; it returns when clients can connect.
func (s *session) pipes() error {
	for i := 0; ; i++ {
		name := os.Getenv("WRUN_PIPE_" + strconv.Itoa(i))
		if name == "" {
			return nil
		}
		if err := s.serve(name, pipesDir+strconv.Itoa(i)); err != nil {
			return fmt.Errorf("serve the pipe %s: %w", name, err)
		}
	}
}

func (s *session) serve(name, socket string) error {
	var random [16]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return err
	}
	word := fmt.Sprintf("%x", random)
	listener, port, err := listen()
	if err != nil {
		return err
	}
	var said [2]int
	if err := unix.Pipe2(said[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(said[0])
	env := slices.DeleteFunc(slices.Clone(s.env), func(v string) bool { return strings.HasPrefix(v, "WRUN_") })
	env = append(env, "WRUN_PORT="+strconv.Itoa(port), "WRUN_NONCE="+word)
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = syscall.ForkExec(s.loader, []string{s.loader, s.launcher, "pipe", name},
		&syscall.ProcAttr{Env: env, Files: []uintptr{uintptr(null), uintptr(said[1]), uintptr(null)}})
	unix.Close(null)
	unix.Close(said[1])
	if err != nil {
		return err
	}
	var text [8]byte
	ready := []unix.PollFd{{Fd: int32(said[0]), Events: unix.POLLIN}}
	for end := time.Now().Add(readyTime); ; {
		n, err := unix.Poll(ready, int(max(time.Until(end), 0)/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(errors.New("the launcher says nothing"), err)
		}
		break
	}
	if n, _ := unix.Read(said[0], text[:]); !strings.HasPrefix(string(text[:max(n, 0)]), "ready") {
		return errors.New("the launcher gave up")
	}
	go func() {
		for {
			conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
			switch err {
			case nil:
				go relay(conn, socket, word)
			case unix.EINTR, unix.ECONNABORTED:
			default:
				return
			}
		}
	}()
	return nil
}

// listen opens a port of the loopback interface that was free.
func listen() (fd, port int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, at.(*unix.SockaddrInet4).Port, nil
}

// relay connects one client with the host's socket.
func relay(conn int, socket, word string) {
	defer unix.Close(conn)
	_ = unix.SetsockoptTimeval(conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	heard := make([]byte, len(word)+1)
	for at := 0; at < len(heard); {
		n, err := unix.Read(conn, heard[at:])
		if n <= 0 && err != unix.EINTR {
			return
		}
		at += max(n, 0)
	}
	if string(heard) != word+"\n" {
		return
	}
	_ = unix.SetsockoptTimeval(conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{})
	host, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(host)
	if unix.Connect(host, &unix.SockaddrUnix{Name: socket}) != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		stream(host, conn)
		close(done)
	}()
	stream(conn, host)
	<-done
}

// stream copies until the end, which it passes on.
func stream(to, from int) {
	buffer := make([]byte, 16384)
	for {
		n, err := unix.Read(from, buffer)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			break
		}
		for rest := buffer[:n]; len(rest) > 0; {
			n, err := unix.Write(to, rest)
			if err != nil && err != unix.EINTR {
				_ = unix.Shutdown(from, unix.SHUT_RD)
				return
			}
			rest = rest[max(n, 0):]
		}
	}
	_ = unix.Shutdown(to, unix.SHUT_WR)
}
