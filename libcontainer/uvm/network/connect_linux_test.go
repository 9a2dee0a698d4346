package network

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestScan(t *testing.T) {
	_, b := pair(t)
	list := b.scanned(t)
	want := []Interface{{
		Name: "eth0", MAC: guestMAC, MTU: 1500,
		Addresses: []Address{{Prefix: Prefix{guestIP, 24}}, {Prefix: Prefix{ip("fd09::2"), 64}}},
		Routes: []Route{
			{Destination: Prefix{make(IP, 4), 0}, Gateway: hostIP, Protocol: unix.RTPROT_BOOT},
			{Destination: Prefix{make(IP, 16), 0}, Gateway: ip("fd09::1"), Metric: 1024, Protocol: unix.RTPROT_BOOT},
		},
	}}
	same(t, list, want)
}

// arp makes a frame of ARP: 1 asks who has their, 2 tells that mine is here.
func arp(op byte, to, from MAC, mine, their IP) []byte {
	f := cat(to, from, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, op}, from, mine)
	if op == 1 {
		to = make(MAC, macSize)
	}
	return cat(f, to, their)
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func isARP(op byte) func([]byte) bool {
	return func(f []byte) bool { return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == op }
}

// asks has the VM ask for the world's hardware address, and get an answer.
func asks(t *testing.T, tap int) {
	t.Helper()
	put(t, tap, arp(1, MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, guestMAC, guestIP, hostIP))
	f, err := frame(tap, 5*time.Second, isARP(2))
	if err != nil || !bytes.Equal(f[22:28], hostMAC) {
		t.Fatalf("ARP: % x, %v", f, err)
	}
}

// echo makes a ping (8) or its answer (0).
func echo(typ byte, to, from MAC, src, dst IP, payload []byte) []byte {
	icmp := cat([]byte{typ, 0, 0, 0, 0, 7, 0, 1}, payload)
	sum(icmp, 2)
	head := cat([]byte{0x45, 0, 0, byte(20 + len(icmp)), 0, 0, 0, 0, 64, 1, 0, 0}, src, dst)
	sum(head, 10)
	return cat(to, from, []byte{8, 0}, head, icmp)
}

// sum puts the Internet's checksum of b at an offset in it.
func sum(b []byte, at int) {
	var s uint32
	for i, x := range b {
		s += uint32(x) << (8 * (1 - i%2))
	}
	s = s>>16 + s&0xffff
	s = ^(s>>16 + s)
	b[at], b[at+1] = byte(s>>8), byte(s)
}

func isEcho(typ byte) func([]byte) bool {
	return func(f []byte) bool { return len(f) >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[34] == typ }
}

func TestScanUnable(t *testing.T) {
	_, b := pair(t)
	b.ip(t, "route add 10.50.0.0/16 nexthop via 10.9.0.1 nexthop via 10.9.0.7")
	const want = "the route to 10.50.0.0/16 cannot be given to a utility VM: it has several next hops"
	if err := b.try(func() error { _, err := Scan(); return err }); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestBothWays plays the VM at the tap.
func TestBothWays(t *testing.T) {
	a, b := pair(t)
	tap := b.connect(t, b.scanned(t)[0], 0)

	t.Run("nobody else speaks", func(t *testing.T) {
		if f, err := frame(tap, 300*time.Millisecond, func(f []byte) bool { return !bytes.Equal(f[6:12], hostMAC) }); !errors.Is(err, errSilence) {
			t.Errorf("% x, %v", f, err)
		}
	})
	t.Run("out", func(t *testing.T) {
		asks(t, tap)
		payload := bytes.Repeat([]byte("wrun"), 20)
		put(t, tap, echo(8, hostMAC, guestMAC, guestIP, hostIP, payload))
		f, err := frame(tap, 5*time.Second, isEcho(0))
		if err != nil || !bytes.Equal(f[42:], payload) {
			t.Fatalf("ping: % x, %v", f, err)
		}
	})
	t.Run("in", func(t *testing.T) {
		a.ip(t, "neigh flush dev out")
		answered := make(chan error, 1)
		go func() {
			_, err := frame(tap, 5*time.Second, isARP(1))
			if err == nil {
				put(t, tap, arp(2, hostMAC, guestMAC, guestIP, hostIP))
				var f []byte
				if f, err = frame(tap, 5*time.Second, isEcho(8)); err == nil {
					reply := cat(f[6:12], f[:6], f[12:26], f[30:34], f[26:30], f[34:])
					reply[34], reply[36], reply[37] = 0, 0, 0
					sum(reply[34:], 2)
					put(t, tap, reply)
				}
			}
			answered <- err
		}()
		if err := a.ping("10.9.0.2", 5*time.Second); err != nil {
			t.Error(err)
		}
		if err := <-answered; err != nil {
			t.Error("the VM: ", err)
		}
	})
	t.Run("short", func(t *testing.T) { // no byte behind the header
		bare := cat(guestMAC, hostMAC, []byte{0x88, 0xb5})
		raw := -1
		a.do(t, func() (err error) {
			raw, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
			if err != nil {
				return err
			}
			defer unix.Close(raw)
			return unix.Sendto(raw, bare, 0, &unix.SockaddrLinklayer{Ifindex: index(t, a, "out")})
		})
		if _, err := frame(tap, time.Second, func(f []byte) bool { return bytes.HasPrefix(f, bare) }); err != nil {
			t.Error(err)
		}
	})
}

func index(t *testing.T, n namespace, name string) int {
	t.Helper()
	var l link
	n.do(t, func() error {
		c, err := open(0)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err = c.find(name)
		return err
	})
	return l.index
}

const service = "10.9.0.2:7777"

// TestNamespaceIsSilent proves that the namespace's own IP stack, which still has
// the addresses and here even a server, is out of reach while a VM has them.
func TestNamespaceIsSilent(t *testing.T) {
	a, b := pair(t)
	b.listen(t, service)
	if err := a.reaches(service, 5*time.Second); err != nil {
		t.Fatal("before: ", err)
	}
	for _, ip := range []string{"10.9.0.2", "fd09::2"} {
		if err := a.ping(ip, 5*time.Second); err != nil {
			t.Fatal("before: ", err)
		}
	}
	a.ip(t, "neigh replace 10.9.0.2 lladdr "+guestMAC.String()+" dev out nud permanent",
		"neigh replace fd09::2 lladdr "+guestMAC.String()+" dev out nud permanent")
	eth0 := b.scanned(t)[0]
	tap := b.connect(t, eth0, 0)
	isSYN := func(f []byte) bool { return len(f) >= 54 && f[12] == 8 && f[23] == 6 && f[47] == 2 }
	seen := make(chan error, 1)
	go func() {
		_, err := frame(tap, 5*time.Second, isSYN)
		seen <- err
	}()
	if err := a.reaches(service, 300*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("with a VM that says nothing: %v", err)
	}
	if err := <-seen; err != nil {
		t.Errorf("the VM: %v", err)
	}
	for _, ip := range []string{"10.9.0.2", "fd09::2"} {
		if err := a.ping(ip, 300*time.Millisecond); !os.IsTimeout(err) {
			t.Errorf("ping of %s: %v", ip, err)
		}
	}

	unix.Close(tap)
	if list := b.tool(t, "ip link"); strings.Contains(list, "wrun0") {
		t.Errorf("the tap outlives its descriptor:\n%s", list)
	}
	if err := a.reaches(service, 300*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("after the VM: %v", err)
	}
	disconnect(t, b, eth0)
	if err := a.reaches(service, 5*time.Second); err != nil {
		t.Errorf("disconnected: %v", err)
	}
	if left := traffic(t, b); strings.Contains(left, "ingress") {
		t.Errorf("left behind:\n%s", left)
	}
	disconnect(t, b, eth0) // nothing to do
	disconnect(t, b, Interface{Name: "gone"})
}

func disconnect(t *testing.T, n namespace, i Interface) {
	t.Helper()
	n.do(t, func() error { return Disconnect(i) })
}

// traffic is all that tc tells of eth0's ingress.
func traffic(t *testing.T, n namespace) string {
	t.Helper()
	return n.tool(t, "tc qdisc show dev eth0") + n.tool(t, "tc filter show dev eth0 parent ffff:fff2")
}

// TestOthersStay has somebody else use the ingress, before or after a VM.
func TestOthersStay(t *testing.T) {
	if _, err := exec.LookPath("tc"); err != nil {
		t.Skip("the others use tc: ", err)
	}
	const filter = "tc filter add dev eth0 parent ffff:fff2 pref 9 protocol ip u32 match u8 0 0 flowid 1:1"
	for what, c := range map[string]struct{ before, after []string }{
		"an ingress qdisc":       {before: []string{"tc qdisc add dev eth0 ingress"}},
		"clsact":                 {before: []string{"tc qdisc add dev eth0 clsact"}},
		"a filter before the VM": {before: []string{"tc qdisc add dev eth0 ingress", filter}},
		"a filter during the VM": {after: []string{filter}},
	} {
		t.Run(what, func(t *testing.T) {
			_, b := pair(t)
			for _, s := range c.before {
				b.tool(t, s)
			}
			eth0 := b.scanned(t)[0]
			before := traffic(t, b)
			unix.Close(b.connect(t, eth0, 0))
			asks(t, b.connect(t, eth0, 1)) // it replaces what the first has left
			if during := traffic(t, b); strings.Count(during, "mirred") != 1 {
				t.Fatalf("not one filter:\n%s", during)
			}
			for _, s := range c.after {
				b.tool(t, s)
			}
			disconnect(t, b, eth0)
			switch after := traffic(t, b); {
			case c.after == nil && after != before:
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			case c.after != nil && (!strings.Contains(after, "pref 9 ") || strings.Contains(after, "mirred")):
				t.Errorf("after:\n%s", after)
			}
		})
	}
}

func TestSecondVM(t *testing.T) {
	_, b := pair(t)
	eth0 := b.scanned(t)[0]
	b.connect(t, eth0, 0)
	if again := b.scanned(t); len(again) != 1 {
		t.Errorf("the tap counts: %+v", again)
	}
	if err := b.try(func() error { _, err := Connect(eth0, 0); return err }); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second VM: %v", err)
	}
	if err := b.try(func() error { return Join(Interface{Name: "gone"}, 0) }); !errors.Is(err, unix.ENODEV) {
		t.Errorf("an interface that is not there: %v", err)
	}
}

// holder is set for a process that is a monitor until it is killed.
const holder = "WRUN_TEST_NETWORK_HOLDER"

func TestMain(m *testing.M) {
	if os.Getenv(holder) != "" {
		list, err := Scan()
		if err == nil {
			_, err = Connect(list[0], 0)
		}
		os.Stdout.WriteString(map[bool]string{true: "connected\n"}[err == nil])
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestKilled is the end that leaves nobody to clean up.
func TestKilled(t *testing.T) {
	a, b := pair(t)
	b.listen(t, service)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holder+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, cmd.Start)
	line, _ := bufio.NewReader(out).ReadString('\n')
	before := traffic(t, b)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if line != "connected\n" || !strings.Contains(before, "mirred") {
		t.Fatalf("it says %q:\n%s", line, before)
	}
	disconnect(t, b, Interface{Name: "eth0"})
	if err := a.reaches(service, 5*time.Second); err != nil {
		t.Errorf("after Disconnect: %v", err)
	}
	if left := traffic(t, b); strings.Contains(left, "ingress") {
		t.Errorf("left behind:\n%s", left)
	}
}
