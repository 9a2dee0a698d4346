package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Warn tells of something that was asked for and left out, and why; nil is not
// interested.
type Warn func(format string, args ...any)

// Apply writes all limits of a new container, of which r may be nil. The device
// list is Guard's.
func (g *Group) Apply(r *specs.LinuxResources, warn Warn) error {
	if d, ok := g.find("cpuset"); ok {
		if err := inheritCpuset(g.dir(d), d.Mount, d.Made); err != nil {
			return err
		}
	}
	return g.set(r, warn)
}

// Guard keeps a new container from all devices but those that list allows and
// those that every container has. Only root of the machine may: to others the
// kernel refuses it, EPERM.
func (g *Group) Guard(list []specs.LinuxDeviceCgroup) error {
	rules, err := deviceRules(list)
	if err != nil {
		return err
	}
	if d, ok := g.find("devices"); ok {
		return writeDevices(g.dir(d), deviceWrites(rules))
	}
	if d, ok := g.find(""); ok {
		fresh := d.Made > 0 && g.Unit == "" && !g.guarded
		g.guarded = true
		return guardDevices(g.dir(d), deviceProgram(rules), fresh)
	}
	return errors.New("linux.resources.devices: cgroup controller devices is not mounted on this machine")
}

// Update changes the limits that r gives, of a living container. The device
// list stays: engines send along the one of the create. If a limit needs a v1
// hierarchy that the container is not yet part of, it joins, and g changes:
// record g again, also after an error.
func (g *Group) Update(r *specs.LinuxResources, warn Warn) error {
	if r == nil {
		return nil
	}
	if err := g.joinLate(r); err != nil {
		return err
	}
	return g.set(r, warn)
}

// UnitProperties words the limits of r for systemd, and with devices its device
// list too. It reads the limits in effect, where one depends on another.
func (g *Group) UnitProperties(r *specs.LinuxResources, devices bool) ([]Property, error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	list, err := g.settings(r)
	if err != nil {
		return nil, err
	}
	all, err := unitProperties(list, g.cpuTime)
	if err != nil || !devices {
		return all, err
	}
	rules, err := deviceRules(r.Devices)
	return append(all, deviceProperties(rules)...), err
}

// cpuTime reads the limit of processor time that holds.
func (g *Group) cpuTime() (quota, period string) {
	if d, ok := g.find("cpu"); ok {
		q, _ := read(g.dir(d) + "/cpu.cfs_quota_us")
		p, _ := read(g.dir(d) + "/cpu.cfs_period_us")
		return strings.TrimSpace(string(q)), strings.TrimSpace(string(p))
	}
	if d, ok := g.find(""); ok {
		b, _ := read(g.dir(d) + "/cpu.max")
		quota, period, _ = strings.Cut(strings.TrimSpace(string(b)), " ")
	}
	return quota, period
}

// settings are what r means for the control files of the group.
func (g *Group) settings(r *specs.LinuxResources) ([]setting, error) {
	w := where{v1: func(c string) bool { _, ok := g.find(c); return ok }}
	v2, ok := g.find("")
	w.v2 = ok
	return compile(r, w, func(file string) (string, bool) {
		b, err := read(g.dir(v2) + "/" + file)
		return strings.TrimRight(string(b), "\n"), err == nil
	})
}

// set writes the settings of r.
func (g *Group) set(r *specs.LinuxResources, warn Warn) error {
	list, err := g.settings(r)
	if err != nil {
		return err
	}
	if v2, ok := g.find(""); ok {
		// Just below the root of a tree of ours, what it wishes for is there (Own).
		must, path := needed(list), g.inside(v2)
		if given := g.sparing && strings.LastIndexByte(path, '/') == 0; len(must) > 0 || !given {
			if err := enable(v2.Mount, path, must, g.wishes()); err != nil {
				return err
			}
		}
	}
	// The kernel checks some values against each other (quota, period and burst,
	// or memory and memory+swap), so which order is right depends on those in
	// effect. What it refuses is therefore tried again after the rest.
	for len(list) > 0 {
		var again []setting
		var refused error
		for i := range list {
			err := g.put(&list[i], warn)
			if errors.Is(err, unix.EINVAL) {
				again = append(again, list[i])
				if refused == nil {
					refused = err
				}
			} else if err != nil {
				return err
			}
		}
		if len(again) == len(list) {
			return refused
		}
		list = again
	}
	return nil
}

// put writes one setting.
func (g *Group) put(s *setting, warn Warn) error {
	at := s.controller
	if s.v2 {
		at = ""
	}
	d, ok := g.find(at)
	if !ok {
		return fmt.Errorf("linux.resources.%s: cgroup controller %s is not mounted on this machine (for %s of %s)", s.field, s.controller, s.file, g.Path)
	}
	dir := g.dir(d)
	err := write(dir+"/"+s.file, s.value)
	if s.or != nil && errors.Is(err, unix.ENOENT) {
		if other := write(dir+"/"+s.or.file, s.or.value); !errors.Is(other, unix.ENOENT) {
			err = other
		}
	}
	switch {
	case s.absent == absentWarns && (err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)):
		if warn != nil && !inEffect(dir+"/"+s.file) {
			warn("linux.resources.%s is left out: this kernel has no such limit (%s)", s.field, s.file)
		}
		return nil
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT) && s.absent == absentPasses:
		return nil
	case errors.Is(err, unix.ENOENT) && s.file == "memory.memsw.limit_in_bytes":
		return fmt.Errorf("linux.resources.%s: %w (swap is not accounted: boot with swapaccount=1)", s.field, err)
	case errors.Is(err, unix.EBUSY) && s.file == "memory.limit_in_bytes":
		used, _ := read(dir + "/memory.usage_in_bytes")
		return fmt.Errorf("linux.resources.%s: %w (current usage: %s bytes)", s.field, err, strings.TrimSpace(string(used)))
	}
	return fmt.Errorf("linux.resources.%s: %w", s.field, err)
}

// inEffect says whether a limit holds: kernels that have dropped one go on
// taking values for it.
func inEffect(file string) bool {
	b, err := read(file)
	return err == nil && number(string(b)) < 1<<62
}

// writeDevices writes a v1 device list in order, each file opened once.
func writeDevices(dir string, list []deviceWrite) error {
	files := [2]string{dir + "/devices.deny", dir + "/devices.allow"}
	fds := [2]int{-1, -1}
	defer func() {
		for _, fd := range fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}()
	for _, w := range list {
		i := 0
		if w.allow {
			i = 1
		}
		if fds[i] < 0 {
			fd, err := open(files[i], unix.O_WRONLY)
			if err != nil {
				return fmt.Errorf("linux.resources.devices: open %s: %w", files[i], err)
			}
			fds[i] = fd
		}
		if err := writeTo(fds[i], files[i], w.line); err != nil {
			return fmt.Errorf("linux.resources.devices: %w", err)
		}
	}
	return nil
}

// inheritCpuset fills cpuset.cpus and .mems of a new v1 group, and of new
// parents, with what their own parent has: no process may join while they are
// empty. The lowest made directories are known to be so.
func inheritCpuset(dir, mount string, made int) error {
	for _, file := range [...]string{"/cpuset.cpus", "/cpuset.mems"} {
		if _, err := cpuset(dir, mount, file, made); err != nil {
			return err
		}
	}
	return nil
}

// cpuset returns the value of file in dir, after it was filled if empty.
func cpuset(dir, mount, file string, made int) (string, error) {
	if made == 0 {
		b, err := read(dir + file)
		if err != nil {
			return "", err
		}
		if v := strings.TrimSpace(string(b)); v != "" || dir == mount {
			return v, nil
		}
	}
	v, err := cpuset(dir[:strings.LastIndexByte(dir, '/')], mount, file, max(made-1, 0))
	if err != nil {
		return "", err
	}
	return v, write(dir+file, v)
}

// needed lists the v2 controllers that the group must have for the settings.
func needed(list []setting) []string {
	var must []string
	for i := range list {
		if c := list[i].controller; list[i].v2 && c != "" && !slices.Contains(must, c) {
			must = append(must, c)
		}
	}
	return must
}

// wishes says which controllers the group gets without being limited by them; nil is
// none. The use of some is measured, which cannot begin later, and an engine in the
// container can divide only what the container has.
func (g *Group) wishes() func(controller string) bool {
	switch {
	case !g.pure():
		return nil
	case g.sparing:
		return func(c string) bool { return c == "memory" || c == "pids" }
	}
	return func(string) bool { return true }
}

// enable makes the controllers available in the group at path, by naming them
// in cgroup.subtree_control of all its parents; also those that the machine has
// besides and wish is true for.
func enable(mount, path string, must []string, wish func(controller string) bool) error {
	if len(must) == 0 && wish == nil {
		return nil
	}
	available := func(dir string) ([]string, error) {
		b, err := read(dir + "/cgroup.controllers")
		return fields(string(b)), err
	}
	machine, err := available(mount)
	if err != nil {
		return err
	}
	for _, c := range must {
		if !slices.Contains(machine, c) {
			return fmt.Errorf("cgroup controller %s is not available in %s/cgroup.controllers", c, mount)
		}
	}
	have, err := available(mount + path)
	if err != nil {
		return err
	}
	lack := slices.DeleteFunc(machine, func(c string) bool {
		return slices.Contains(have, c) || !slices.Contains(must, c) && (wish == nil || !wish(c))
	})
	for i := 0; i < len(path) && len(lack) > 0; i++ {
		if path[i] != '/' {
			continue
		}
		dir := mount + strings.TrimSuffix(path[:i], "/")
		b, err := read(dir + "/cgroup.subtree_control")
		if err != nil {
			return err
		}
		// What is handed down already may be so by somebody else's leave.
		given := fields(string(b))
		rest := slices.DeleteFunc(slices.Clone(lack), func(c string) bool { return slices.Contains(given, c) })
		if len(rest) == 0 {
			continue
		}
		taken, err := occupied(dir)
		if err != nil {
			return err
		}
		// All at once, for the kernel goes through the tree each time. One that it
		// refuses has it refuse all.
		if !taken && write(dir+"/cgroup.subtree_control", "+"+strings.Join(rest, " +")) == nil {
			continue
		}
		for _, c := range rest {
			if taken {
				err = fmt.Errorf("%s holds processes itself: %w; move them into a sub-group first", dir, unix.EBUSY)
			} else {
				err = write(dir+"/cgroup.subtree_control", "+"+c)
			}
			if err != nil && slices.Contains(must, c) {
				return fmt.Errorf("enable cgroup controller %s: %w", c, err)
			}
		}
	}
	return nil
}

// occupied says whether dir holds processes itself, as the group of an engine
// in a container does. To enable a controller there is EBUSY; but of some the
// kernel takes it to mean that dir becomes the root of threaded groups, which
// no other process can enter (cgroup-v2.rst, "Threads"). The root of the tree,
// which alone has no type, may hold processes.
func occupied(dir string) (bool, error) {
	if typed, err := exists(dir + "/cgroup.type"); !typed || err != nil {
		return false, err
	}
	b, err := read(dir + "/cgroup.procs")
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return false, err
	}
	return len(b) > 0, nil
}

// joinLate adds the v1 hierarchies that r needs and the group left out, with
// all its processes.
func (g *Group) joinLate(r *specs.LinuxResources) error {
	if g.pure() {
		return nil
	}
	var l *Layout
	for _, c := range [...]string{"cpuset", "hugetlb", "rdma", "net_cls", "net_prio"} {
		if _, ok := g.find(c); ok || !needs(r, c) {
			continue
		}
		if l == nil {
			var err error
			if l, err = Detect(); err != nil {
				return err
			}
		}
		for i := range l.hierarchies {
			h := &l.hierarchies[i]
			if h.controllers == "" || !has(h.controllers, c) {
				continue
			}
			if err := g.joinOne(Dir{Controllers: h.controllers, Mount: h.mount}); err != nil {
				return fmt.Errorf("join cgroup hierarchy %s: %w", h.mount, err)
			}
		}
	}
	return nil
}

// joinOne makes d and moves the group's processes into it, until no process is
// left that was born outside meanwhile.
func (g *Group) joinOne(d Dir) error {
	one := Group{Path: g.Path, Dirs: []Dir{d}}
	if err := one.Create(); err != nil {
		return err
	}
	from := g.dir(g.tracker())
	g.Dirs = append(g.Dirs, one.Dirs[0])
	dir := g.dir(&one.Dirs[0])
	if has(d.Controllers, "cpuset") {
		if err := inheritCpuset(dir, d.Mount, one.Dirs[0].Made); err != nil {
			return err
		}
	}
	moved := make(map[int]bool)
	for {
		pids, err := processes(nil, from)
		if err != nil {
			return err
		}
		fresh := false
		for _, pid := range pids {
			if moved[pid] {
				continue
			}
			moved[pid], fresh = true, true
			if err := write(dir+"/cgroup.procs", strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if !fresh {
			return nil
		}
	}
}
