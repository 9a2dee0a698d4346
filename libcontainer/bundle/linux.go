package bundle

import (
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// linux checks config-linux.md, and what config.md says for Linux only.
func (c *checker) linux(s *specs.Spec) {
	l := s.Linux
	if l == nil {
		l = new(specs.Linux)
	}
	c.namespaces(l.Namespaces)
	c.ownNamespaces(s, l)
	c.userNamespace(s.Process, l)
	c.timeOffsets(l)
	c.devices(l.Devices)
	c.netDevices(l)
	c.sysctl(l)
	c.cgroupsPath(l.CgroupsPath)
	if l.Resources != nil {
		c.resources("linux.resources", l.Resources)
	}
	if l.Seccomp != nil {
		c.seccomp(l.Seccomp)
	}
	// Engines write the recursive forms of mount(8) as well, which runc takes.
	if l.RootfsPropagation != "" && !listedIn("shared slave private unbindable rshared rslave rprivate runbindable", l.RootfsPropagation) {
		c.bad("linux.rootfsPropagation", quote(l.RootfsPropagation), "is not known", "config-linux.md, Rootfs Mount Propagation", "use one of shared, slave, private, unbindable")
	}
	c.containerPaths("linux.maskedPaths", l.MaskedPaths, "config-linux.md, Masked Paths")
	c.containerPaths("linux.readonlyPaths", l.ReadonlyPaths, "config-linux.md, Readonly Paths")
	if l.IntelRdt != nil {
		c.intelRdt(l.IntelRdt)
	}
	if l.MemoryPolicy != nil {
		c.memoryPolicy(l.MemoryPolicy)
	}
	if p := l.Personality; p != nil {
		const clause = "config-linux.md, Personality"
		oneOf(c, "linux.personality.domain", p.Domain, clause, "LINUX LINUX32")
		for i, f := range p.Flags {
			c.bad(index("linux.personality.flags", i, ""), quote(f), "is not supported: no flags are", clause, "leave flags out")
		}
	}
}

const namespaceTypes = "pid network mount ipc uts user cgroup time"

// namespaces: known types, each once, "path MUST be an absolute path".
func (c *checker) namespaces(list []specs.LinuxNamespace) {
	const clause = "config-linux.md, Namespaces"
	for i := range list {
		n := &list[i]
		if !listedIn(namespaceTypes, string(n.Type)) {
			oneOf(c, index("linux.namespaces", i, "type"), n.Type, clause, namespaceTypes)
		}
		if n.Path != "" && !path.IsAbs(n.Path) {
			c.bad(index("linux.namespaces", i, "path"), quote(n.Path), "MUST be an absolute path", clause, "")
		}
		for j := range list[:i] {
			if list[j].Type == n.Type {
				c.bad(index("linux.namespaces", i, "type"), quote(n.Type), "is there already", clause, "keep one")
				break
			}
		}
		if i == maxNamespaces {
			c.bad("linux.namespaces", "", "has more entries than there are types", clause, "")
			return
		}
	}
}

// maxNamespaces bounds the search for duplicates; Linux has 8 types.
const maxNamespaces = 64

// namespace is the entry of a type, nil when the container inherits it.
func namespace(l *specs.Linux, t specs.LinuxNamespaceType) *specs.LinuxNamespace {
	for i := range l.Namespaces[:min(len(l.Namespaces), maxNamespaces)] {
		if l.Namespaces[i].Type == t {
			return &l.Namespaces[i]
		}
	}
	return nil
}

// ownNamespaces refuses what would change the runtime's own namespace: "If a
// namespace type is not specified in the namespaces array, the container MUST
// inherit the runtime namespace of that type", so a host name set there would
// be the host's.
func (c *checker) ownNamespaces(s *specs.Spec, l *specs.Linux) {
	const clause, cure = "config-linux.md, Namespaces", `add {"type": "%"} to linux.namespaces`
	without := func(at, value string, t specs.LinuxNamespaceType) {
		c.bad(at, value, "would change the runtime's own "+string(t)+" namespace", clause, strings.Replace(cure, "%", string(t), 1))
	}
	if namespace(l, specs.UTSNamespace) == nil {
		if s.Hostname != "" {
			without("hostname", quote(s.Hostname), specs.UTSNamespace)
		}
		if s.Domainname != "" {
			without("domainname", quote(s.Domainname), specs.UTSNamespace)
		}
	}
	// __NEW_UTS_LEN of the kernel.
	const longest = 64
	if len(s.Hostname) > longest {
		c.bad("hostname", quote(s.Hostname), "is longer than 64 bytes", "config.md, Hostname", "")
	}
	if len(s.Domainname) > longest {
		c.bad("domainname", quote(s.Domainname), "is longer than 64 bytes", "config.md, Domainname", "")
	}
	if namespace(l, specs.MountNamespace) == nil {
		if len(l.MaskedPaths) > 0 {
			without("linux.maskedPaths", "", specs.MountNamespace)
		}
		if len(l.ReadonlyPaths) > 0 {
			without("linux.readonlyPaths", "", specs.MountNamespace)
		}
	}
}

func (c *checker) userNamespace(p *specs.Process, l *specs.Linux) {
	const clause = "config-linux.md, User namespace mappings"
	ns := namespace(l, specs.UserNamespace)
	for _, m := range [...]struct {
		at   string
		maps []specs.LinuxIDMapping
		who  string
		id   func(*specs.Process) uint32
	}{
		{"linux.uidMappings", l.UIDMappings, "process.user.uid", func(p *specs.Process) uint32 { return p.User.UID }},
		{"linux.gidMappings", l.GIDMappings, "process.user.gid", func(p *specs.Process) uint32 { return p.User.GID }},
	} {
		c.mappings(m.at, m.maps, clause)
		switch {
		case len(m.maps) == 0:
		case ns == nil:
			c.bad(m.at, "", "has no effect without a user namespace", clause, `add {"type": "user"} to linux.namespaces`)
		case ns.Path == "" && p != nil && !mapped(m.maps, m.id(p)):
			c.bad(m.who, strconv.FormatUint(uint64(m.id(p)), 10), "is not mapped by "+m.at, clause, "add a mapping for it")
		}
	}
}

func mapped(maps []specs.LinuxIDMapping, id uint32) bool {
	for _, m := range maps {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return true
		}
	}
	return false
}

func (c *checker) timeOffsets(l *specs.Linux) {
	const clause = "config-linux.md, Offset for Time Namespace"
	if len(l.TimeOffsets) > 0 && namespace(l, specs.TimeNamespace) == nil {
		c.bad("linux.timeOffsets", "", "has no effect without a time namespace", clause, `add {"type": "time"} to linux.namespaces`)
	}
	for _, clock := range sorted(l.TimeOffsets) {
		o := l.TimeOffsets[clock]
		if clock != "monotonic" && clock != "boottime" {
			c.bad(entry("linux.timeOffsets", clock), "", "is no clock that can be shifted", clause, "use monotonic or boottime")
		}
		if o.Nanosecs > 999999999 {
			c.bad(entry("linux.timeOffsets", clock)+".nanosecs", strconv.FormatUint(uint64(o.Nanosecs), 10), "is a second or more", clause, "add it to secs")
		}
	}
}

func (c *checker) devices(list []specs.LinuxDevice) {
	const clause = "config-linux.md, Devices"
	var paths map[string]int
	if len(list) > 1 {
		paths = make(map[string]int, len(list))
	}
	for i := range list {
		d := &list[i]
		at := func(key string) string { return index("linux.devices", i, key) }
		switch d.Type {
		case "c", "u", "b":
			if len(c.absent) > 0 {
				c.need(at("major"), clause)
				c.need(at("minor"), clause)
			}
			c.deviceNumber(at, "major", d.Major, 1<<12-1)
			c.deviceNumber(at, "minor", d.Minor, 1<<20-1)
		case "p": // a FIFO has no numbers; some write 0 or others nevertheless
		case "":
			c.bad(at("type"), "", "is REQUIRED and missing", clause, "one of c, b, u, p")
		default:
			c.bad(at("type"), quote(d.Type), "is not known", clause, "use one of c, b, u, p")
		}
		switch {
		case d.Path == "":
			c.bad(at("path"), "", "is REQUIRED and missing", clause, "")
		case !path.IsAbs(d.Path):
			c.bad(at("path"), quote(d.Path), "is no full path", clause, "")
		case paths != nil:
			clean := path.Clean(d.Path)
			if j, twice := paths[clean]; twice && !sameDevice(d, &list[j]) {
				c.bad(at("path"), quote(d.Path), "is another device than entry "+strconv.Itoa(j)+" at the same path", clause, "keep one")
			}
			paths[clean] = i
		}
		// Some engines leave stat(2)'s type bits in.
		if d.FileMode != nil && *d.FileMode > 0o177777 {
			c.bad(at("fileMode"), strconv.FormatUint(uint64(*d.FileMode), 10), "has bits beyond 07777", clause, "write the mode as a decimal number, 438 for 0666")
		}
		if d.UID != nil && *d.UID == unchanged {
			c.noID(at("uid"))
		}
		if d.GID != nil && *d.GID == unchanged {
			c.noID(at("gid"))
		}
	}
}

func sameDevice(a, b *specs.LinuxDevice) bool {
	return a.Type == b.Type && a.Major == b.Major && a.Minor == b.Minor
}

// deviceNumber: the kernel's dev_t has 12 bits for major and 20 for minor.
func (c *checker) deviceNumber(at func(string) string, key string, n, highest int64) {
	if n < 0 || n > highest {
		c.bad(at(key), strconv.FormatInt(n, 10), "is not between 0 and "+strconv.FormatInt(highest, 10), "config-linux.md, Devices", "")
	}
}

// netDevices moves host interfaces, so there must be somewhere to move them.
func (c *checker) netDevices(l *specs.Linux) {
	const clause = "config-linux.md, Network Devices"
	if len(l.NetDevices) == 0 {
		return
	}
	if namespace(l, specs.NetworkNamespace) == nil {
		c.bad("linux.netDevices", "", "has no container namespace to move devices to", clause, `add {"type": "network"} to linux.namespaces`)
	}
	names := make(map[string]bool, len(l.NetDevices))
	for _, host := range sorted(l.NetDevices) {
		d := l.NetDevices[host]
		if !interfaceName(host) {
			c.bad(entry("linux.netDevices", host), "", "is no name of a network device", clause, "")
		}
		name := d.Name
		if name == "" {
			name = host
		} else if !interfaceName(name) {
			c.bad(entry("linux.netDevices", host)+".name", quote(name), "is no name of a network device", clause, "")
		}
		if names[name] && !strings.Contains(name, "%d") {
			c.bad(entry("linux.netDevices", host)+".name", quote(name), "is the name of two devices in the container", clause, "")
		}
		names[name] = true
	}
}

// interfaceName follows the kernel's dev_valid_name.
func interfaceName(s string) bool {
	return s != "" && len(s) < 16 && s != "." && s != ".." && !strings.ContainsAny(s, "/: \t\n\v\f\r")
}

// cgroupsPath: "Runtimes MAY consider certain cgroupsPath values to be invalid,
// and MUST generate an error if this is the case". A ".." would leave the place
// the engine was given.
func (c *checker) cgroupsPath(p string) {
	for rest := p; rest != ""; {
		var part string
		if part, rest, _ = strings.Cut(rest, "/"); part == ".." {
			c.bad("linux.cgroupsPath", quote(p), `leads out of its hierarchy with ".."`, "config-linux.md, Cgroups Path", "")
			return
		}
	}
}

func (c *checker) containerPaths(at string, paths []string, clause string) {
	for i, p := range paths {
		if !path.IsAbs(p) {
			c.bad(index(at, i, ""), quote(p), "MUST be an absolute path", clause, "")
		}
	}
}

func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	const at, clause = "linux.intelRdt.", "config-linux.md, IntelRdt"
	// The name of a directory of resctrl; "/" is its root.
	if id := r.ClosID; id == "." || id == ".." || id != "/" && strings.Contains(id, "/") {
		c.bad(at+"closID", quote(id), "is no name of a directory", clause, "")
	}
	if s := r.MemBwSchema; s != "" && (!strings.HasPrefix(s, "MB:") || strings.Contains(s, "\n")) {
		c.bad(at+"memBwSchema", quote(s), `MUST start with "MB:" and MUST NOT contain newlines`, clause, "")
	}
	if s := r.L3CacheSchema; s != "" && (!strings.HasPrefix(s, "L3:") || strings.Contains(s, "\n")) {
		c.warn(at+"l3CacheSchema", quote(s), `SHOULD start with "L3:" and SHOULD NOT contain newlines`, clause, "")
	}
	for i, s := range r.Schemata {
		if strings.Contains(s, "\n") {
			c.bad(index(at+"schemata", i, ""), quote(s), "MUST NOT contain newlines", clause, "make it two entries")
		}
	}
}

func (c *checker) memoryPolicy(m *specs.LinuxMemoryPolicy) {
	const at, clause = "linux.memoryPolicy.", "config-linux.md, Memory policy"
	// The texts about what is wrong are runc's, the rest says what is right.
	if !listedIn(memoryModes, string(m.Mode)) {
		c.bad(at+"mode", quote(m.Mode), "is an invalid memory policy mode", clause, "use one of "+strings.ReplaceAll(memoryModes, " ", ", "))
	}
	count := 0
	if m.Nodes != "" {
		var ok bool
		if count, ok = countNumbers(m.Nodes); !ok {
			c.bad(at+"nodes", quote(m.Nodes), "has an invalid memory policy node or is no list", clause, `such as "0-3,7"`)
		}
	}
	// set_mempolicy(2) names the modes that need nodes and those that have none.
	switch m.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if m.Nodes != "" {
			c.bad(at+"nodes", quote(m.Nodes), "is not allowed: mode requires 0 nodes but got "+strconv.Itoa(count), clause, "leave nodes out with "+string(m.Mode))
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferredMany:
		if m.Nodes == "" {
			c.bad(at+"nodes", "", "is missing; mode "+string(m.Mode)+" needs at least one node", clause, "")
		}
	}
	var static, relative bool
	for i, f := range m.Flags {
		if !listedIn(memoryFlags, string(f)) {
			c.bad(index(at+"flags", i, ""), quote(f), "is an invalid memory policy flag", clause, "use one of "+strings.ReplaceAll(memoryFlags, " ", ", "))
		}
		static = static || f == specs.MpolFStaticNodes
		relative = relative || f == specs.MpolFRelativeNodes
	}
	if static && relative {
		c.bad(at+"flags", "", "has both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES", clause, "set_mempolicy(2) takes one")
	}
}

const (
	memoryModes = "MPOL_DEFAULT MPOL_BIND MPOL_INTERLEAVE MPOL_WEIGHTED_INTERLEAVE MPOL_PREFERRED MPOL_PREFERRED_MANY MPOL_LOCAL"
	memoryFlags = "MPOL_F_NUMA_BALANCING MPOL_F_RELATIVE_NODES MPOL_F_STATIC_NODES"
)

// maxNodes is more than any kernel's MAX_NUMNODES.
const maxNodes = 1024

// countNumbers counts what a list such as "0-3,7" names; false if it is none,
// or names a number that no node has.
func countNumbers(list string) (n int, ok bool) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 32)
		z, err2 := strconv.ParseUint(last, 10, 32)
		if err != nil || err2 != nil || z < a || z >= maxNodes {
			return 0, false
		}
		n += int(z - a + 1)
	}
	return n, true
}
