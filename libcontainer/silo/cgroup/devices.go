package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// rule is one entry of the device list, checked.
type rule struct {
	allow        bool
	kind         byte  // 'c', 'b', or 'a' for both
	major, minor int64 // or all
	access       byte  // of the bits below
}

const all = -1

// Access bits, as in the kernel's BPF_DEVCG_ACC_*.
const (
	accessMknod byte = 1 << iota
	accessRead
	accessWrite
	accessAll = accessMknod | accessRead | accessWrite
)

// everything says that the rule leaves nothing of the rules before it.
func (r *rule) everything() bool {
	return r.kind == 'a' && r.major == all && r.minor == all && r.access == accessAll
}

// defaultDevices are what each container may use, whatever its rules say: make
// any node, and open those that config-linux.md, "Default Devices", puts into
// every container, with pseudo terminals and the console.
var defaultDevices = [...]rule{
	{true, 'c', all, all, accessMknod},
	{true, 'b', all, all, accessMknod},
	{true, 'c', 1, 3, accessAll},     // null
	{true, 'c', 1, 5, accessAll},     // zero
	{true, 'c', 1, 7, accessAll},     // full
	{true, 'c', 1, 8, accessAll},     // random
	{true, 'c', 1, 9, accessAll},     // urandom
	{true, 'c', 5, 0, accessAll},     // tty
	{true, 'c', 5, 1, accessAll},     // console
	{true, 'c', 5, 2, accessAll},     // ptmx
	{true, 'c', 136, all, accessAll}, // pts
}

// deviceRules is the list that takes effect: a rule about everything first,
// since a container may use no device that nothing allows; then the Spec's in
// their order; then the defaults. What an "everything" rule overrules is
// dropped, and so are the defaults where all is allowed anyhow.
func deviceRules(list []specs.LinuxDeviceCgroup) ([]rule, error) {
	rules := make([]rule, 1, len(list)+1+len(defaultDevices))
	rules[0] = rule{false, 'a', all, all, accessAll}
	for i := range list {
		r, err := deviceRule(&list[i])
		if err != nil {
			return nil, fmt.Errorf("linux.resources.devices[%d]: %w", i, err)
		}
		if r.everything() {
			rules = rules[:0]
		}
		rules = append(rules, r)
	}
	if len(rules) > 1 || !rules[0].allow {
		rules = append(rules, defaultDevices[:]...)
	}
	return rules, nil
}

func deviceRule(d *specs.LinuxDeviceCgroup) (rule, error) {
	r := rule{allow: d.Allow, major: all, minor: all}
	switch d.Type {
	case "", "a":
		r.kind = 'a'
	case "c", "u":
		r.kind = 'c'
	case "b":
		r.kind = 'b'
	default:
		return r, fmt.Errorf("type %q is none of a, c, b", d.Type)
	}
	for _, n := range [...]struct {
		name string
		from *int64
		to   *int64
	}{{"major", d.Major, &r.major}, {"minor", d.Minor, &r.minor}} {
		if n.from == nil || *n.from == all { // -1 is how runc's users write "all"
			continue
		}
		if *n.from < 0 || *n.from > math.MaxInt32 {
			return r, fmt.Errorf("%s %d is no device number", n.name, *n.from)
		}
		*n.to = *n.from
	}
	for _, a := range []byte(d.Access) {
		switch a {
		case 'r':
			r.access |= accessRead
		case 'w':
			r.access |= accessWrite
		case 'm':
			r.access |= accessMknod
		default:
			return r, fmt.Errorf("access %q has other letters than r, w, m", d.Access)
		}
	}
	if d.Access == "" { // OPTIONAL in the Spec: unset means all, as elsewhere in the entry
		r.access = accessAll
	}
	return r, nil
}

// deviceWrite is one line for devices.allow or devices.deny.
type deviceWrite struct {
	allow bool
	line  string
}

// deviceWrites words the rules for v1. A rule for both kinds is two lines unless
// it is about everything, for the kernel takes "a" to mean that.
func deviceWrites(rules []rule) []deviceWrite {
	writes := make([]deviceWrite, 0, len(rules)+2)
	for i := range rules {
		r := &rules[i]
		switch {
		case r.everything():
			writes = append(writes, deviceWrite{r.allow, "a"})
		case r.kind == 'a':
			writes = append(writes, deviceWrite{r.allow, r.line('c')}, deviceWrite{r.allow, r.line('b')})
		default:
			writes = append(writes, deviceWrite{r.allow, r.line(r.kind)})
		}
	}
	return writes
}

func (r *rule) line(kind byte) string {
	var b strings.Builder
	b.WriteByte(kind)
	for i, n := range [...]int64{r.major, r.minor} {
		b.WriteByte(" :"[i])
		if n == all {
			b.WriteByte('*')
		} else {
			b.WriteString(strconv.FormatInt(n, 10))
		}
	}
	b.WriteByte(' ')
	for i, bit := range [...]byte{accessRead, accessWrite, accessMknod} {
		if r.access&bit != 0 {
			b.WriteByte("rwm"[i])
		}
	}
	return b.String()
}
