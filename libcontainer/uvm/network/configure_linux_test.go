package network

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func same(t *testing.T, got, want []Interface) {
	t.Helper()
	a, errA := json.MarshalIndent(got, "", " ")
	b, errB := json.MarshalIndent(want, "", " ")
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("got %s\nwant %s", a, b)
	}
}

// TestRoundTrip makes another namespace what Scan has found in one: what Scan
// finds there is the same, and so is what ip shows.
func TestRoundTrip(t *testing.T) {
	for what, commands := range map[string][]string{
		"plain": {},
		"much": {
			"addr add 10.9.0.3/24 brd + dev eth0",
			"addr add 10.20.0.1 peer 10.20.0.9/32 dev eth0",
			"addr add 169.254.7.7/16 dev eth0 scope link",
			"addr add 10.30.0.2/24 dev eth0 noprefixroute",
			"addr add fd0a::5/128 dev eth0 nodad",
			"addr add fd0b::5/64 dev eth0 nodad noprefixroute",
			"link set eth0 mtu 9000",
			"route add 192.0.2.0/24 via 10.9.0.1 src 10.9.0.3 metric 7 mtu 1400 proto static",
			"route append 192.0.2.0/24 via 10.9.0.7 metric 7",
			"route add 198.51.100.0/24 via 203.0.113.1 dev eth0 onlink",
			"route add 203.0.114.0/24 dev eth0",
			"route add fd0c::/48 via fd09::1 src fd0a::5 metric 3",
			"route add fd0d::/48 via fe80::1 dev eth0 mtu 1300",
			"route add 198.18.0.0/15 via inet6 fe80::1 dev eth0",
			"neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
			"neigh add fd09::77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
			"route add 10.99.0.0/16 via 10.9.0.1 table 7",
			"route add blackhole 10.98.0.0/16",
		},
		// What CNI's ptp plugin makes of an interface: all goes by the gateway.
		"ptp": {
			"route del 10.9.0.0/24 dev eth0", "route add 10.9.0.1/32 dev eth0 scope link src 10.9.0.2",
			"route add 10.9.0.0/24 via 10.9.0.1 src 10.9.0.2", "route replace default via 10.9.0.1",
		},
		// What Calico makes of one.
		"calico": {
			"addr del 10.9.0.2/24 dev eth0", "addr add 10.9.0.2/32 dev eth0", "route add 169.254.1.1 dev eth0 scope link",
			"route add default via 169.254.1.1", "neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent",
		},
	} {
		t.Run(what, func(t *testing.T) {
			_, b := pair(t)
			b.ip(t, commands...)
			list := b.scanned(t)
			_, guest := pair(t)
			guest.ip(t, "addr flush dev eth0", "link set eth0 down", "link set eth0 mtu 1500 address 02:aa:00:00:00:01 name enp0s1")
			guest.do(t, func() error { return Configure(list) })
			same(t, guest.scanned(t), list)
			for _, show := range []string{"ip addr show dev eth0", "ip route", "ip -6 route"} {
				got, want := shown(guest.tool(t, show)), shown(b.tool(t, show))
				if got != want {
					t.Errorf("%s:\n%s\nwant:\n%s", show, got, want)
				}
			}
			guest.do(t, func() error { return Configure(list) }) // again: all is there
			same(t, guest.scanned(t), list)
		})
	}
}

// shown is what ip says but for what belongs to a device, not its configuration.
func shown(s string) string {
	var kept []string
	for line := range strings.Lines(s) {
		if strings.Contains(line, "fe80::") && strings.Contains(line, "inet6") || strings.Contains(line, "mtu ") || strings.HasPrefix(line, "blackhole") {
			continue
		}
		kept = append(kept, strings.ReplaceAll(line, " noprefixroute", "")) // what Bare is there for
	}
	return strings.Join(kept, "")
}

// TestNames gives cards each other's names.
func TestNames(t *testing.T) {
	guest := newNamespace(t)
	guest.ip(t, "link add eth0 address "+DeviceMAC(1).String()+" type veth peer name eth1 address "+DeviceMAC(0).String())
	list := []Interface{
		{Name: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}, MTU: 1400, Addresses: []Address{{Prefix: Prefix{IP{10, 1, 0, 1}, 24}}}},
		{Name: "eth1", MAC: MAC{2, 0, 0, 0, 0, 1}, MTU: 1300, Routes: []Route{
			{Destination: Prefix{IP{10, 2, 0, 0}, 16}, Source: IP{10, 1, 0, 1}, Scope: unix.RT_SCOPE_LINK, Protocol: unix.RTPROT_BOOT}}},
	}
	was := index(t, guest, "eth1")
	guest.do(t, func() error { return Configure(list) })
	if is := index(t, guest, "eth0"); is != was {
		t.Errorf("eth0 is device %d, not %d", is, was)
	}
	same(t, guest.scanned(t), list)
	list[1].Name = "lo"
	if err := guest.try(func() error { return Configure(list) }); err == nil {
		t.Error("an interface became lo")
	}
	list[1].Name = "eth1"
	list = append(list, Interface{Name: "eth2", MAC: MAC{2, 0, 0, 0, 0, 2}, MTU: 1500})
	if err := guest.try(func() error { return Configure(list) }); !errors.Is(err, unix.ENODEV) {
		t.Errorf("a card too few: %v", err)
	}
}

// TestNoCarrier bounds the wait for a carrier that never comes.
func TestNoCarrier(t *testing.T) {
	guest := newNamespace(t)
	guest.ip(t, "link add card type veth peer name other")
	list := []Interface{{Name: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}, MTU: 1500}}
	begin := time.Now()
	guest.do(t, func() error { return Configure(list) })
	if took := time.Since(begin); took < carrierWait || took > carrierWait+2*time.Second {
		t.Errorf("it took %v", took)
	}
	guest.ip(t, "link set card up") // the one that was not taken
	begin = time.Now()
	guest.do(t, func() error { return Configure(list) })
	if took := time.Since(begin); took > carrierWait/2 {
		t.Errorf("with a carrier it took %v", took)
	}
}
