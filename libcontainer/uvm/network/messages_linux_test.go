package network

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// messages makes all that Configure would send for i.
func messages(i Interface) (all []netlink.Message) {
	for _, a := range i.Addresses {
		all = append(all, addressMessage(2, a))
	}
	for _, r := range i.Routes {
		all = append(all, routeMessage(2, r))
	}
	for _, n := range i.Neighbours {
		all = append(all, neighbourMessage(2, n))
	}
	return all
}

func TestMessages(t *testing.T) {
	for _, m := range messages(good()[0]) {
		if len(m)%4 != 0 {
			t.Errorf("%x has %d bytes", []byte(m), len(m))
		}
	}
}

// TestUnable is about what a VM cannot be given.
func TestUnable(t *testing.T) {
	up := uint32(unix.IFF_UP)
	for _, c := range []struct {
		link
		addressed, carry bool
		err              string
	}{
		{link{name: "eth0", kind: "veth", typ: unix.ARPHRD_ETHER, flags: up}, true, true, ""},
		{link{name: "eth0", kind: "veth", typ: unix.ARPHRD_ETHER}, true, false, ""},
		{link{name: "eth0", kind: "veth", typ: unix.ARPHRD_ETHER, flags: up, master: 3}, true, false, ""},
		{link{name: "lo", typ: unix.ARPHRD_LOOPBACK, flags: up | unix.IFF_LOOPBACK}, true, false, ""},
		{link{name: "wrun0", kind: "tun", typ: unix.ARPHRD_ETHER, flags: up}, false, false, ""},
		{link{name: "wrunx", kind: "tun", typ: unix.ARPHRD_ETHER, flags: up}, true, true, ""},
		{link{name: "eth0", typ: unix.ARPHRD_ETHER, flags: up}, true, false, "a physical device"},
		{link{name: "eth0", typ: unix.ARPHRD_ETHER, flags: up}, false, false, ""},
		{link{name: "tun0", kind: "tun", typ: unix.ARPHRD_NONE, flags: up}, true, false, "not one of Ethernet"},
		{link{name: "ipvl0", kind: "ipvlan", typ: unix.ARPHRD_ETHER, flags: up | unix.IFF_NOARP}, true, false, "without ARP"},
	} {
		carry, err := c.carried(c.addressed)
		if carry != c.carry || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, %v", c, carry, err)
		}
	}
}

func TestMatch(t *testing.T) {
	list := []Interface{{Name: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}}, {Name: "net1", MAC: MAC{2, 0, 0, 0, 0, 1}}}
	eth := func(index int, mac MAC, kind string) link {
		return link{index: index, mac: mac, kind: kind, typ: unix.ARPHRD_ETHER}
	}
	other, another := MAC{2, 9, 9, 9, 9, 1}, MAC{2, 9, 9, 9, 9, 2}
	for what, c := range map[string]struct {
		links []link
		want  []int
	}{
		"by DeviceMAC": {[]link{eth(2, DeviceMAC(1), ""), eth(3, DeviceMAC(0), "")}, []int{3, 2}},
		"by the same":  {[]link{eth(2, other, ""), eth(3, list[0].MAC, ""), eth(4, list[0].MAC, "")}, []int{3, 4}},
		"by order":     {[]link{eth(2, other, "dummy"), eth(3, other, ""), eth(4, another, "")}, []int{3, 4}},
	} {
		cards, err := match(list, c.links)
		if err != nil || cards[0].index != c.want[0] || cards[1].index != c.want[1] {
			t.Errorf("%s: %+v, %v", what, cards, err)
		}
	}
	if _, err := match(list, []link{eth(2, other, "")}); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "net1") {
		t.Errorf("one card for two interfaces: %v", err)
	}
}

// FuzzParse has nothing break on what looks like an answer of the kernel's.
func FuzzParse(f *testing.F) {
	for _, m := range messages(good()[0]) {
		f.Add([]byte(m[unix.SizeofNlMsghdr:]))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseLink(b)
		s := scan{addresses: map[int][]Address{}, routes: map[int][]Route{}, neighbours: map[int][]Neighbour{}}
		if len(b) >= unix.SizeofRtMsg { // the longest
			_ = s.address(b)
			_ = s.route(b)
			_ = s.neighbour(b)
		}
	})
}
