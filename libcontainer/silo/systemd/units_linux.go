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
)

const (
	service = "org.freedesktop.systemd1"
	object  = "/org/freedesktop/systemd1"
	manager = service + ".Manager"
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

var (
	// ErrNotRunning says that there is no systemd to ask.
	ErrNotRunning = errors.New("systemd is not running here")
	// ErrExists says that the unit is there already, and somebody else's.
	ErrExists = errors.New("the unit exists")
)

// Manager is a connection to a systemd: the machine's or a user's.
type Manager struct {
	Address string // for Connect
	conn    *dbus.Conn
	object  dbus.BusObject
	removed chan *dbus.Signal
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

func (m *Manager) call(ctx context.Context, method string, args ...any) *dbus.Call {
	return m.object.CallWithContext(ctx, manager+"."+method, 0, args...)
}

// Version is systemd's: 252 of "252.39-1~deb12u2".
func (m *Manager) Version(ctx context.Context) (int, error) {
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
func (m *Manager) Start(ctx context.Context, unit string, properties []Property) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := func() error {
		return m.job(ctx, "StartTransientUnit", unit, "fail", properties, []struct {
			Name       string
			Properties []Property
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
		err = fmt.Errorf("%w: %w", ErrExists, err)
	}
	if err != nil {
		return fmt.Errorf("have systemd start %s: %w", unit, err)
	}
	return nil
}

// Unit is what tells a unit that runs from another one of its name.
type Unit struct {
	Invocation string // of this run of it, 32 digits; "" when it does not run
	Group      string // its cgroup, as systemd sees the hierarchy; "" for none
}

// Find looks for a scope; nil is none.
func (m *Manager) Find(ctx context.Context, unit string) (*Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := &Unit{}
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
func (m *Manager) Group(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var group string
	if err := m.property(ctx, object, "Manager", "ControlGroup", &group); err != nil {
		return "", fmt.Errorf("ask systemd for its cgroup: %w", err)
	}
	return group, nil
}

// property reads one of an object's properties, of one of systemd's interfaces.
func (m *Manager) property(ctx context.Context, of dbus.ObjectPath, kind, name string, value any) error {
	var v dbus.Variant
	err := m.conn.Object(service, of).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, service+"."+kind, name).Store(&v)
	if err != nil {
		return err
	}
	return v.Store(value)
}

// Set changes properties of a living unit, until it ends.
func (m *Manager) Set(ctx context.Context, unit string, properties []Property) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.call(ctx, "SetUnitProperties", unit, true, properties).Err; err != nil {
		return fmt.Errorf("have systemd change %s: %w", unit, err)
	}
	return nil
}

// Stop ends the unit and has systemd forget it; one that is not there is no error.
func (m *Manager) Stop(ctx context.Context, unit string) error {
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
func (m *Manager) reset(ctx context.Context, unit string) error {
	return m.call(ctx, "ResetFailedUnit", unit).Err
}

// job calls a method that makes a job, and waits for the job's end.
func (m *Manager) job(ctx context.Context, method string, args ...any) error {
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
			if s.Name != manager+".JobRemoved" || len(s.Body) != 4 || s.Body[1] != path {
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
