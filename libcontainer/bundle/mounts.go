package bundle

import (
	"path"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounts checks config.md, Mounts.
func (c *checker) mounts(s *specs.Spec) {
	const clause = "config.md, Mounts"
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if m.Destination == "" {
			c.bad(index("mounts", i, "destination"), "", "is REQUIRED and missing", clause, "")
			continue
		}
		if c.t.OS == "windows" {
			c.windowsMount(s.Mounts, i)
			continue
		}
		if !path.IsAbs(m.Destination) {
			c.warn(index("mounts", i, "destination"), quote(m.Destination), "is relative, which is deprecated; taken as relative to \"/\"", clause, "")
		}
		if m.Source == "" && isBind(m) && !slices.Contains(m.Options, "remount") {
			c.bad(index("mounts", i, "source"), "", "is missing; a bind mount needs one", clause, "")
		}
		c.mountMapping(i, m, s)
	}
}

// mountMapping checks id-mapped mounts.
func (c *checker) mountMapping(i int, m *specs.Mount, s *specs.Spec) {
	const clause, options = "config.md, POSIX-platform Mounts", "config.md, Linux mount options"
	switch {
	case m.UIDMappings != nil && m.GIDMappings == nil:
		c.bad(index("mounts", i, "gidMappings"), "", "is missing; uidMappings MUST be specified along with it", clause, "")
	case m.GIDMappings != nil && m.UIDMappings == nil:
		c.bad(index("mounts", i, "uidMappings"), "", "is missing; gidMappings MUST be specified along with it", clause, "")
	case m.UIDMappings == nil && (slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")):
		if s.Linux == nil || namespace(s.Linux, specs.UserNamespace) == nil {
			c.bad(index("mounts", i, "options"), "", "ask for an id mapping, but neither the mount nor a user namespace gives one", options, "add uidMappings and gidMappings")
		}
	}
	c.mappings(index("mounts", i, "uidMappings"), m.UIDMappings, clause)
	c.mappings(index("mounts", i, "gidMappings"), m.GIDMappings, clause)
}

// mappings checks what the kernel would refuse with a bare EINVAL
// (user_namespaces(7), "Defining user and group ID mappings").
func (c *checker) mappings(at string, maps []specs.LinuxIDMapping, clause string) {
	for i, m := range maps {
		if len(c.absent) > 0 {
			c.need(index(at, i, "containerID"), clause)
			c.need(index(at, i, "hostID"), clause)
			c.need(index(at, i, "size"), clause)
			if c.absent[index(at, i, "size")] {
				continue
			}
		}
		switch {
		case m.Size == 0:
			c.bad(index(at, i, "size"), "0", "maps nothing", clause, "")
		case uint64(m.ContainerID)+uint64(m.Size) > 1<<32 || uint64(m.HostID)+uint64(m.Size) > 1<<32:
			c.bad(index(at, i, "size"), strconv.FormatUint(uint64(m.Size), 10), "reaches beyond the last id, 4294967295", clause, "")
		}
		for j, b := range maps[:i] {
			if overlap(m.ContainerID, b.ContainerID, m.Size, b.Size) || overlap(m.HostID, b.HostID, m.Size, b.Size) {
				c.bad(index(at, i, ""), "", "overlaps entry "+strconv.Itoa(j), clause, "")
				break
			}
		}
		if i == maxMappings {
			c.bad(at, "", "has more than "+strconv.Itoa(maxMappings)+" entries", clause, "merge adjacent ones")
			return
		}
	}
}

// maxMappings is the kernel's UID_GID_MAP_MAX_EXTENTS.
const maxMappings = 340

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}
