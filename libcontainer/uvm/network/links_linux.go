package network

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// conn asks in the network namespace of the thread that opened it.
type conn struct{ *netlink.Conn }

// open opens a conn that also hears of groups, RTMGRP_*.
func open(groups uint32) (*conn, error) {
	c, err := netlink.Open(groups)
	return &conn{c}, err
}

var native = binary.NativeEndian

// link is what there is to know of a network device.
type link struct {
	index  int
	name   string
	mac    MAC
	mtu    int
	flags  uint32 // IFF_*
	typ    uint16 // ARPHRD_*
	kind   string // of virtual devices, such as "veth"
	master uint32 // the bridge or bond that it is a port of
}

// links are all devices of the namespace, in the order of their numbers.
func (c *conn) links() ([]link, error) {
	bodies, err := c.Dump(netlink.New(unix.RTM_GETLINK, 0, make([]byte, unix.SizeofIfInfomsg)...))
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var all []link
	for _, b := range bodies {
		if l, ok := parseLink(b); ok {
			all = append(all, l)
		}
	}
	for i := 1; i < len(all); i++ { // the kernel's tables promise no order
		for j := i; j > 0 && all[j].index < all[j-1].index; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all, nil
}

func parseLink(b []byte) (l link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, false
	}
	l = link{typ: native.Uint16(b[2:]), index: int(native.Uint32(b[4:])), flags: native.Uint32(b[8:])}
	netlink.Attributes(b[unix.SizeofIfInfomsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = netlink.Text(value)
		case unix.IFLA_ADDRESS:
			l.mac = append(MAC(nil), value...)
		case unix.IFLA_MTU:
			l.mtu = int(netlink.Number(value))
		case unix.IFLA_MASTER:
			l.master = netlink.Number(value)
		case unix.IFLA_LINKINFO:
			netlink.Attributes(value, func(typ uint16, value []byte) {
				if typ == unix.IFLA_INFO_KIND {
					l.kind = netlink.Text(value)
				}
			})
		}
	})
	return l, true
}

// linkMessage begins a change of a device: of those flags that are in mask, and
// of the attributes that follow.
func linkMessage(index int, flags, mask uint32) netlink.Message {
	b := make([]byte, 4, unix.SizeofIfInfomsg)
	b = native.AppendUint32(b, uint32(index))
	b = native.AppendUint32(b, flags)
	return netlink.New(unix.RTM_NEWLINK, 0, native.AppendUint32(b, mask)...)
}

// find returns the device of that name.
func (c *conn) find(name string) (link, error) {
	all, err := c.links()
	if err != nil {
		return link{}, err
	}
	for _, l := range all {
		if l.name == name {
			return l, nil
		}
	}
	return link{}, fmt.Errorf("find network interface %s: %w", name, unix.ENODEV)
}
