package network

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// Scan returns the interfaces of the thread's network namespace that a utility VM
// has to have; the package's documentation tells which and what of them.
func Scan() ([]Interface, error) {
	c, err := open(0)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.links()
	if err != nil {
		return nil, err
	}
	s := scan{addresses: map[int][]Address{}, routes: map[int][]Route{}, neighbours: map[int][]Neighbour{}}
	for _, part := range []struct {
		typ  uint16
		size int
		what string
		take func([]byte) error
	}{
		{unix.RTM_GETADDR, unix.SizeofIfAddrmsg, "addresses", s.address},
		{unix.RTM_GETROUTE, unix.SizeofRtMsg, "routes", s.route},
		{unix.RTM_GETNEIGH, unix.SizeofNdMsg, "neighbours", s.neighbour},
	} {
		bodies, err := c.Dump(netlink.New(part.typ, 0, make([]byte, part.size)...))
		if err != nil {
			return nil, fmt.Errorf("list the %s of the network namespace: %w", part.what, err)
		}
		for _, b := range bodies {
			if len(b) < part.size {
				continue
			}
			if err := part.take(b); err != nil {
				return nil, err
			}
		}
	}
	var list []Interface
	for _, l := range links {
		carry, err := l.carried(len(s.addresses[l.index]) > 0)
		if err != nil {
			return nil, err
		}
		if carry {
			list = append(list, s.assemble(l))
		}
	}
	return list, Validate(list)
}

// carried tells whether a VM has to have l.
func (l *link) carried(addressed bool) (bool, error) {
	if l.flags&unix.IFF_UP == 0 || l.flags&unix.IFF_LOOPBACK != 0 || l.master != 0 || ours(l.name, l.kind) {
		return false, nil
	}
	why := ""
	switch {
	case l.typ != unix.ARPHRD_ETHER:
		why = "it is not one of Ethernet"
	case l.flags&unix.IFF_NOARP != 0:
		why = "it does without ARP"
	case l.kind == "":
		why = "it is a physical device, and the namespace may be the host's own"
	default:
		return true, nil
	}
	if !addressed {
		return false, nil
	}
	return false, fmt.Errorf("interface %s cannot be given to a utility VM: %s", l.name, why)
}

// scan is what a namespace has, by the number of the interface.
type scan struct {
	addresses  map[int][]Address
	routes     map[int][]Route
	neighbours map[int][]Neighbour
}

// assemble is the whole of l.
func (s *scan) assemble(l link) Interface {
	i := Interface{Name: l.name, MAC: l.mac, MTU: min(l.mtu, maxMTU), Neighbours: s.neighbours[l.index]}
	var six []Address
	for _, a := range s.addresses[l.index] {
		brings := a.route()
		a.Bare = !slices.ContainsFunc(s.routes[l.index], brings.same) && brings.Destination.Bits < 8*len(a.IP)
		if len(a.IP) == 4 {
			i.Addresses = append(i.Addresses, a)
		} else { // the kernel puts the latest first
			six = append([]Address{a}, six...)
		}
	}
	i.Addresses = append(i.Addresses, six...)
	var via []Route
	for _, r := range s.routes[l.index] {
		switch {
		case slices.ContainsFunc(i.Addresses, func(a Address) bool { brings := a.route(); return brings.same(r) }):
		case r.Gateway == nil:
			i.Routes = append(i.Routes, r)
		default: // after those that tell where the gateway is
			via = append(via, r)
		}
	}
	i.Routes = append(i.Routes, via...)
	return i
}

// ipv6Metric is that of the routes that addresses of IPv6 bring.
const ipv6Metric = 256

// route is the route that an address brings.
func (a *Address) route() Route {
	of := a.IP
	if a.Peer != nil {
		of = a.Peer
	}
	r := Route{Destination: Prefix{slices.Clone(of), a.Bits}, Protocol: unix.RTPROT_KERNEL}
	for bit := a.Bits; bit < 8*len(of); bit++ {
		r.Destination.IP[bit/8] &^= 0x80 >> (bit % 8)
	}
	if len(of) == 4 {
		r.Scope = unix.RT_SCOPE_LINK
	} else {
		r.Metric = ipv6Metric
	}
	return r
}

// same tells whether the kernel made the route found because of an address that
// brings r.
func (r *Route) same(found Route) bool {
	return found.Protocol == unix.RTPROT_KERNEL && found.Gateway == nil && found.MTU == 0 && !found.Onlink && found.Metric == r.Metric &&
		found.Destination.Bits == r.Destination.Bits && bytes.Equal(found.Destination.IP, r.Destination.IP)
}

// address takes one of RTM_GETADDR's.
func (s *scan) address(b []byte) error {
	family, flags := b[0], uint32(b[2])
	a := Address{Prefix: Prefix{Bits: int(b[1])}, Scope: b[3]}
	var far IP
	netlink.Attributes(b[unix.SizeofIfAddrmsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFA_LOCAL:
			a.IP = slices.Clone(value)
		case unix.IFA_ADDRESS:
			far = slices.Clone(value)
		case unix.IFA_BROADCAST:
			a.Broadcast = slices.Clone(value)
		case unix.IFA_FLAGS:
			flags = netlink.Number(value)
		}
	})
	switch family {
	case unix.AF_INET:
	case unix.AF_INET6:
		if a.Scope == unix.RT_SCOPE_LINK || flags&(unix.IFA_F_DADFAILED|unix.IFA_F_TEMPORARY) != 0 {
			return nil
		}
		a.Scope = 0 // the kernel tells by the address
	default:
		return nil
	}
	switch {
	case a.IP == nil:
		a.IP = far
	case far != nil && !bytes.Equal(far, a.IP):
		a.Peer = far
	}
	if !a.valid() {
		return nil
	}
	index := int(native.Uint32(b[4:]))
	s.addresses[index] = append(s.addresses[index], a)
	return nil
}

// route takes one of RTM_GETROUTE's.
func (s *scan) route(b []byte) error {
	family, table, flags := b[0], uint32(b[4]), native.Uint32(b[8:])
	r := Route{Destination: Prefix{Bits: int(b[1])}, Protocol: b[5], Scope: b[6], Onlink: flags&unix.RTNH_F_ONLINK != 0}
	index, unable := 0, ""
	switch {
	case b[2] != 0:
		unable = "is for some sources only"
	case b[3] != 0:
		unable = "is for a type of service"
	}
	netlink.Attributes(b[unix.SizeofRtMsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.RTA_TABLE:
			table = netlink.Number(value)
		case unix.RTA_OIF:
			index = int(netlink.Number(value))
		case unix.RTA_DST:
			r.Destination.IP = slices.Clone(value)
		case unix.RTA_GATEWAY:
			r.Gateway = slices.Clone(value)
		case unix.RTA_VIA: // a family and its address
			r.Gateway = slices.Clone(value[min(2, len(value)):])
		case unix.RTA_PREFSRC:
			r.Source = slices.Clone(value)
		case unix.RTA_PRIORITY:
			r.Metric = netlink.Number(value)
		case unix.RTA_METRICS:
			netlink.Attributes(value, func(typ uint16, value []byte) {
				if typ == unix.RTAX_MTU {
					r.MTU = netlink.Number(value)
				}
			})
		case unix.RTA_MULTIPATH:
			unable = "has several next hops"
		case unix.RTA_ENCAP:
			unable = "is one into a tunnel"
		}
	})
	if r.Destination.IP == nil {
		r.Destination.IP = make(IP, map[byte]int{unix.AF_INET: 4, unix.AF_INET6: 16}[family])
	}
	if !r.Destination.valid() || table != unix.RT_TABLE_MAIN || b[7] != unix.RTN_UNICAST || flags&unix.RTM_F_CLONED != 0 {
		return nil
	}
	if family == unix.AF_INET6 && r.Protocol == unix.RTPROT_KERNEL && r.Destination.linkLocal() {
		return nil // every interface has it
	}
	if unable != "" {
		return fmt.Errorf("the route to %v cannot be given to a utility VM: it %s", r.Destination, unable)
	}
	s.routes[index] = append(s.routes[index], r)
	return nil
}

// linkLocal tells whether p is in fe80::/10.
func (p Prefix) linkLocal() bool { return p.Bits >= 10 && p.IP[0] == 0xfe && p.IP[1]&0xc0 == 0x80 }

// neighbour takes one of RTM_GETNEIGH's.
func (s *scan) neighbour(b []byte) error {
	if native.Uint16(b[8:])&unix.NUD_PERMANENT == 0 || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return nil
	}
	var n Neighbour
	netlink.Attributes(b[unix.SizeofNdMsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.NDA_DST:
			n.IP = slices.Clone(value)
		case unix.NDA_LLADDR:
			n.MAC = slices.Clone(value)
		}
	})
	index := int(native.Uint32(b[4:]))
	if n.IP.valid() && len(n.MAC) == macSize {
		s.neighbours[index] = append(s.neighbours[index], n)
	}
	return nil
}
