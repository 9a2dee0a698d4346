package cgroup

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Group is one container's cgroup: in v2 one directory, in v1 one in each
// hierarchy it takes part in. As JSON it is enough to find it again and to
// remove what Create made.
type Group struct {
	// Path is the place below each mount point, unless a Dir says otherwise.
	Path string `json:"path"`
	Dirs []Dir  `json:"dirs"`
	// Unit is the systemd scope that the group belongs to; "" without systemd.
	Unit string `json:"unit,omitempty"`
	// Manager is the D-Bus address of the user's systemd that has the unit; "" is
	// the machine's.
	Manager string `json:"manager,omitempty"`
	// Invocation tells the unit from a later one of its name; "" is not known yet.
	Invocation string `json:"invocation,omitempty"`

	checked bool // Check has filled in what Create will make
	guarded bool // Guard may have attached a program
	sparing bool // it gets no controllers that nobody asks for
}

// Dir is the group's directory in one hierarchy.
type Dir struct {
	Controllers string `json:"for,omitempty"` // comma list, "name=…", or "" for v2
	Mount       string `json:"at"`            // mount point of the hierarchy
	Path        string `json:"path,omitempty"`
	// Made counts the directories, from the group's own upwards, that Create
	// makes and Remove therefore removes; 0: it was there before.
	Made int `json:"made,omitempty"`
}

// v1 hierarchies that each container joins. The others are joined when a limit
// needs them, for each costs every start: measured here about 0.1 ms, and
// cpuset, which in addition must be filled from its parent, 0.4 ms.
const always = "cpu,cpuacct,memory,devices,freezer,blkio,pids"

// Group resolves linux.cgroupsPath to directories, making nothing.
//
// An absolute path is relative to the mount points, a relative one to wrun's
// own group (in v2 to that group's parent, since a group with processes cannot
// have controlled children), "slice:prefix:name" is where systemd would put it,
// and "" is id, relative: what wrun's caller is limited to, its containers are
// too. r tells which hierarchies are needed besides those
// that each container joins; with all it joins every v1 hierarchy, as a bundle wants
// that has a cgroup file system or namespace.
func (l *Layout) Group(cgroupsPath, id string, r *specs.LinuxResources, all bool) (*Group, error) {
	p, relative := clean(cgroupsPath), !path.IsAbs(cgroupsPath)
	switch {
	case cgroupsPath == "":
		p = clean(id)
	case strings.Count(cgroupsPath, ":") == 2:
		slice, unit, err := parseUnit(cgroupsPath)
		if err != nil {
			return nil, err
		}
		p, relative = slicePath(cmp.Or(slice, systemSlice))+"/"+unit, false
	}
	if p == "/" {
		return nil, fmt.Errorf("linux.cgroupsPath %q is the root of the cgroup tree", cgroupsPath)
	}
	return l.group(&Group{Path: p}, relative, r, all), nil
}

// The slices of units that name none, of the machine's systemd and of a user's.
const (
	systemSlice = "system.slice"
	userSlice   = "user.slice"
)

// Scope is Group where systemd makes the cgroup: cgroupsPath has the form
// slice:prefix:name or is empty. A user's systemd has its units below a cgroup
// of its own, under; "" is the machine's, at the root. The slice that the scope
// belongs to comes with the group.
func (l *Layout) Scope(cgroupsPath, id string, r *specs.LinuxResources, all bool, under string) (g *Group, slice string, err error) {
	slice, unit, err := ScopeName(cgroupsPath, id)
	if err != nil {
		return nil, "", err
	}
	if under == "" {
		slice = cmp.Or(slice, systemSlice)
	} else {
		slice = cmp.Or(slice, userSlice)
	}
	return l.group(&Group{Path: under + slicePath(slice) + "/" + unit, Unit: unit}, false, r, all), slice, nil
}

// ScopeName is what systemd will call the scope of a container, and its slice; a
// slice of "" is the default of whichever systemd is asked.
func ScopeName(cgroupsPath, id string) (slice, unit string, err error) {
	if cgroupsPath == "" {
		cgroupsPath = ":wrun:" + id
	}
	slice, unit, err = parseUnit(cgroupsPath)
	if err == nil && strings.HasSuffix(unit, ".slice") {
		err = fmt.Errorf("linux.cgroupsPath %q: the slice %s holds no processes, only scopes and services do", cgroupsPath, unit)
	}
	return slice, unit, err
}

// group fills in the directories of g.
func (l *Layout) group(g *Group, relative bool, r *specs.LinuxResources, all bool) *Group {
	g.sparing = l.sparing && !all
	g.Dirs = make([]Dir, 0, len(l.hierarchies))
	for i := range l.hierarchies {
		h := &l.hierarchies[i]
		// systemd keeps track of a unit's processes in a named hierarchy or in v2.
		if tracks := h.controllers == "" || h.controllers == "name=systemd"; !(g.Unit != "" && tracks) && !l.wanted(h, r, all) {
			continue
		}
		d := Dir{Controllers: h.controllers, Mount: h.mount}
		if relative {
			base := h.own
			if h.controllers == "" {
				base = path.Dir(base)
			}
			if base != "/" {
				d.Path = base + g.Path
			}
		}
		g.Dirs = append(g.Dirs, d)
	}
	return g
}

// wanted says whether the container takes part in h.
func (l *Layout) wanted(h *hierarchy, r *specs.LinuxResources, all bool) bool {
	switch {
	case h.controllers == "":
		// On a hybrid machine v2 serves what no v1 hierarchy does, and systemd
		// to keep track of processes: then wrun itself sits in a group of it.
		return l.Pure() || h.own != "/" || l.unifiedNeeded(r)
	case all:
		return true
	case strings.HasPrefix(h.controllers, "name="):
		return h.own != "/"
	}
	for c := range strings.SplitSeq(h.controllers, ",") {
		if has(always, c) || needs(r, c) {
			return true
		}
	}
	return false
}

// unifiedNeeded says whether r limits something that no v1 hierarchy controls.
func (l *Layout) unifiedNeeded(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	if len(r.Unified) > 0 {
		return true
	}
	for _, c := range [...]string{"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "rdma"} {
		if needs(r, c) && !l.controls(c) {
			return true
		}
	}
	return false
}

// controls says whether a v1 hierarchy has controller c.
func (l *Layout) controls(c string) bool {
	for i := range l.hierarchies {
		if l.hierarchies[i].controllers != "" && has(l.hierarchies[i].controllers, c) {
			return true
		}
	}
	return false
}

// needs says whether r sets something that v1 controller c carries out.
func needs(r *specs.LinuxResources, c string) bool {
	if r == nil {
		return false
	}
	switch c {
	case "cpu":
		return r.CPU != nil
	case "cpuset":
		return r.CPU != nil && (r.CPU.Cpus != "" || r.CPU.Mems != "")
	case "memory":
		return r.Memory != nil
	case "pids":
		return r.Pids != nil
	case "blkio":
		return r.BlockIO != nil
	case "hugetlb":
		return len(r.HugepageLimits) > 0
	case "rdma":
		return len(r.Rdma) > 0
	case "net_cls":
		return r.Network != nil && r.Network.ClassID != nil
	case "net_prio":
		return r.Network != nil && len(r.Network.Priorities) > 0
	}
	return false
}

// slicePath is where systemd puts a slice: a-b.slice is /a.slice/a-b.slice.
func slicePath(slice string) string {
	var b strings.Builder
	if base := strings.TrimSuffix(slice, ".slice"); base != "-" {
		for i := 0; i <= len(base); i++ {
			if i == len(base) || base[i] == '-' {
				b.WriteString("/" + base[:i] + ".slice")
			}
		}
	}
	return b.String()
}

// parseUnit reads a linux.cgroupsPath of the form slice:prefix:name as the
// names of a slice, which may be empty, and of the unit in it: a scope, or a slice
// where name is one.
func parseUnit(s string) (slice, unit string, err error) {
	slice, rest, _ := strings.Cut(s, ":")
	prefix, name, _ := strings.Cut(rest, ":")
	if name == "" || strings.Contains(s, "/") || strings.Count(s, ":") != 2 {
		return "", "", fmt.Errorf("linux.cgroupsPath %q is not of the form slice:prefix:name", s)
	}
	base, ok := strings.CutSuffix(slice, ".slice")
	if slice != "" && (!ok || base == "" || strings.HasPrefix(base, "-") && base != "-" || strings.Contains(base, "--")) {
		return "", "", fmt.Errorf("linux.cgroupsPath %q: %q is no name of a systemd slice", s, slice)
	}
	unit = name
	if !strings.HasSuffix(name, ".slice") {
		if prefix != "" {
			unit = prefix + "-" + name
		}
		unit += ".scope"
	}
	return slice, unit, nil
}

// clean makes p absolute without "." and ".." (which cannot leave "/").
func clean(p string) string { return path.Clean("/" + p) }

// dir is the directory d stands for.
func (g *Group) dir(d *Dir) string { return d.Mount + g.inside(d) }

// inside is the group's path below the mount point.
func (g *Group) inside(d *Dir) string {
	if d.Path != "" {
		return d.Path
	}
	return g.Path
}

// find returns the group's directory for a v1 controller, or for v2 ("").
func (g *Group) find(controller string) (*Dir, bool) {
	for i := range g.Dirs {
		d := &g.Dirs[i]
		if controller == "" && d.Controllers == "" || controller != "" && has(d.Controllers, controller) {
			return d, true
		}
	}
	return nil, false
}

// Joins tells how a child gets in, as Open will: by how many tasks files, and
// whether it has to be born into a directory of v2.
func (g *Group) Joins() (tasks int, into bool) {
	for i := range g.Dirs {
		if g.Dirs[i].Controllers == "" {
			into = true
		} else {
			tasks++
		}
	}
	return tasks, into
}

// managed says that systemd makes the directory of a unit, and the slices above.
func (d *Dir) managed() bool {
	for c := range strings.SplitSeq(d.Controllers, ",") {
		if has(",name=systemd,cpu,cpuacct,blkio,memory,devices,pids", c) {
			return true
		}
	}
	return false
}

// pure says that the group lives in v2 only.
func (g *Group) pure() bool { return len(g.Dirs) == 1 && g.Dirs[0].Controllers == "" }

// Sub is the group that `exec --cgroup` names: paths maps a v1 controller to a
// path below the container's group, "" stands for all others. Sub-groups are
// the container's own making; Open of one that is not there fails.
func (g *Group) Sub(paths map[string]string) (*Group, error) {
	for c, sub := range paths {
		for part := range strings.SplitSeq(sub, "/") {
			if part == ".." {
				return nil, fmt.Errorf("bad sub cgroup path %q: it leads out of the container's cgroup", sub)
			}
		}
		if c != "" && !g.controls(c) {
			return nil, fmt.Errorf("unknown controller %s: cgroup %s takes no part in one", c, g.Path)
		}
	}
	s := &Group{Path: g.Path, Dirs: make([]Dir, len(g.Dirs))}
	for i := range g.Dirs {
		d := &g.Dirs[i]
		sub, ok := paths[d.Controllers]
		for c := range strings.SplitSeq(d.Controllers, ",") {
			if ok || c == "" {
				break
			}
			sub, ok = paths[c]
		}
		if !ok || d.Controllers == "" {
			sub = paths[""]
		}
		s.Dirs[i] = Dir{Controllers: d.Controllers, Mount: d.Mount, Path: path.Join(g.inside(d), clean(sub))}
	}
	return s, nil
}

// controls says whether one of the group's v1 directories is of controller c, or
// of the controllers that c lists.
func (g *Group) controls(c string) bool {
	for i := range g.Dirs {
		if d := g.Dirs[i].Controllers; d != "" && (d == c || has(d, c)) {
			return true
		}
	}
	return false
}

// Mount is one hierarchy as a container sees it below /sys/fs/cgroup.
type Mount struct {
	Name    string   // directory name: "memory", "cpu,cpuacct", "systemd"; "" for pure v2
	Aliases []string // symbolic links to Name that programs expect: "cpu", "cpuacct"
	Source  string   // the group's directory on the host, to bind when there is no cgroup namespace
	Type    string   // "cgroup" or "cgroup2", to mount anew inside a cgroup namespace
	Data    string   // mount data for that: "cpu,cpuacct", "none,name=systemd", ""
}

// Mounts is what a mount of type "cgroup" in the container consists of. A
// single Mount with an empty Name is the whole of it (v2).
func (g *Group) Mounts() []Mount {
	mounts := make([]Mount, 0, len(g.Dirs))
	for i := range g.Dirs {
		d := &g.Dirs[i]
		m := Mount{Name: path.Base(d.Mount), Source: g.dir(d), Type: "cgroup", Data: d.Controllers}
		switch {
		case d.Controllers == "":
			m.Type = "cgroup2"
			if g.pure() {
				m.Name = ""
			}
		case strings.HasPrefix(d.Controllers, "name="):
			m.Data = "none," + d.Controllers
		case strings.Contains(d.Controllers, ","):
			for c := range strings.SplitSeq(d.Controllers, ",") {
				if c != m.Name {
					m.Aliases = append(m.Aliases, c)
				}
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}
