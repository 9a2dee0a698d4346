package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"wrun/libcontainer/silo/cgroup"
)

// private is systemd's own socket in its runtime directory: it needs no message
// bus and has all signals.
const private = "/systemd/private"

// Machine is the address of the machine's systemd, which is root's alone.
const Machine = "unix:path=/run" + private

// ConnectUser connects to a user's systemd: at its own socket, or, where that is
// not to be seen, by the user's message bus. getenv reads the user's
// environment. Without one it is cgroup.ErrNoSystemd.
func (c Client) ConnectUser(ctx context.Context, getenv func(string) string) (cgroup.Manager, error) {
	var failed error
	for _, address := range userAddresses(getenv) {
		m, err := c.Connect(ctx, address)
		if err == nil {
			return m, nil
		}
		failed = errors.Join(failed, err)
		if !errors.Is(err, cgroup.ErrNoSystemd) {
			break
		}
	}
	if failed == nil {
		failed = fmt.Errorf("neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS tells of the user's: %w", cgroup.ErrNoSystemd)
	}
	return nil, failed
}

func userAddresses(getenv func(string) string) []string {
	var all []string
	dir, bus := getenv("XDG_RUNTIME_DIR"), getenv("DBUS_SESSION_BUS_ADDRESS")
	if dir != "" {
		all = append(all, "unix:path="+dbus.EscapeBusAddressValue(dir+private))
		if bus == "" {
			bus = "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus")
		}
	}
	for address := range strings.SplitSeq(bus, ";") {
		if address != "" {
			all = append(all, address)
		}
	}
	return all
}

// Connect opens a connection to the systemd at a D-Bus address, "" for the
// machine's.
func (Client) Connect(ctx context.Context, address string) (cgroup.Manager, error) {
	if address == "" {
		address = Machine
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := dial(address)
	for _, absent := range [...]unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.ECONNREFUSED, unix.EACCES, unix.EAFNOSUPPORT} {
		if errors.Is(err, absent) {
			return nil, fmt.Errorf("connect to %s: %w: %w", address, err, cgroup.ErrNoSystemd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to systemd at %s: %w", address, err)
	}
	conn, err := dbus.NewConn(s, dbus.WithContext(context.WithoutCancel(ctx)))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("connect to systemd at %s: %w", address, err)
	}
	m := &manager{address: address, conn: conn, object: conn.Object(service, object), removed: make(chan *dbus.Signal, 64)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = m.greet()
	if !stop() || err != nil {
		conn.Close()
		return nil, fmt.Errorf("introduce ourselves to systemd at %s: %w", address, errors.Join(err, ctx.Err()))
	}
	return m, nil
}

// greet says who calls, and has the ends of jobs told to us.
func (m *manager) greet() error {
	// No name: the other side knows the caller from the socket, and a root of a
	// user namespace does not know its number outside.
	if err := m.conn.Auth([]dbus.Auth{dbus.AuthExternal("")}); err != nil {
		return err
	}
	m.conn.Signal(m.removed)
	if strings.HasSuffix(m.address, private) {
		return nil
	}
	if err := m.conn.Hello(); err != nil {
		return err
	}
	if err := m.conn.AddMatchSignal(dbus.WithMatchInterface(managed), dbus.WithMatchMember("JobRemoved")); err != nil {
		return err
	}
	// Not started by the bus: it would be no manager of anything.
	err := m.object.Call(managed+".Subscribe", dbus.FlagNoAutoStart).Err
	if is(err, noService) || is(err, noOwner) {
		return fmt.Errorf("%w: %w", err, cgroup.ErrNoSystemd)
	}
	return err
}
