package network

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// tapPrefix and the number of the network card name our taps.
const tapPrefix = "wrun"

func tapName(n int) string { return tapPrefix + strconv.Itoa(n) }

// ours tells whether a device is a tap of Tap's.
func ours(name, kind string) bool {
	if kind != "tun" || len(name) <= len(tapPrefix) || name[:len(tapPrefix)] != tapPrefix {
		return false
	}
	_, err := strconv.ParseUint(name[len(tapPrefix):], 10, 8)
	return err == nil
}

// Connect makes network card n of a VM, from 0, and joins i to it. The descriptor
// is for QEMU's -netdev tap,fd=.
func Connect(i Interface, n int) (fd int, err error) {
	fd, err = Tap(n)
	if err != nil {
		return -1, err
	}
	if err := Join(i, n); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Tap makes the tap of network card n of a VM in the thread's network namespace.
// It is down, and gone when the last copy of the descriptor is closed. A second
// VM in a namespace, which would take the first one's network, gets EBUSY.
func Tap(n int) (fd int, err error) {
	const device = "/dev/net/tun"
	fd, err = unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a tap: open %s: %w", device, err)
	}
	ifr, err := unix.NewIfreq(tapName(n))
	if err == nil {
		// Without IFF_VNET_HDR QEMU's network card could leave no checksums and no
		// segments of TCP to others.
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make tap %s: %w", tapName(n), err)
	}
	return fd, nil
}

// Join makes whatever arrives at interface i leave by the tap of card n, and the
// other way round. What a VM that was killed has left on i is replaced.
func Join(i Interface, n int) (err error) {
	c, err := open(0)
	if err != nil {
		return err
	}
	defer c.Close()
	outside, err := c.find(i.Name)
	if err != nil {
		return err
	}
	tap, err := c.find(tapName(n))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("join interface %s and tap %s: %w", i.Name, tap.name, err)
		}
	}()
	// The tap must not speak for itself: an address of IPv6 would make the
	// namespace's kernel solicit routers and neighbours in the VM.
	quiet := linkMessage(tap.index, 0, 0)
	quiet.Nest(unix.IFLA_AF_SPEC, func() {
		quiet.Nest(unix.AF_INET6, func() { quiet.Attr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{in6AddrGenModeNone}) })
	})
	if err := c.Do(quiet); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // no IPv6, no addresses
		return fmt.Errorf("turn its addresses off: %w", err)
	}
	if err := c.disconnect(outside.index); err != nil {
		return err
	}
	if err := c.redirect(tap.index, outside.index); err != nil {
		return err
	}
	if err := c.redirect(outside.index, tap.index); err != nil {
		return err
	}
	up := linkMessage(tap.index, unix.IFF_UP, unix.IFF_UP)
	up.Attr32(unix.IFLA_MTU, uint32(i.MTU))
	if err := c.Do(up); err != nil {
		_ = c.disconnect(outside.index)
		return fmt.Errorf("bring it up: %w", err)
	}
	return nil
}

// in6AddrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const in6AddrGenModeNone = 1

// Disconnect takes from i what Join has put there and what the end of the tap
// leaves: a filter that drops all that arrives, as its target is gone, and the
// ingress qdisc. The latter stays if it was there before, or others have put
// filters into it since. Any process in the namespace can do that, also when the
// VM and its monitor were killed. It is no error if there is nothing to do.
func Disconnect(i Interface) error {
	c, err := open(0)
	if err != nil {
		return err
	}
	defer c.Close()
	outside, err := c.find(i.Name)
	if err == nil {
		err = c.disconnect(outside.index)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("disconnect interface %s from its utility VM: %w", i.Name, err)
	}
	return nil
}

// What tc(8) says by names, from linux/pkt_sched.h, pkt_cls.h and tc_act/tc_mirred.h.
const (
	tcMessageSize = 20         // struct tcmsg
	tcIngress     = 0xfffffff1 // TC_H_INGRESS: the parent of the qdisc,
	tcHandle      = 0xffff0000 // what every ingress qdisc is called,
	tcFilters     = 0xfffffff2 // and the parent of its filters, of clsact's, too

	tcaU32Sel = 5
	tcaU32Act = 7

	tcaActKind     = 1
	tcaActOptions  = 2
	tcaMirredParms = 2

	tcU32Terminal  = 1
	tcActStolen    = 4
	tcaEgressRedir = 1
)

// Our filters are known by their preference, in which tc keeps filters apart. One
// of two: the filter remembers whether its qdisc is ours as well.
const (
	prefOwnQdisc   = 0x7772
	prefTheirQdisc = 0x7773
)

// protocol is ETH_P_ALL in the order of the network.
var protocol = uint32(native.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff}))

func tcMessage(typ, flags uint16, index int, handle, parent, info uint32) netlink.Message {
	b := make([]byte, 4, tcMessageSize)
	for _, v := range []uint32{uint32(index), handle, parent, info} {
		b = native.AppendUint32(b, v)
	}
	return netlink.New(typ, flags, b...)
}

// redirect makes all that arrives at device from leave by device to.
func (c *conn) redirect(from, to int) error {
	const once = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	pref := uint32(prefOwnQdisc)
	qdisc := tcMessage(unix.RTM_NEWQDISC, once, from, tcHandle, tcIngress, 0)
	qdisc.AttrString(unix.TCA_KIND, "ingress")
	switch err := c.Do(qdisc); {
	case errors.Is(err, unix.EEXIST):
		pref = prefTheirQdisc
	case err != nil:
		return fmt.Errorf("make the ingress qdisc: %w", err)
	}
	filter := tcMessage(unix.RTM_NEWTFILTER, once, from, 0, tcFilters, pref<<16|protocol)
	filter.AttrString(unix.TCA_KIND, "u32")
	filter.Nest(unix.TCA_OPTIONS, func() {
		// struct tc_u32_sel. It has no keys: one is compared only with a frame
		// that is long enough for it, and a shorter one would slip by.
		filter.Attr(tcaU32Sel, append([]byte{tcU32Terminal}, make([]byte, 15)...))
		filter.Nest(tcaU32Act, func() {
			filter.Nest(1, func() { // the first action
				filter.AttrString(tcaActKind, "mirred")
				filter.Nest(tcaActOptions, func() {
					var parms []byte // struct tc_mirred
					for _, v := range []uint32{0, 0, tcActStolen, 0, 0, tcaEgressRedir, uint32(to)} {
						parms = native.AppendUint32(parms, v)
					}
					filter.Attr(tcaMirredParms, parms)
				})
			})
		})
	})
	if err := c.Do(filter); err != nil {
		if pref == prefOwnQdisc {
			_ = c.deleteQdisc(from)
		}
		return fmt.Errorf("redirect what arrives: %w", err)
	}
	return nil
}

// disconnect removes our filter from a device, and the qdisc if it is ours and
// has nothing else in it.
func (c *conn) disconnect(index int) error {
	prefs, err := c.filters(index)
	if err != nil {
		return err
	}
	others, own := false, false
	for _, pref := range prefs {
		if pref != prefOwnQdisc && pref != prefTheirQdisc {
			others = true
			continue
		}
		own = own || pref == prefOwnQdisc
		m := tcMessage(unix.RTM_DELTFILTER, 0, index, 0, tcFilters, pref<<16|protocol)
		m.AttrString(unix.TCA_KIND, "u32")
		if err := c.Do(m); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the filter: %w", err)
		}
	}
	if own && !others {
		return c.deleteQdisc(index)
	}
	return nil
}

func (c *conn) deleteQdisc(index int) error {
	m := tcMessage(unix.RTM_DELQDISC, 0, index, tcHandle, tcIngress, 0)
	if err := c.Do(m); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the ingress qdisc: %w", err)
	}
	return nil
}

// filters returns the preferences of the filters at a device's ingress. Without
// an ingress qdisc there are none.
func (c *conn) filters(index int) ([]uint32, error) {
	bodies, err := c.Dump(tcMessage(unix.RTM_GETTFILTER, 0, index, 0, tcFilters, 0))
	if err != nil {
		return nil, fmt.Errorf("list the filters: %w", err)
	}
	var prefs []uint32
	for _, b := range bodies {
		if len(b) < tcMessageSize {
			continue
		}
		pref := native.Uint32(b[16:]) >> 16
		if len(prefs) == 0 || prefs[len(prefs)-1] != pref { // u32 has several entries
			prefs = append(prefs, pref)
		}
	}
	return prefs, nil
}
