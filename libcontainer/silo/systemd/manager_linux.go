package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	service = "org.freedesktop.systemd1"
	object  = "/org/freedesktop/systemd1"
	manager = service + ".Manager"
)

// patience bounds each wait for systemd. It answers in milliseconds, except
// when it reads all its units again.
const patience = 30 * time.Second

// Names of errors that systemd answers with.
const (
	noSuchUnit = service + ".NoSuchUnit"
	unitExists = service + ".UnitExists"
)

// ErrNotRunning says that there is no systemd to ask.
var ErrNotRunning = errors.New("systemd is not running here")

// Manager is a connection to the systemd of the machine.
type Manager struct {
	conn    *dbus.Conn
	object  dbus.BusObject
	removed chan *dbus.Signal
}

// Connect opens a connection: to systemd's own socket, which is root's alone,
// needs no message bus and has all signals.
func Connect(ctx context.Context) (*Manager, error) {
	const socket = "/run/systemd/private"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dbus.Dial("unix:path="+socket, dbus.WithContext(context.WithoutCancel(ctx)))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("connect to %s: %w", socket, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to systemd at %s: %w", socket, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if !stop() || err != nil {
		conn.Close()
		return nil, fmt.Errorf("introduce ourselves to systemd at %s: %w", socket, errors.Join(err, ctx.Err()))
	}
	m := &Manager{conn: conn, object: conn.Object(service, object), removed: make(chan *dbus.Signal, 64)}
	conn.Signal(m.removed)
	return m, nil
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
	var v dbus.Variant
	err := m.object.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, manager, "Version").Store(&v)
	if err != nil {
		return 0, fmt.Errorf("ask systemd for its version: %w", err)
	}
	text, _ := v.Value().(string)
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
	if err != nil {
		return fmt.Errorf("have systemd start %s: %w", unit, err)
	}
	return nil
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
