package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"wrun/libcontainer/netlink"
)

// Device is one that Move has moved.
type Device struct {
	name, inside string // here and there
	namespace    int
	home         int // descriptor of the namespace it came from
	up           bool
	addresses    []netlink.Message
}

// Move takes the device name of this thread's network namespace to namespace,
// a descriptor, and calls it rename there ("" keeps the name). It arrives with
// its MTU, its hardware address and its addresses of global scope, and up, as
// with runc. The kernel takes the addresses away from a device that moves. After
// an error it is where it was; else Close or Return is to be called.
func Move(namespace int, name, rename string) (_ *Device, err error) {
	if rename == "" {
		rename = name
	}
	here, err := open()
	if err != nil {
		return nil, err
	}
	defer here.Close()
	d := &Device{name: name, inside: rename, namespace: namespace}
	index, flags, err := here.find(name)
	if err != nil {
		return nil, fmt.Errorf("find network device %s: %w", name, err)
	}
	d.up = flags&unix.IFF_UP != 0
	if d.addresses, err = here.addresses(index); err != nil {
		return nil, fmt.Errorf("read the addresses of network device %s: %w", name, err)
	}
	if d.home, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open the network namespace of device %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Return())
		}
	}()
	// A device that is up cannot be renamed.
	if err := here.set(index, unix.IFF_UP, 0); err != nil {
		return nil, fmt.Errorf("take network device %s down: %w", name, err)
	}
	if err := here.move(index, namespace, rename); err != nil {
		return nil, fmt.Errorf("move network device %s to the container as %s: %w", name, rename, err)
	}
	err = inside(namespace, func() error {
		there, err := open()
		if err != nil {
			return err
		}
		defer there.Close()
		index, _, err := there.find(rename)
		if err != nil {
			return fmt.Errorf("find network device %s in the container: %w", rename, err)
		}
		return there.restore(index, rename, d.addresses, true)
	})
	return d, err
}

// Close has the device stay where it is.
func (d *Device) Close() { unix.Close(d.home) }

// Return puts the device back where it was, and as it was. The kernel moves a
// device also where it cannot give it its new name, so it may be there under
// either.
func (d *Device) Return() error {
	defer d.Close()
	err := inside(d.namespace, func() error {
		there, err := open()
		if err != nil {
			return err
		}
		defer there.Close()
		for _, name := range []string{d.inside, d.name} {
			index, _, err := there.find(name)
			if err != nil || name == "lo" {
				continue // it is here still, or never left
			}
			if err := errors.Join(there.set(index, unix.IFF_UP, 0), there.move(index, d.home, d.name)); err != nil {
				return fmt.Errorf("take network device %s back from the container: %w", name, err)
			}
			return nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	return inside(d.home, func() error {
		here, err := open()
		if err != nil {
			return err
		}
		defer here.Close()
		index, _, err := here.find(d.name)
		if err != nil {
			return fmt.Errorf("find network device %s again: %w", d.name, err)
		}
		return here.restore(index, d.name, d.addresses, d.up)
	})
}

// restore gives a device what it had before it was taken down and moved.
func (s *socket) restore(index int32, name string, addresses []netlink.Message, up bool) error {
	for _, a := range addresses {
		if err := s.add(index, a); err != nil {
			return fmt.Errorf("give network device %s its addresses back: %w", name, err)
		}
	}
	if !up {
		return nil
	}
	if err := s.set(index, unix.IFF_UP, unix.IFF_UP); err != nil {
		return fmt.Errorf("bring network device %s up: %w", name, err)
	}
	return nil
}

// inside does something in a network namespace, in a thread that ends with it.
func inside(namespace int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("join a network namespace: %w", err)
			return
		}
		done <- do()
	}()
	return <-done
}

var native = binary.NativeEndian

// socket asks in the network namespace of the thread that opened it.
type socket struct{ *netlink.Conn }

func open() (*socket, error) {
	c, err := netlink.Open(0)
	return &socket{c}, err
}

// link is a struct ifinfomsg.
func link(index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint32(b[4:], uint32(index))
	native.PutUint32(b[8:], flags)
	native.PutUint32(b[12:], change)
	return b
}

func (s *socket) find(name string) (index int32, flags uint32, err error) {
	m := netlink.New(unix.RTM_GETLINK, 0, link(0, 0, 0)...)
	m.AttrString(unix.IFLA_IFNAME, name)
	bodies, _, err := s.Ask(m, unix.NLM_F_ACK)
	if err == nil && (len(bodies) != 1 || len(bodies[0]) < unix.SizeofIfInfomsg) {
		err = netlink.ErrBroken
	}
	if err != nil {
		return 0, 0, err
	}
	return int32(native.Uint32(bodies[0][4:])), native.Uint32(bodies[0][8:]), nil
}

func (s *socket) set(index int32, change, flags uint32) error {
	return s.Do(netlink.New(unix.RTM_NEWLINK, 0, link(index, flags, change)...))
}

func (s *socket) move(index int32, namespace int, name string) error {
	m := netlink.New(unix.RTM_NEWLINK, 0, link(index, 0, 0)...)
	m.Attr32(unix.IFLA_NET_NS_FD, uint32(namespace))
	m.AttrString(unix.IFLA_IFNAME, name)
	return s.Do(m)
}

// addresses are those of global scope that somebody has set, as messages that set
// them: what the kernel or a router gave comes again where the device is then.
func (s *socket) addresses(index int32) (list []netlink.Message, err error) {
	all, err := s.Dump(netlink.New(unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg)...))
	for _, b := range all {
		if len(b) < unix.SizeofIfAddrmsg || int32(native.Uint32(b[4:])) != index || b[3] != unix.RT_SCOPE_UNIVERSE || b[2]&unix.IFA_F_PERMANENT == 0 {
			continue
		}
		header := append([]byte(nil), b[:unix.SizeofIfAddrmsg]...)
		header[2] = 0 // flags: the kernel finds its own
		if header[0] == unix.AF_INET6 {
			header[2] = unix.IFA_F_NODAD // it was unique before
		}
		m := netlink.New(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header...)
		netlink.Attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
			switch kind {
			case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST:
				m.Attr(kind, value)
			}
		})
		list = append(list, m)
	}
	return list, err
}

// add gives an address to the device that it had under another index.
func (s *socket) add(index int32, m netlink.Message) error {
	native.PutUint32(m[unix.SizeofNlMsghdr+4:], uint32(index))
	if err := s.Do(m); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
