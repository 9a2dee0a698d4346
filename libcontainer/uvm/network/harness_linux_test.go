package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of a test's own. It ends with the test: only
// a descriptor holds it.
type namespace struct{ file *os.File }

func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the networks of these tests are made with ip: ", err)
	}
	made := make(chan error, 1)
	var n namespace
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.file.Close() })
	n.ip(t, "link set lo up")
	return n
}

// do runs f on a thread in the namespace.
func (n namespace) do(t *testing.T, f func() error) {
	t.Helper()
	if err := n.try(f); err != nil {
		t.Fatal(err)
	}
}

func (n namespace) try(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// tool runs a program in the namespace and returns what it says.
func (n namespace) tool(t *testing.T, command string) string {
	t.Helper()
	var out []byte
	n.do(t, func() (err error) {
		words := strings.Fields(command)
		if out, err = exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			err = fmt.Errorf("%s: %w (%s)", command, err, out)
		}
		return err
	})
	return string(out)
}

func (n namespace) ip(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		n.tool(t, "ip "+c)
	}
}

// pair is namespace a, the world outside, and b, the container's, whose eth0 is
// the other end of a's veth.
func pair(t *testing.T) (a, b namespace) {
	t.Helper()
	a, b = newNamespace(t), newNamespace(t)
	a.do(t, func() error {
		// Through the descriptor: b has no name.
		return command("ip", "link", "add", "out", "address", hostMAC.String(), "type", "veth",
			"peer", "name", "eth0", "address", guestMAC.String(), "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), b.file.Fd()))
	})
	a.ip(t, "addr add 10.9.0.1/24 dev out", "addr add fd09::1/64 dev out nodad", "link set out up")
	b.ip(t, "addr add 10.9.0.2/24 dev eth0", "addr add fd09::2/64 dev eth0 nodad", "link set eth0 up",
		"route add default via 10.9.0.1", "route add default via fd09::1")
	return a, b
}

var (
	hostMAC, guestMAC = MAC{2, 0, 0, 0, 9, 1}, MAC{2, 0, 0, 0, 9, 2}
	hostIP, guestIP   = IP{10, 9, 0, 1}, IP{10, 9, 0, 2}
)

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w (%s)", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// scanned is what Scan finds in the namespace.
func (n namespace) scanned(t *testing.T) (list []Interface) {
	t.Helper()
	n.do(t, func() (err error) {
		list, err = Scan()
		return err
	})
	return list
}

// connect connects the namespace's interface number n and returns the tap.
func (n namespace) connect(t *testing.T, i Interface, card int) int {
	t.Helper()
	tap := -1
	n.do(t, func() (err error) {
		tap, err = Connect(i, card)
		return err
	})
	t.Cleanup(func() { unix.Close(tap) })
	return tap
}

// reaches tells whether something accepts TCP at address, as seen from n.
func (n namespace) reaches(address string, patience time.Duration) error {
	return n.try(func() error {
		c, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// listen accepts TCP at address in the namespace.
func (n namespace) listen(t *testing.T, address string) {
	t.Helper()
	n.do(t, func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		return nil
	})
}

// ping sends one ICMP echo and waits for its answer.
func (n namespace) ping(to string, patience time.Duration) error {
	return n.try(func() error {
		network, request, reply := "ip4:icmp", byte(8), byte(0)
		if strings.Contains(to, ":") {
			network, request, reply = "ip6:ipv6-icmp", 128, 129
		}
		c, err := net.Dial(network, to)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		m := []byte{request, 0, 0, 0, 0, 7, 0, 1}
		sum(m, 2) // the kernel makes IPv6's
		if _, err := c.Write(m); err != nil {
			return err
		}
		for b := make([]byte, 1500); ; {
			// Read would leave IPv4's header where it is.
			if k, _, err := c.(*net.IPConn).ReadFromIP(b); err != nil {
				return err
			} else if k >= 8 && b[0] == reply {
				return nil
			}
		}
	})
}

// vnetHeader comes before each frame on a tap: struct virtio_net_hdr.
const vnetHeader = 10

// frame waits for a frame on the tap that fits.
func frame(tap int, patience time.Duration, fits func([]byte) bool) ([]byte, error) {
	buf := make([]byte, 128<<10)
	for end := time.Now().Add(patience); ; {
		left := time.Until(end).Milliseconds()
		if left <= 0 {
			return nil, errSilence
		}
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(tap), Events: unix.POLLIN}}, int(left)); err != nil && err != unix.EINTR {
			return nil, err
		} else if n < 1 {
			continue
		}
		n, err := unix.Read(tap, buf)
		if err != nil {
			return nil, err
		}
		if f := buf[vnetHeader:n]; len(f) >= 14 && fits(f) {
			return f, nil
		}
	}
}

var errSilence = errors.New("no such frame came")

func put(t *testing.T, tap int, frame []byte) {
	t.Helper()
	if _, err := unix.Write(tap, append(make([]byte, vnetHeader), frame...)); err != nil {
		t.Fatal("write a frame: ", err)
	}
}
