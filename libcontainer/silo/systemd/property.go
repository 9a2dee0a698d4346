package systemd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"wrun/libcontainer/silo/cgroup"
)

// Client is the way to systemd.
type Client struct{}

// property is a property of a unit, with the type that D-Bus is to send.
type property = struct {
	Name  string
	Value dbus.Variant
}

// wordAll gives the properties the types that systemd expects.
func wordAll(list []cgroup.Property) []property {
	all := make([]property, len(list))
	for i, p := range list {
		all[i] = property{p.Name, word(p.Value)}
	}
	return all
}

func word(value any) dbus.Variant {
	switch v := value.(type) {
	case dbus.Variant:
		return v
	case [][2]string:
		type device struct{ Path, Access string }
		pairs := make([]device, len(v))
		for i, d := range v {
			pairs[i] = device{d[0], d[1]}
		}
		value = pairs
	}
	return dbus.MakeVariant(value)
}

// annotation is what annotations that set properties begin with.
const annotation = "org.systemd.property."

// Annotated are the properties that a bundle's annotations set, in GVariant's
// text, as the engines word them: org.systemd.property.TimeoutStopUSec: 'uint64 10'.
// A name that ends with Sec is given in seconds.
func (Client) Annotated(annotations map[string]string) ([]cgroup.Property, error) {
	var all []cgroup.Property
	for key, text := range annotations {
		name, ours := strings.CutPrefix(key, annotation)
		if !ours {
			continue
		}
		if !letters(name) {
			return nil, fmt.Errorf("annotation %s: %q is no name of a systemd property", key, name)
		}
		value, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s=%s: %w", key, text, err)
		}
		if base, seconds := strings.CutSuffix(name, "Sec"); seconds && !strings.HasSuffix(name, "USec") {
			if name, value = base+"USec", micro(value); value.Value() == nil {
				return nil, fmt.Errorf("annotation %s=%s is no number of seconds", key, text)
			}
		}
		all = append(all, cgroup.Property{Name: name, Value: value})
	}
	slices.SortFunc(all, func(a, b cgroup.Property) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// parse reads GVariant's text. godbus panics at some, "@a{sv} []" for one, and a
// bundle is nobody's to trust.
func parse(text string) (v dbus.Variant, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("it is no value that can be read: %v", failed)
		}
	}()
	return dbus.ParseVariant(text, dbus.Signature{})
}

// letters: an upper-case letter first, and at least three in all.
func letters(s string) bool {
	for i, c := range s {
		if (c < 'a' || c > 'z' || i == 0) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) >= 3
}

func micro(v dbus.Variant) dbus.Variant {
	switch n := v.Value().(type) {
	case uint64:
		return dbus.MakeVariant(n * 1e6)
	case uint32:
		return dbus.MakeVariant(uint64(n) * 1e6)
	case int32:
		return dbus.MakeVariant(uint64(n) * 1e6)
	case int64:
		return dbus.MakeVariant(uint64(n) * 1e6)
	case float64:
		return dbus.MakeVariant(uint64(n * 1e6))
	}
	return dbus.Variant{}
}
