package network

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// carrierWait bounds the wait for the cards' links. QEMU's are always there, but
// the driver takes its time to say so.
const carrierWait = time.Second

// Configure makes the network cards of the thread's network namespace what list
// says. It belongs into a VM that has just started, before anything uses them.
func Configure(list []Interface) error {
	if err := Validate(list); err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	c, err := open(0)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := c.links()
	if err != nil {
		return err
	}
	cards, err := match(list, links)
	if err != nil {
		return err
	}
	if err := c.rename(list, cards, links); err != nil {
		return err
	}
	if err := c.bringUp(list, cards); err != nil {
		return err
	}
	// A route's source may be an address of another interface.
	for n, i := range list {
		for _, a := range i.Addresses {
			if err := c.Do(addressMessage(cards[n].index, a)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("give interface %s address %v: %w", i.Name, a.Prefix, err)
			}
		}
	}
	for n, i := range list {
		for _, r := range i.Routes {
			if err := c.Do(routeMessage(cards[n].index, r)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("give interface %s a route to %v: %w", i.Name, r.Destination, err)
			}
		}
		for _, b := range i.Neighbours {
			if err := c.Do(neighbourMessage(cards[n].index, b)); err != nil {
				return fmt.Errorf("give interface %s neighbour %v: %w", i.Name, b.IP, err)
			}
		}
	}
	return nil
}

// match finds the card of each interface: by DeviceMAC, by the interface's own
// address, or as the next one that is left. A kernel may have made devices of its
// own that are no cards; they come last.
func match(list []Interface, links []link) ([]link, error) {
	var free []link
	for _, virtual := range []bool{false, true} {
		for _, l := range links {
			if l.typ == unix.ARPHRD_ETHER && l.flags&unix.IFF_LOOPBACK == 0 && virtual == (l.kind != "") {
				free = append(free, l)
			}
		}
	}
	cards := make([]link, len(list))
	take := func(n int, fits func(link) bool) {
		for k, l := range free {
			if cards[n].index == 0 && fits(l) {
				cards[n] = l
				free = append(free[:k:k], free[k+1:]...)
				return
			}
		}
	}
	for n := range list {
		take(n, func(l link) bool { return bytes.Equal(l.mac, DeviceMAC(n)) })
	}
	for n := range list {
		take(n, func(l link) bool { return bytes.Equal(l.mac, list[n].MAC) })
	}
	for n := range list {
		take(n, func(link) bool { return true })
		if cards[n].index == 0 {
			return nil, fmt.Errorf("find a network card for interface %s, number %d of %d: %w", list[n].Name, n+1, len(list), unix.ENODEV)
		}
	}
	return cards, nil
}

// rename gives the cards their names. Whoever else has one of them goes by one of
// ours: another card, until it gets its own, or one that is not needed.
func (c *conn) rename(list []Interface, cards, links []link) error {
	for _, l := range links {
		for n := range cards {
			if list[n].Name != l.name || cards[n].index == l.index {
				continue
			}
			if err := c.name(l, tapPrefix+"-"+strconv.Itoa(l.index)); err != nil {
				return err
			}
		}
	}
	for n, l := range cards {
		if l.name == list[n].Name {
			continue
		}
		if err := c.name(l, list[n].Name); err != nil {
			return err
		}
	}
	return nil
}

// name renames a device, which has to be down for that.
func (c *conn) name(l link, to string) error {
	var err error
	if l.flags&unix.IFF_UP != 0 {
		err = c.Do(linkMessage(l.index, 0, unix.IFF_UP))
	}
	if err == nil {
		m := linkMessage(l.index, 0, 0)
		m.AttrString(unix.IFLA_IFNAME, to)
		err = c.Do(m)
	}
	if err != nil {
		return fmt.Errorf("rename interface %s to %s: %w", l.name, to, err)
	}
	return nil
}

// bringUp turns the cards on and waits, though not for ever, until they carry:
// what is sent before is lost, and sent again only after a second. Without a
// carrier the network is like a real one without.
func (c *conn) bringUp(list []Interface, cards []link) error {
	events, err := open(unix.RTMGRP_LINK)
	if err != nil {
		return err
	}
	defer events.Close()
	for n, i := range list {
		m := linkMessage(cards[n].index, unix.IFF_UP, unix.IFF_UP)
		m.Attr32(unix.IFLA_MTU, uint32(i.MTU))
		if !bytes.Equal(cards[n].mac, i.MAC) { // not every device can have another
			m.Attr(unix.IFLA_ADDRESS, i.MAC)
		}
		if err := c.Do(m); err != nil {
			return fmt.Errorf("bring up interface %s with hardware address %v and an MTU of %d: %w", i.Name, i.MAC, i.MTU, err)
		}
	}
	for end := time.Now().Add(carrierWait); ; {
		links, err := c.links()
		if err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 || carrying(links, cards) {
			return nil
		}
		if err := events.Patience(max(left, time.Millisecond)); err != nil { // 0 would be for ever
			return fmt.Errorf("wait for the carrier of %s: %w", list[0].Name, err)
		}
		// Too many events for the buffer are as good as one.
		if _, err := events.Receive(); err != nil && err != unix.EAGAIN && err != unix.ENOBUFS && !errors.Is(err, netlink.ErrBroken) {
			return fmt.Errorf("wait for the carrier of %s: %w", list[0].Name, err)
		}
	}
}

// carrying tells whether all the cards have a carrier. IFF_RUNNING would not do:
// it is there before the kernel has looked, and then up to a second late.
func carrying(links, cards []link) bool {
	for _, card := range cards {
		for _, l := range links {
			if l.index == card.index && l.flags&unix.IFF_LOWER_UP == 0 {
				return false
			}
		}
	}
	return true
}

func family(ip IP) byte {
	if len(ip) == 4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func addressMessage(index int, a Address) netlink.Message {
	// Nobody else can have the address: it is the namespace's. Without IFA_F_NODAD
	// one of IPv6 could not be used for the first second.
	flags := uint32(unix.IFA_F_NODAD | unix.IFA_F_PERMANENT)
	if a.Bare {
		flags |= unix.IFA_F_NOPREFIXROUTE
	}
	fixed := native.AppendUint32([]byte{family(a.IP), byte(a.Bits), 0, a.Scope}, uint32(index))
	m := netlink.New(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, fixed...)
	m.Attr(unix.IFA_LOCAL, a.IP)
	far := a.IP
	if a.Peer != nil {
		far = a.Peer
	}
	m.Attr(unix.IFA_ADDRESS, far)
	m.Attr32(unix.IFA_FLAGS, flags)
	if a.Broadcast != nil {
		m.Attr(unix.IFA_BROADCAST, a.Broadcast)
	}
	return m
}

func routeMessage(index int, r Route) netlink.Message {
	fixed := []byte{family(r.Destination.IP), byte(r.Destination.Bits), 0, 0, unix.RT_TABLE_MAIN, r.Protocol, r.Scope, unix.RTN_UNICAST}
	flags := uint32(0)
	if r.Onlink {
		flags = unix.RTNH_F_ONLINK
	}
	// Routes that differ in nothing but their gateway may stand side by side.
	m := netlink.New(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, native.AppendUint32(fixed, flags)...)
	m.Attr32(unix.RTA_OIF, uint32(index))
	if r.Destination.Bits > 0 {
		m.Attr(unix.RTA_DST, r.Destination.IP)
	}
	switch {
	case r.Gateway == nil:
	case len(r.Gateway) == len(r.Destination.IP):
		m.Attr(unix.RTA_GATEWAY, r.Gateway)
	default:
		m.Attr(unix.RTA_VIA, append(native.AppendUint16(nil, uint16(family(r.Gateway))), r.Gateway...))
	}
	if r.Source != nil {
		m.Attr(unix.RTA_PREFSRC, r.Source)
	}
	if r.Metric != 0 {
		m.Attr32(unix.RTA_PRIORITY, r.Metric)
	}
	if r.MTU != 0 {
		m.Nest(unix.RTA_METRICS, func() { m.Attr32(unix.RTAX_MTU, r.MTU) })
	}
	return m
}

func neighbourMessage(index int, n Neighbour) netlink.Message {
	fixed := []byte{family(n.IP), 0, 0, 0}
	fixed = native.AppendUint32(fixed, uint32(index))
	fixed = native.AppendUint16(fixed, unix.NUD_PERMANENT)
	m := netlink.New(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, append(fixed, 0, 0)...)
	m.Attr(unix.NDA_DST, n.IP)
	m.Attr(unix.NDA_LLADDR, n.MAC)
	return m
}
