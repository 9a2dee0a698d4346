package network

import (
	"errors"
	"fmt"
	"strconv"
)

// Interface is one interface of a network namespace, as JSON for the agent in
// the VM. Lists are in the order in which their entries have to be added.
type Interface struct {
	Name       string      `json:"name"`
	MAC        MAC         `json:"mac"`
	MTU        int         `json:"mtu"` // bytes
	Addresses  []Address   `json:"addresses,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	Neighbours []Neighbour `json:"neighbours,omitempty"`
}

// MAC is a hardware address of Ethernet: six bytes.
type MAC []byte

// IP is an address of IPv4 (four bytes) or IPv6 (sixteen). Bytes need no parser
// at the other end.
type IP []byte

// Prefix is an address with the length of its network's part, in bits.
type Prefix struct {
	IP   IP  `json:"ip"`
	Bits int `json:"bits"`
}

// Address is one that an interface has.
type Address struct {
	Prefix
	Peer      IP    `json:"peer,omitempty"` // the other end's, whose network Bits is then about
	Broadcast IP    `json:"broadcast,omitempty"`
	Scope     uint8 `json:"scope,omitempty"` // RT_SCOPE_*, IPv4 only
	// Bare says that the interface has no route to the address's network just
	// because of the address. CNI's ptp plugin makes such interfaces.
	Bare bool `json:"bare,omitempty"`
}

// Route is a route of the main table. Those that an address brings are left out.
type Route struct {
	Destination Prefix `json:"destination"` // 0 bits for a default route
	Gateway     IP     `json:"gateway,omitempty"`
	Source      IP     `json:"source,omitempty"` // preferred, of what is sent
	Metric      uint32 `json:"metric,omitempty"`
	MTU         uint32 `json:"mtu,omitempty"` // bytes
	Scope       uint8  `json:"scope,omitempty"`
	Protocol    uint8  `json:"protocol,omitempty"` // RTPROT_*: who made it
	Onlink      bool   `json:"onlink,omitempty"`   // the gateway is on the link, whatever the routes say
}

// Neighbour is a permanent entry of the table of neighbours.
type Neighbour struct {
	IP  IP  `json:"ip"`
	MAC MAC `json:"mac"`
}

// Bounds of what a VM takes. The MTU's is that of a tap: 65535 less its header.
const (
	maxInterfaces = 32
	maxEntries    = 1024 // of each list of an interface
	maxName       = 15   // IFNAMSIZ less the NUL
	minMTU        = 68   // RFC 791
	maxMTU        = 65535 - 14
)

// DeviceMAC is the hardware address that QEMU gives to network card n, from 0:
// Configure knows the card by it, in whatever order the VM's kernel finds its
// devices, and gives it the interface's afterwards. Interfaces may share one: all
// ipvlans on one device do.
func DeviceMAC(n int) MAC { return MAC{0x02, 'w', 'r', 'u', 'n', byte(n)} }

const digits = "0123456789abcdef"

// String is the usual form, which QEMU reads, too.
func (m MAC) String() string {
	b := make([]byte, 0, 3*len(m))
	for i, x := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return string(b)
}

// String is dotted for IPv4; for IPv6 it is not shortened.
func (ip IP) String() string {
	var b []byte
	switch len(ip) {
	case 4:
		for i, x := range ip {
			if i > 0 {
				b = append(b, '.')
			}
			b = strconv.AppendUint(b, uint64(x), 10)
		}
	case 16:
		for i := 0; i < 16; i += 2 {
			if i > 0 {
				b = append(b, ':')
			}
			b = strconv.AppendUint(b, uint64(ip[i])<<8|uint64(ip[i+1]), 16)
		}
	default:
		return "no address"
	}
	return string(b)
}

func (p Prefix) String() string { return p.IP.String() + "/" + strconv.Itoa(p.Bits) }

// Validate tells whether list can be given to Configure. The agent trusts nothing
// that arrives, and the host learns early what the agent will not take.
func Validate(list []Interface) error {
	if len(list) > maxInterfaces {
		return fmt.Errorf("%d network interfaces are more than the %d a utility VM takes", len(list), maxInterfaces)
	}
	for n, i := range list {
		if !validName(i.Name) {
			return fmt.Errorf("%.32q is no name of a network interface", i.Name)
		}
		for _, other := range list[:n] {
			if other.Name == i.Name {
				return fmt.Errorf("there are two interfaces %s", i.Name)
			}
		}
		if err := i.validate(); err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
	}
	return nil
}

// validName is dev_valid_name() of the kernel, without what it takes for a
// pattern and what its sysctls have other uses for.
func validName(s string) bool {
	switch s {
	case "", ".", "..", "lo", "all", "default":
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == ':' || c == '%' {
			return false
		}
	}
	return len(s) <= maxName
}

func (i *Interface) validate() error {
	if !i.MAC.valid() {
		return fmt.Errorf("%v is no hardware address of an interface", []byte(i.MAC[:min(len(i.MAC), 8)]))
	}
	if i.MTU < minMTU || i.MTU > maxMTU {
		return fmt.Errorf("an MTU of %d (%d to %d)", i.MTU, minMTU, maxMTU)
	}
	for _, n := range []int{len(i.Addresses), len(i.Routes), len(i.Neighbours)} {
		if n > maxEntries {
			return fmt.Errorf("%d addresses, routes or neighbours (at most %d)", n, maxEntries)
		}
	}
	for _, a := range i.Addresses {
		if !a.valid() || a.Peer != nil && len(a.Peer) != len(a.IP) || a.Broadcast != nil && len(a.Broadcast) != len(a.IP) {
			return fmt.Errorf("%v is no address", a.Prefix)
		}
	}
	for _, r := range i.Routes {
		if err := r.validate(); err != nil {
			return fmt.Errorf("route to %v: %w", r.Destination, err)
		}
	}
	for _, n := range i.Neighbours {
		if !n.IP.valid() || len(n.MAC) != macSize {
			return fmt.Errorf("%v is no neighbour", n.IP)
		}
	}
	return nil
}

const macSize = 6

// valid is is_valid_ether_addr() of the kernel: one device's, and not zero.
func (m MAC) valid() bool {
	return len(m) == macSize && m[0]&1 == 0 && string(m) != "\x00\x00\x00\x00\x00\x00"
}

func (ip IP) valid() bool    { return len(ip) == 4 || len(ip) == 16 }
func (p Prefix) valid() bool { return p.IP.valid() && p.Bits >= 0 && p.Bits <= 8*len(p.IP) }

func (r *Route) validate() error {
	switch {
	case !r.Destination.valid():
		return errors.New("is no prefix")
	case r.Gateway != nil && !r.Gateway.valid():
		return errors.New("its gateway is no address")
	case len(r.Gateway) == 4 && len(r.Destination.IP) != 4: // the other way round is RFC 8950
		return errors.New("its gateway is one of IPv4")
	case r.Source != nil && len(r.Source) != len(r.Destination.IP):
		return errors.New("its source is no such address")
	}
	return nil
}
