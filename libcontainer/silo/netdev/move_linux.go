package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Move takes the device name of this thread's network namespace to namespace,
// a descriptor, and calls it rename there ("" keeps the name). It arrives with
// its MTU, its hardware address and its addresses of global scope, and up, as
// with runc. The kernel takes the addresses away from a device that moves.
func Move(namespace int, name, rename string) error {
	if rename == "" {
		rename = name
	}
	here, err := open()
	if err != nil {
		return err
	}
	defer here.close()
	index, err := here.index(name)
	if err != nil {
		return fmt.Errorf("find network device %s: %w", name, err)
	}
	addresses, err := here.addresses(index)
	if err != nil {
		return fmt.Errorf("read the addresses of network device %s: %w", name, err)
	}
	// A device that is up cannot be renamed.
	if err := here.set(index, unix.IFF_UP, 0); err != nil {
		return fmt.Errorf("take network device %s down: %w", name, err)
	}
	if err := here.move(index, namespace, rename); err != nil {
		return fmt.Errorf("move network device %s to the container as %s: %w", name, rename, err)
	}
	return inside(namespace, func() error {
		there, err := open()
		if err != nil {
			return err
		}
		defer there.close()
		if index, err = there.index(rename); err != nil {
			return fmt.Errorf("find network device %s in the container: %w", rename, err)
		}
		for _, a := range addresses {
			if err := there.add(index, a); err != nil {
				return fmt.Errorf("give network device %s its addresses back: %w", rename, err)
			}
		}
		if err := there.set(index, unix.IFF_UP, unix.IFF_UP); err != nil {
			return fmt.Errorf("bring network device %s up: %w", rename, err)
		}
		return nil
	})
}

// inside does something in a network namespace, in a thread that ends with it.
func inside(namespace int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("join the container's network namespace: %w", err)
			return
		}
		done <- do()
	}()
	return <-done
}

var native = binary.NativeEndian

// socket speaks rtnetlink(7) in the namespace of the thread that opened it.
type socket struct {
	fd  int
	buf []byte
}

func open() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// The kernel answers while it is asked; nothing is to wait for it for ever.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up a netlink socket: %w", err)
	}
	return &socket{fd, make([]byte, 64<<10)}, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// request sends one message and gives the bodies of the answers to each.
func (s *socket) request(kind, flags uint16, body []byte, each func(body []byte)) error {
	m := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	m = append(m, body...)
	native.PutUint32(m, uint32(len(m)))
	native.PutUint16(m[4:], kind)
	native.PutUint16(m[6:], flags|unix.NLM_F_REQUEST)
	if err := unix.Sendto(s.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for b := s.buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(native.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return errors.New("the kernel's answer is cut off")
			}
			body := b[unix.SizeofNlMsghdr:size]
			switch native.Uint16(b[4:]) {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if len(body) >= 4 {
					if code := int32(native.Uint32(body)); code != 0 {
						return unix.Errno(-code)
					}
				}
				return nil
			}
			if each != nil {
				each(body)
			}
			if flags&(unix.NLM_F_DUMP|unix.NLM_F_ACK) == 0 {
				return nil
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// link is a struct ifinfomsg.
func link(index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint32(b[4:], uint32(index))
	native.PutUint32(b[8:], flags)
	native.PutUint32(b[12:], change)
	return b
}

func attribute(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func text(s string) []byte { return append([]byte(s), 0) }

func (s *socket) index(name string) (index int32, err error) {
	body := attribute(link(0, 0, 0), unix.IFLA_IFNAME, text(name))
	err = s.request(unix.RTM_GETLINK, 0, body, func(b []byte) { index = int32(native.Uint32(b[4:])) })
	return index, err
}

func (s *socket) set(index int32, change, flags uint32) error {
	return s.request(unix.RTM_NEWLINK, unix.NLM_F_ACK, link(index, flags, change), nil)
}

func (s *socket) move(index int32, namespace int, name string) error {
	body := attribute(link(index, 0, 0), unix.IFLA_NET_NS_FD, native.AppendUint32(nil, uint32(namespace)))
	return s.request(unix.RTM_NEWLINK, unix.NLM_F_ACK, attribute(body, unix.IFLA_IFNAME, text(name)), nil)
}

// address is one of a device's, as the kernel describes it.
type address struct {
	header [unix.SizeofIfAddrmsg]byte
	attrs  []byte
}

// addresses are those of global scope that somebody has set: what the kernel or
// a router gave comes again where the device is then.
func (s *socket) addresses(index int32) (list []address, err error) {
	err = s.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg), func(b []byte) {
		if len(b) < unix.SizeofIfAddrmsg || int32(native.Uint32(b[4:])) != index || b[3] != unix.RT_SCOPE_UNIVERSE || b[2]&unix.IFA_F_PERMANENT == 0 {
			return
		}
		var a address
		copy(a.header[:], b)
		for rest := b[unix.SizeofIfAddrmsg:]; len(rest) >= unix.SizeofRtAttr; {
			n := int(native.Uint16(rest))
			if n < unix.SizeofRtAttr || n > len(rest) {
				break
			}
			switch kind := native.Uint16(rest[2:]); kind {
			case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST:
				a.attrs = attribute(a.attrs, kind, rest[unix.SizeofRtAttr:n])
			}
			rest = rest[min((n+3)&^3, len(rest)):]
		}
		list = append(list, a)
	})
	return list, err
}

func (s *socket) add(index int32, a address) error {
	native.PutUint32(a.header[4:], uint32(index))
	a.header[2] = 0 // flags: the kernel finds its own
	if a.header[0] == unix.AF_INET6 {
		a.header[2] = unix.IFA_F_NODAD // it was unique before
	}
	err := s.request(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, append(a.header[:], a.attrs...), nil)
	if err == unix.EEXIST {
		return nil
	}
	return err
}
