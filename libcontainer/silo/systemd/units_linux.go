package systemd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"wrun/libcontainer/silo/cgroup"
)

const (
	service = "org.freedesktop.systemd1"
	object  = "/org/freedesktop/systemd1"
	managed = service + ".Manager"
)

// patience bounds each wait for systemd. It answers in milliseconds, except
// when it reads all its units again.
const patience = 30 * time.Second

// Names of errors that systemd and the message bus answer with.
const (
	noSuchUnit = service + ".NoSuchUnit"
	unitExists = service + ".UnitExists"
	noService  = "org.freedesktop.DBus.Error.ServiceUnknown"
	noOwner    = "org.freedesktop.DBus.Error.NameHasNoOwner"
)

// manager is a connection to a systemd: the machine's or a user's.
type manager struct {
	address string
	conn    *dbus.Conn
	object  dbus.BusObject
	removed chan *dbus.Signal
}

func (m *manager) Address() string { return m.address }
func (m *manager) Close()          { m.conn.Close() }

func (m *manager) call(ctx context.Context, method string, args ...any) *dbus.Call {
	return m.object.CallWithContext(ctx, managed+"."+method, 0, args...)
}

// Version is systemd's: 252 of "252.39-1~deb12u2".
func (m *manager) Version(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text string
	if err := m.property(ctx, object, "Manager", "Version", &text); err != nil {
		return 0, fmt.Errorf("ask systemd for its version: %w", err)
	}
	digits := strings.TrimPrefix(text, "v")
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("systemd's version %q begins with no number", text)
	}
	return n, nil
}

// Start makes a transient scope and returns once it is there, with all that
// systemd makes for it. The processes of its property PIDs are moved into it.
func (m *manager) Start(ctx context.Context, unit string, properties []cgroup.Property) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	worded := wordAll(properties)
	start := func() error {
		return m.job(ctx, "StartTransientUnit", unit, "fail", worded, []struct {
			Name       string
			Properties []property
		}{})
	}
	err := start()
	if is(err, unitExists) {
		// What is left of one that failed is no container's.
		if m.reset(ctx, unit) == nil {
			err = start()
		}
	}
	if is(err, unitExists) {
		err = fmt.Errorf("%w: %w", cgroup.ErrUnitExists, err)
	}
	if err != nil {
		return fmt.Errorf("have systemd start %s: %w", unit, err)
	}
	return nil
}

// Find looks for a scope; nil is none.
func (m *manager) Find(ctx context.Context, unit string) (*cgroup.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := &cgroup.Unit{}
	var path dbus.ObjectPath
	var id []byte
	err := m.call(ctx, "GetUnit", unit).Store(&path)
	if err == nil {
		err = m.property(ctx, path, "Unit", "InvocationID", &id)
	}
	if err == nil {
		err = m.property(ctx, path, "Scope", "ControlGroup", &u.Group)
	}
	if is(err, noSuchUnit) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask systemd for %s: %w", unit, err)
	}
	u.Invocation = hex.EncodeToString(id)
	return u, nil
}

// Group is the cgroup that all of this systemd's units are below, as it sees the
// hierarchy: "/user.slice/user-1000.slice/user@1000.service" of a user's.
func (m *manager) Group(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var group string
	if err := m.property(ctx, object, "Manager", "ControlGroup", &group); err != nil {
		return "", fmt.Errorf("ask systemd for its cgroup: %w", err)
	}
	return group, nil
}

// property reads one of an object's properties, of one of systemd's interfaces.
func (m *manager) property(ctx context.Context, of dbus.ObjectPath, kind, name string, value any) error {
	var v dbus.Variant
	err := m.conn.Object(service, of).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, service+"."+kind, name).Store(&v)
	if err != nil {
		return err
	}
	return v.Store(value)
}

// Set changes properties of a living unit, until it ends.
func (m *manager) Set(ctx context.Context, unit string, properties []cgroup.Property) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.call(ctx, "SetUnitProperties", unit, true, wordAll(properties)).Err; err != nil {
		return fmt.Errorf("have systemd change %s: %w", unit, err)
	}
	return nil
}

// Stop ends the unit and has systemd forget it; one that is not there is no error.
func (m *manager) Stop(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := m.job(ctx, "StopUnit", unit, "replace")
	if err == nil || is(err, noSuchUnit) {
		err = m.reset(ctx, unit)
	}
	if err != nil && !is(err, noSuchUnit) {
		return fmt.Errorf("have systemd stop %s: %w", unit, err)
	}
	return nil
}

// reset has systemd forget that the unit failed; a unit that did not is gone
// already.
func (m *manager) reset(ctx context.Context, unit string) error {
	return m.call(ctx, "ResetFailedUnit", unit).Err
}

// job calls a method that makes a job, and waits for the job's end.
func (m *manager) job(ctx context.Context, method string, args ...any) error {
	var path dbus.ObjectPath
	if err := m.call(ctx, method, args...).Store(&path); err != nil {
		return err
	}
	for {
		select {
		case s, open := <-m.removed:
			if !open {
				return fmt.Errorf("systemd closed the connection before %s was done", method)
			}
			// JobRemoved(u id, o job, s unit, s result)
			if s.Name != managed+".JobRemoved" || len(s.Body) != 4 || s.Body[1] != path {
				continue
			}
			if s.Body[3] != "done" {
				return fmt.Errorf("%s ended with %q", method, s.Body[3])
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", method, ctx.Err())
		}
	}
}

func is(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
