package network

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// good is a list that Configure takes, new each time.
func good() []Interface {
	return []Interface{{
		Name: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}, MTU: 1500,
		Addresses:  []Address{{Prefix: Prefix{IP{10, 9, 0, 2}, 24}}, {Prefix: Prefix{ip("fd00::2"), 64}, Bare: true}},
		Routes:     []Route{{Destination: Prefix{IP{0, 0, 0, 0}, 0}, Gateway: IP{10, 9, 0, 1}}},
		Neighbours: []Neighbour{{IP{10, 9, 0, 1}, MAC{2, 0, 0, 0, 0, 2}}},
	}}
}

func ip(s string) IP { return netip.MustParseAddr(s).AsSlice() }

func TestValidate(t *testing.T) {
	if err := Validate(good()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(i *Interface){
		`"" is no name`:                        func(i *Interface) { i.Name = "" },
		`"../x" is no name`:                    func(i *Interface) { i.Name = "../x" },
		`"eth%d" is no name`:                   func(i *Interface) { i.Name = "eth%d" },
		`"a b" is no name`:                     func(i *Interface) { i.Name = "a b" },
		`"lo" is no name`:                      func(i *Interface) { i.Name = "lo" },
		`"0123456789abcdef" is no name`:        func(i *Interface) { i.Name = "0123456789abcdef" },
		"is no hardware address":               func(i *Interface) { i.MAC = i.MAC[:5] },
		"[1 0 0 0 0 1] is no hardware address": func(i *Interface) { i.MAC[0] = 1 },
		"an MTU of 67":                         func(i *Interface) { i.MTU = 67 },
		"an MTU of 65536":                      func(i *Interface) { i.MTU = 65536 },
		"1025 addresses":                       func(i *Interface) { i.Addresses = make([]Address, 1025) },
		"no address/24 is no address":          func(i *Interface) { i.Addresses[0].IP = make(IP, 5) },
		"10.9.0.2/33 is no address":            func(i *Interface) { i.Addresses[0].Bits = 33 },
		"10.9.0.2/-1 is no address":            func(i *Interface) { i.Addresses[0].Bits = -1 },
		"10.9.0.2/24 is no address":            func(i *Interface) { i.Addresses[0].Peer = make(IP, 16) },
		"10.9.0.3/24 is no address":            func(i *Interface) { i.Addresses[0].IP[3], i.Addresses[0].Broadcast = 3, make(IP, 16) },
		"no address/0: is no prefix":           func(i *Interface) { i.Routes[0].Destination.IP = nil },
		"its gateway is no address":            func(i *Interface) { i.Routes[0].Gateway = IP{1} },
		"its gateway is one of IPv4":           func(i *Interface) { i.Routes[0].Destination.IP = make(IP, 16) },
		"its source is no such address":        func(i *Interface) { i.Routes[0].Source = make(IP, 16) },
		"no address is no neighbour":           func(i *Interface) { i.Neighbours[0].IP = nil },
		"10.9.0.1 is no neighbour":             func(i *Interface) { i.Neighbours[0].MAC = nil },
	} {
		list := good()
		spoil(&list[0])
		if err := Validate(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want … %s …", err, want)
		}
	}
	if err := Validate(append(good(), good()...)); err == nil || !strings.Contains(err.Error(), "two interfaces eth0") {
		t.Errorf("a name twice: %v", err)
	}
	if err := Validate(make([]Interface, 33)); err == nil || !strings.Contains(err.Error(), "33 network interfaces") {
		t.Errorf("too many: %v", err)
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	var back []Interface
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, good()) {
		t.Errorf("%s comes back as %+v", b, back)
	}
}

func TestStrings(t *testing.T) {
	for want, got := range map[string]string{
		"02:77:72:75:6e:0a": DeviceMAC(10).String(),
		"10.0.255.1":        IP{10, 0, 255, 1}.String(),
		"no address":        IP{1, 2}.String(),
		"0.0.0.0/0":         Prefix{make(IP, 4), 0}.String(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const six = "fd00::1:2"
	if back, err := netip.ParseAddr(ip(six).String()); err != nil || back.String() != six {
		t.Errorf("%s is written %v", six, ip(six))
	}
	if !DeviceMAC(0).valid() {
		t.Error("DeviceMAC is not valid")
	}
}

// FuzzValidate has nothing break on what a guest may be sent.
func FuzzValidate(f *testing.F) {
	b, err := json.Marshal(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var list []Interface
		if json.Unmarshal(b, &list) != nil || Validate(list) != nil {
			return
		}
		for _, i := range list {
			bad := func(p Prefix) bool { return !netip.PrefixFrom(addr(p.IP), p.Bits).IsValid() }
			if len(i.Name) > 15 || len(i.MAC) != 6 ||
				slices.ContainsFunc(i.Addresses, func(a Address) bool { return bad(a.Prefix) }) ||
				slices.ContainsFunc(i.Routes, func(r Route) bool { return bad(r.Destination) }) ||
				slices.ContainsFunc(i.Neighbours, func(n Neighbour) bool { return !addr(n.IP).IsValid() }) {
				t.Errorf("%+v is valid", i)
			}
		}
	})
}

func addr(ip IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}
