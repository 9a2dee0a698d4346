package uvm

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// apart runs do on a thread of its own in a new network namespace, or in the one
// of a descriptor; it returns a descriptor of that namespace.
func apart(t *testing.T, ns int, do func() error) int {
	t.Helper()
	type result struct {
		ns  int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace with its descriptors
		err := func() error {
			if ns < 0 {
				return unix.Unshare(unix.CLONE_NEWNET)
			}
			return unix.Setns(ns, unix.CLONE_NEWNET)
		}()
		if err == nil && ns < 0 {
			ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if err == nil && do != nil {
			err = do()
		}
		done <- result{ns, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.ns
}

// ip runs iproute2's ip, for busybox's makes no pairs of veth, in the namespace of this thread.
func ip(lines ...string) error {
	for _, l := range lines {
		if out, err := exec.Command("ip", strings.Fields(l)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", l, err, out)
		}
	}
	return nil
}

// TestNetwork: what a CNI plugin has put into a namespace appears in the VM.
func TestNetwork(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("a network is made by iproute2: %v; sh tests/setup.sh iproute2", err)
	}
	r := newRig(t, sh("httpd -h /mnt -p 80; exec sleep 1000")...)
	r.must(os.WriteFile(filepath.Join(r.rootfs, "mnt", "index.html"), []byte("from the VM"), 0o644))
	ns := apart(t, -1, func() error { return ip("link set lo up") })
	defer unix.Close(ns)
	at := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns)
	// ip knows a namespace by a process that is in it.
	holder := exec.Command("sleep", "600")
	apart(t, ns, holder.Start)
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	host := apart(t, -1, func() error {
		return ip("link add near type veth peer name far", "addr add 10.55.0.1/24 dev near", "link set near up", "link set lo up",
			fmt.Sprintf("link set far netns %d", holder.Process.Pid))
	})
	defer unix.Close(host)
	apart(t, ns, func() error {
		return ip("link set far name eth0", "addr add 10.55.0.2/24 dev eth0", "link set eth0 mtu 1400 up", "route add default via 10.55.0.1")
	})
	for i := range r.spec.Linux.Namespaces {
		if n := &r.spec.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
			n.Path = at
		}
	}
	r.start()
	if out := r.inside("ip addr show eth0; ip route"); !strings.Contains(out, "10.55.0.2/24") || !strings.Contains(out, "mtu 1400") || !strings.Contains(out, "default via 10.55.0.1") {
		t.Errorf("in the VM: %s", out)
	}
	var answer string
	apart(t, host, func() (err error) {
		answer, err = get("10.55.0.2:80")
		return err
	})
	if answer != "from the VM" {
		t.Errorf("the VM answers %q", answer)
	}
	var l net.Listener
	apart(t, host, func() (err error) {
		l, err = net.Listen("tcp", "10.55.0.1:8080")
		return err
	})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the host") })}
	go server.Serve(l) //nolint:errcheck // ends with Close
	defer server.Close()
	if out := r.inside("wget -qO- http://10.55.0.1:8080/"); out != "from the host" {
		t.Errorf("the host answers %q", out)
	}
	r.ok("delete", "--force", r.id)
	// The namespace is as it was: its own stack has the address again.
	apart(t, ns, func() error {
		c, err := net.DialTimeout("tcp", "10.55.0.1:8080", 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// get is a request over the namespace of this thread: net/http would make its
// connection on another one.
func get(address string) (string, error) {
	var c net.Conn
	var err error
	for range 50 { // httpd may be on its way
		if c, err = net.DialTimeout("tcp", address, 5*time.Second); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	all, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return body, err
}

// TestLoopback is always there.
func TestLoopback(t *testing.T) {
	r := newRig(t, sh("ip addr show lo; ping -c 1 127.0.0.1")...)
	if out := r.output(); !strings.Contains(out, "127.0.0.1/8") || !strings.Contains(out, "0% packet loss") {
		t.Error(out)
	}
}
